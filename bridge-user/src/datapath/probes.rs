//! Probes for loops: sent by a program of ours, and found where one came back.

use aya::{
    TestRun as _, TestRunOptions,
    maps::{Array, MapData},
    programs::SchedClassifier,
};
use bridge_common::{
    PortId,
    maps::{JOINED, PROBE, PROBED, programs},
};

use super::{
    Programs, Tables,
    error::{Error, Result, words},
    tables::{read_error, typed, write_error},
};

/// The maps.
pub(super) struct ProbeMaps {
    probe: Array<MapData, u64>,
    probed: Array<MapData, u64>,
    joined: Array<MapData, u64>,
}

impl ProbeMaps {
    pub(super) fn open(data: impl Fn(&'static str) -> Result<MapData>) -> Result<Self> {
        Ok(Self {
            probe: typed(PROBE, data(PROBE)?)?,
            probed: typed(PROBED, data(PROBED)?)?,
            joined: typed(JOINED, data(JOINED)?)?,
        })
    }
}

impl Tables {
    /// Has the programs note where a probe of this number comes in; 0 for none.
    pub fn set_probe(&mut self, nonce: u64) -> Result<()> {
        self.probe_maps.probe.set(0, nonce, 0).map_err(|error| write_error(PROBE, error))
    }

    /// The number of the last probe that came in at a port.
    pub fn probed(&self, id: PortId) -> Result<u64> {
        self.probe_maps.probed.get(&id.index(), 0).map_err(|error| read_error(PROBED, error))
    }

    /// When a port was taken in, in nanoseconds of `CLOCK_MONOTONIC`; 0 where that was not written down.
    pub fn joined(&self, id: PortId) -> Result<u64> {
        self.probe_maps.joined.get(&id.index(), 0).map_err(|error| read_error(JOINED, error))
    }

    /// Writes when a port was taken in.
    pub fn set_joined(&mut self, id: PortId, time: u64) -> Result<()> {
        self.probe_maps.joined.set(id.index(), time, 0).map_err(|error| write_error(JOINED, error))
    }
}

impl Programs {
    /// Sends a frame out of a device, past what the bridge thinks of frames. False if the device did not take it, as one that is down or
    /// whose queue is full.
    pub fn send_probe(&self, ifindex: u32, frame: &[u8]) -> Result<bool> {
        let program = programs::PROBE;
        let absent = || Error::Object { reason: format!("no program {program}") };
        let loaded = self.ebpf.program(program).ok_or_else(absent)?;
        let context = sk_buff(ifindex);
        let options = TestRunOptions { data_in: Some(frame), ctx_in: Some(&context), ..Default::default() };
        let outcome = <&SchedClassifier>::try_from(loaded).and_then(|program| program.test_run(options));
        let outcome = outcome.map_err(|error| Error::Probe { reason: words(&error) })?;
        Ok(outcome.return_value == 0)
    }
}

/// `struct __sk_buff` of a frame that came in at a device and is there again: its `ingress_ifindex` and `ifindex`.
fn sk_buff(ifindex: u32) -> [u8; 192] {
    let mut bytes = [0; 192];
    for at in [36, 40] {
        bytes[at..at + 4].copy_from_slice(&ifindex.to_ne_bytes());
    }
    bytes
}
