//! The ring of events, as something to await.

use std::io;

use aya::maps::{Map, MapData, RingBuf};
use bridge_common::{FdbEvent, maps::EVENTS};
use tokio::io::unix::AsyncFd;

use super::{
    PinDir,
    error::{Error, Result, words},
};

/// The reader's end. There is one for each bridge: the ring has one consumer's position.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Events {
    /// Opens the pinned ring. It goes on where the last reader stopped; the record that this one was at when
    /// it died comes twice.
    pub fn open(pins: &PinDir) -> Result<Self> {
        let open = |reason| Error::OpenMap { map: EVENTS, reason };
        let data = MapData::from_pin(pins.map(EVENTS)).map_err(|error| open(words(&error)))?;
        let map = Map::from_map_data(data).map_err(|error| open(words(&error)))?;
        let ring = RingBuf::try_from(map).map_err(|error| open(words(&error)))?;
        // SAFETY: the ring owns its descriptor for as long as the `AsyncFd` owns the ring.
        let ring = unsafe { AsyncFd::register(ring) };
        Ok(Self { ring: ring.map_err(|error| open(error.to_string()))? })
    }

    /// Waits until there is something, and takes all of it.
    pub async fn take(&mut self) -> io::Result<Vec<FdbEvent>> {
        let mut guard = self.ring.readable_mut().await?;
        let ring = guard.get_inner_mut();
        let mut events = Vec::new();
        while let Some(item) = ring.next() {
            events.extend(decode(&item));
        }
        guard.clear_ready();
        Ok(events)
    }
}

pub(super) fn decode(record: &[u8]) -> Option<FdbEvent> {
    if record.len() < size_of::<FdbEvent>() {
        return None;
    }
    // SAFETY: long enough, and an event is plain integers for which every bit pattern is a value.
    Some(unsafe { record.as_ptr().cast::<FdbEvent>().read_unaligned() })
}
