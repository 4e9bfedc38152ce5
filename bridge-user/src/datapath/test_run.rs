//! Running a loaded program on one frame, for the lab: `BPF_PROG_TEST_RUN`.

use std::time::Duration;

use aya::{
    Pod, TestRun as _, TestRunOptions,
    maps::{Array, Map, MapData, RingBuf},
    programs::{SchedClassifier, Xdp},
};
use bridge_common::{
    FdbEvent,
    maps::{self, programs},
    port::MAX_PORTS,
};

use super::{
    PinDir, Programs,
    error::{Error, Result, words},
    events,
};

/// What surrounds the frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// The device, of the caller's network namespace.
    pub ifindex: u32,
    /// For TC: payload bytes of each segment.
    pub gso_size: u32,
    /// For TC: the host's mark.
    pub mark: u32,
}

impl Programs {
    /// Runs a program on a frame and returns its action. A redirect of the frame itself is not carried out,
    /// the copies of a flood are.
    pub fn test_run(&self, program: &'static str, frame: &[u8], context: &Context) -> Result<u32> {
        Ok(self.repeat(program, frame, context, 1)?.0)
    }

    /// The same many times over: the action and the mean time of one run.
    pub fn repeat(
        &self,
        program: &'static str,
        frame: &[u8],
        context: &Context,
        repeat: u32,
    ) -> Result<(u32, Duration)> {
        let absent = || Error::Object { reason: format!("no program {program}") };
        let loaded = self.ebpf.program(program).ok_or_else(absent)?;
        let failed = |error| Error::Verify { program, reason: words(&error) };
        let outcome = if program == programs::XDP {
            let context = xdp_md(frame.len() as u32, context);
            let options =
                TestRunOptions { ctx_in: Some(&context), data_in: Some(frame), repeat, ..Default::default() };
            <&Xdp>::try_from(loaded).and_then(|program| program.test_run(options))
        } else {
            let context = sk_buff(context);
            let options =
                TestRunOptions { ctx_in: Some(&context), data_in: Some(frame), repeat, ..Default::default() };
            <&SchedClassifier>::try_from(loaded).and_then(|program| program.test_run(options))
        };
        let outcome = outcome.map_err(failed)?;
        Ok((outcome.return_value, outcome.duration))
    }
}

/// `struct xdp_md`.
fn xdp_md(length: u32, context: &Context) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[4..8].copy_from_slice(&length.to_ne_bytes());
    bytes[12..16].copy_from_slice(&context.ifindex.to_ne_bytes());
    bytes
}

/// `struct __sk_buff`.
fn sk_buff(context: &Context) -> [u8; 192] {
    let mut bytes = [0; 192];
    for (at, word) in [(8, context.mark), (40, context.ifindex), (176, context.gso_size)] {
        bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// What the programs keep for themselves, for a test that wants to read it or begin anew.
pub struct Bench {
    ring: RingBuf<MapData>,
    budgets: Array<MapData, Words<3>>,
    reclaim: Array<MapData, Words<3>>,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Words<const N: usize>([u64; N]);

// SAFETY: an array of integers.
unsafe impl<const N: usize> Pod for Words<N> {}

impl Bench {
    /// Opens the pinned maps.
    pub fn open(pins: &PinDir) -> Result<Self> {
        Ok(Self {
            ring: map(pins, maps::EVENTS)?,
            budgets: map(pins, maps::EVENT_BUDGET)?,
            reclaim: map(pins, maps::RECLAIM)?,
        })
    }

    /// The events since the last call.
    pub fn events(&mut self) -> Vec<FdbEvent> {
        let mut all = Vec::new();
        while let Some(record) = self.ring.next() {
            all.extend(events::decode(&record));
        }
        all
    }

    /// Nothing was reported yet, and no room was made.
    pub fn forget(&mut self) -> Result<()> {
        let failed = |map| move |error| Error::WriteMap { map, reason: words(&error) };
        for port in 0..MAX_PORTS {
            self.budgets.set(port, Words([0; 3]), 0).map_err(failed(maps::EVENT_BUDGET))?;
        }
        self.reclaim.set(0, Words([0; 3]), 0).map_err(failed(maps::RECLAIM))
    }
}

fn map<T: TryFrom<Map, Error = aya::maps::MapError>>(pins: &PinDir, name: &'static str) -> Result<T> {
    MapData::from_pin(pins.map(name))
        .and_then(Map::from_map_data)
        .and_then(T::try_from)
        .map_err(|error| Error::OpenMap { map: name, reason: words(&error) })
}
