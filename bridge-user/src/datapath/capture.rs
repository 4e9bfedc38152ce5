//! What `xbr capture` has of the kernel: the switch that turns it on, and the rings of what was seen.

use std::{
    io,
    task::{Context, Poll},
};

use aya::{
    maps::{
        Map, MapData, MapError, PerCpuArray, PerfEventArray,
        perf::{PerfEvent, PerfEventArrayBuffer},
    },
    util::online_cpus,
};
use bridge_common::{
    capture::{Capture, Sighting, Wanted},
    maps::{SIGHTINGS, STATE, UNSEEN},
};
use tokio::io::unix::AsyncFd;

use super::{
    PinDir,
    error::{Error, Result, errno, words},
    state::Shared,
};

/// Bytes of all rings together, as far as [`ring_bytes`] can keep to it.
const ALL_RINGS: usize = 32 << 20;

/// The capture of a bridge, which is on or off.
pub struct CaptureSwitch {
    state: Shared,
    unseen: PerCpuArray<MapData, u64>,
}

impl CaptureSwitch {
    /// Opens the pinned maps.
    pub fn open(pins: &PinDir) -> Result<Self> {
        Ok(Self { state: Shared::open(&data(pins, STATE)?)?, unseen: typed(pins, UNSEEN)? })
    }

    /// What is captured.
    pub fn get(&self) -> Capture {
        self.state.capture()
    }

    /// Captures this from now on.
    pub fn set(&mut self, capture: &Capture) {
        self.state.set_capture(*capture);
    }

    /// Captures nothing any more.
    pub fn off(&mut self) {
        let capture = self.get();
        if capture.wanted != Wanted::NOTHING {
            self.set(&Capture { wanted: Wanted::NOTHING, ..capture });
        }
    }

    /// Records that found no room, since the maps were made.
    pub fn unseen(&self) -> Result<u64> {
        let shares = self.unseen.get(&0, 0);
        let shares = shares.map_err(|error| Error::ReadMap { map: UNSEEN, reason: words(&error) })?;
        Ok(shares.iter().sum())
    }
}

/// One record: what was seen, and the bytes that were kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What, when and where.
    pub sighting: Sighting,
    /// From the Ethernet header on, without a tag that travelled beside the frame.
    pub bytes: Vec<u8>,
}

/// The rings, one for each CPU. They are the process's own: the kernel takes them out of the map when it dies.
pub struct CaptureRings {
    rings: Vec<AsyncFd<PerfEventArrayBuffer<MapData>>>,
}

impl CaptureRings {
    /// Makes the rings and puts them where the programs find them.
    pub fn open(pins: &PinDir) -> Result<Self> {
        let failed = |errno, reason| Error::CaptureRings { errno, reason };
        let mut map: PerfEventArray<MapData> = typed(pins, SIGHTINGS)?;
        let cpus = online_cpus()
            .map_err(|(what, error)| failed(error.raw_os_error(), format!("{what}: {error}")))?;
        let pages = ring_bytes(cpus.len()) / page_size();
        let mut rings = Vec::new();
        for cpu in cpus {
            let ring = map.open(cpu, Some(pages.max(1)));
            let ring = ring.map_err(|error| failed(errno(&error), words(&error)))?;
            // SAFETY: the ring owns its descriptor for as long as the `AsyncFd` owns the ring.
            let ring = unsafe { AsyncFd::register(ring) };
            rings.push(ring.map_err(|error| failed(None, error.to_string()))?);
        }
        Ok(Self { rings })
    }

    /// Waits until there is something.
    pub async fn ready(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_ready(context)).await
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ready = false;
        for ring in &mut self.rings {
            while let Poll::Ready(guard) = ring.poll_read_ready_mut(context) {
                // Before it is emptied: what comes meanwhile wakes us again.
                guard?.clear_ready();
                ready = true;
            }
        }
        if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Takes what is there, each CPU's in its order.
    pub fn take(&mut self, into: &mut Vec<Record>) {
        for ring in &mut self.rings {
            ring.get_mut().for_each(|event| {
                // What was lost, the programs count: the kernel tells of it only when there is room again.
                if let PerfEvent::Sample { head, tail } = event {
                    into.extend(decode(head, tail));
                }
            });
        }
    }
}

/// A record may lie around the end of the ring, in two pieces, and is padded.
fn decode(head: &[u8], tail: &[u8]) -> Option<Record> {
    let mut bytes = [head, tail].concat();
    let start = size_of::<Sighting>();
    if bytes.len() < start {
        return None;
    }
    // SAFETY: long enough, and it is plain integers for which every bit pattern is a value.
    let sighting = unsafe { bytes.as_ptr().cast::<Sighting>().read_unaligned() };
    bytes.drain(..start);
    bytes.truncate(sighting.kept as usize);
    Some(Record { sighting, bytes })
}

/// Bytes of one CPU's ring, a power of two: a burst that one CPU forwards while the reader is not at work goes in there.
/// At most room for a hundred frames of 64 KiB, at least for four.
fn ring_bytes(cpus: usize) -> usize {
    let share = (ALL_RINGS / cpus.max(1)).clamp(256 << 10, 8 << 20);
    1 << share.ilog2()
}

fn data(pins: &PinDir, map: &'static str) -> Result<MapData> {
    MapData::from_pin(pins.map(map)).map_err(|error| Error::OpenMap { map, reason: words(&error) })
}

fn typed<T: TryFrom<Map, Error = MapError>>(pins: &PinDir, map: &'static str) -> Result<T> {
    Map::from_map_data(data(pins, map)?)
        .and_then(T::try_from)
        .map_err(|error| Error::OpenMap { map, reason: words(&error) })
}

fn page_size() -> usize {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.map_or(4096, |size| size as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rings_have_a_bounded_size() {
        let sizes = [1, 2, 3, 4, 16, 100, 128, 1024].map(|cpus| ring_bytes(cpus) >> 10);
        assert_eq!(sizes, [8192, 8192, 8192, 8192, 2048, 256, 256, 256]);
    }

    #[test]
    fn a_record_around_the_end_of_the_ring() {
        let sighting = Sighting { time: 7, length: 90, kept: 3, ..Sighting::default() };
        // SAFETY: plain bytes without padding.
        let mut bytes = unsafe { std::mem::transmute::<Sighting, [u8; 32]>(sighting) }.to_vec();
        bytes.extend([1, 2, 3, 0, 0]);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(decode(head, tail), Some(Record { sighting, bytes: vec![1, 2, 3] }), "{cut}");
        }
        assert_eq!(decode(&bytes[..31], &[]), None);
    }
}
