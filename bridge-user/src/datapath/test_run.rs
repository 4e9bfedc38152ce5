//! Running a loaded program on one frame, for the lab: `BPF_PROG_TEST_RUN`.

use std::time::Duration;

use aya::{
    TestRun as _, TestRunAttrs, TestRunOptions,
    programs::{SchedClassifier, Xdp},
};
use bridge_common::maps::programs;

use super::{
    Programs,
    error::{Error, Result, words},
};

/// Bytes for which there is room in a frame that comes out: what the kernel takes in, and a tag.
const ROOM: usize = 16 * 1024;

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
    /// Runs a program on a frame and returns its action, and the frame's bytes as they are then. A redirect of the frame itself is
    /// not carried out, the copies of a flood are. A tag that TC has put on is not among the bytes: the kernel keeps it beside them.
    pub fn test_run(&self, program: &'static str, frame: &[u8], context: &Context) -> Result<(u32, Vec<u8>)> {
        let mut out = vec![0; frame.len() + ROOM];
        let (action, length, _) = self.go(program, frame, Some(&mut out), context, 1)?;
        out.truncate(length);
        Ok((action, out))
    }

    /// The same many times over: the action and the mean time of one run.
    pub fn repeat(
        &self,
        program: &'static str,
        frame: &[u8],
        context: &Context,
        repeat: u32,
    ) -> Result<(u32, Duration)> {
        let (action, _, duration) = self.go(program, frame, None, context, repeat)?;
        Ok((action, duration))
    }

    /// Runs XDP's program on a frame and does with it what the program says, as if it had come in there.
    pub fn live(&self, frame: &[u8], context: &Context) -> Result<()> {
        let program = programs::XDP;
        let absent = || Error::Object { reason: format!("no program {program}") };
        let loaded = self.ebpf.program(program).ok_or_else(absent)?;
        let context = xdp_md(frame.len() as u32, context);
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            attrs: TestRunAttrs::new().xdp_live_frames(1),
            ..Default::default()
        };
        let done = <&Xdp>::try_from(loaded).and_then(|program| program.test_run(options));
        done.map(drop).map_err(|error| Error::Verify { program, reason: words(&error) })
    }

    /// Action, bytes that came out, and time.
    fn go(
        &self,
        program: &'static str,
        frame: &[u8],
        data_out: Option<&mut [u8]>,
        context: &Context,
        repeat: u32,
    ) -> Result<(u32, usize, Duration)> {
        let absent = || Error::Object { reason: format!("no program {program}") };
        let loaded = self.ebpf.program(program).ok_or_else(absent)?;
        let options = TestRunOptions { data_in: Some(frame), data_out, repeat, ..Default::default() };
        let outcome = if program == programs::XDP {
            let context = xdp_md(frame.len() as u32, context);
            let options = TestRunOptions { ctx_in: Some(&context), ..options };
            <&Xdp>::try_from(loaded).and_then(|program| program.test_run(options))
        } else {
            let context = sk_buff(context);
            let options = TestRunOptions { ctx_in: Some(&context), ..options };
            <&SchedClassifier>::try_from(loaded).and_then(|program| program.test_run(options))
        };
        let outcome = outcome.map_err(|error| Error::Verify { program, reason: words(&error) })?;
        Ok((outcome.return_value, outcome.data_size_out as usize, outcome.duration))
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
