//! The ring of snooped frames, as something to await.

use std::io;

use aya::maps::{Map, MapData, RingBuf};
use bridge_common::{
    maps::SNOOPED,
    snoop::{Snoop, SnoopHead},
};
use tokio::io::unix::AsyncFd;

use super::{
    PinDir,
    error::{Error, Result, words},
};

/// Frames that are taken at once. What is beyond waits: the controller has others to attend to.
const BATCH: usize = 256;

/// A frame that a program has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When and where.
    pub head: SnoopHead,
    /// Its bytes, from the destination address on; as many as were kept.
    pub bytes: Vec<u8>,
}

/// The reader's end. There is one for each bridge: the ring has one consumer's position.
pub struct Snooped {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Snooped {
    /// Opens the pinned ring. It goes on where the last reader stopped; the record that this one was at when it died comes twice.
    pub fn open(pins: &PinDir) -> Result<Self> {
        let open = |reason| Error::OpenMap { map: SNOOPED, reason };
        let data = MapData::from_pin(pins.map(SNOOPED)).map_err(|error| open(words(&error)))?;
        let map = Map::from_map_data(data).map_err(|error| open(words(&error)))?;
        let ring = RingBuf::try_from(map).map_err(|error| open(words(&error)))?;
        // SAFETY: the ring owns its descriptor for as long as the `AsyncFd` owns the ring.
        let ring = unsafe { AsyncFd::register(ring) };
        Ok(Self { ring: ring.map_err(|error| open(error.to_string()))? })
    }

    /// Waits until there is something, and takes it.
    pub async fn take(&mut self) -> io::Result<Vec<Seen>> {
        let mut guard = self.ring.readable_mut().await?;
        let ring = guard.get_inner_mut();
        let mut seen = Vec::new();
        while let Some(item) = ring.next() {
            seen.extend(decode(&item));
            if seen.len() == BATCH {
                // The ring is still readable.
                return Ok(seen);
            }
        }
        guard.clear_ready();
        Ok(seen)
    }
}

fn decode(record: &[u8]) -> Option<Seen> {
    if record.len() < size_of::<Snoop>() {
        return None;
    }
    // SAFETY: long enough, and a head is plain integers for which every bit pattern is a value.
    let head = unsafe { record.as_ptr().cast::<SnoopHead>().read_unaligned() };
    let bytes = record.get(size_of::<SnoopHead>()..)?.get(..head.kept())?.to_vec();
    Some(Seen { head, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_common::{PortId, snoop::KEPT};

    #[test]
    fn what_was_not_kept_is_not_read() {
        let head = SnoopHead { length: 9000, port: PortId(3), vlan: 10, ..SnoopHead::default() };
        let mut record = vec![0x5a; size_of::<Snoop>()];
        // SAFETY: plain integers without implicit padding, and the record is longer.
        unsafe { record.as_mut_ptr().cast::<SnoopHead>().write_unaligned(head) };
        assert_eq!(decode(&record), Some(Seen { head, bytes: vec![0x5a; KEPT] }));
        let short = SnoopHead { length: 60, ..head };
        // SAFETY: as above.
        unsafe { record.as_mut_ptr().cast::<SnoopHead>().write_unaligned(short) };
        assert_eq!(decode(&record).unwrap().bytes.len(), 60);
        assert_eq!(decode(&record[..100]), None);
    }
}
