//! Small BPF programs of the lab's own, as instructions: what is measured against, what makes and what eats frames.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const MAP_CREATE: libc::c_long = 0;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const PROG_TEST_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;
const ENABLE_STATS: libc::c_long = 32;
const DEVMAP: u32 = 14;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 1 << 1;

/// Where a program goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Native XDP.
    Xdp,
    /// tcx ingress.
    TcxIngress,
}

impl Hook {
    const fn program_type(self) -> u32 {
        match self {
            Hook::Xdp => 6,
            Hook::TcxIngress => 3,
        }
    }

    const fn attach_type(self) -> u32 {
        match self {
            Hook::Xdp => 37,
            Hook::TcxIngress => 46,
        }
    }
}

/// One instruction, as `struct bpf_insn`.
pub const fn insn(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> u64 {
    code as u64
        | (dst as u64) << 8
        | (src as u64) << 12
        | (offset as u16 as u64) << 16
        | (imm as u32 as u64) << 32
}

/// A loaded program.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    hook: Hook,
}

/// A program on a device, until this is dropped.
#[derive(Debug)]
pub struct Attached(#[allow(dead_code, reason = "held")] OwnedFd);

impl Program {
    /// Has the verifier take these instructions.
    pub fn load(hook: Hook, instructions: &[u64]) -> io::Result<Program> {
        #[repr(C)]
        #[derive(Default)]
        struct Load {
            prog_type: u32,
            insn_count: u32,
            insns: u64,
            license: u64,
            rest: [u64; 3],
        }
        let load = Load {
            prog_type: hook.program_type(),
            insn_count: instructions.len() as u32,
            insns: instructions.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            ..Load::default()
        };
        Ok(Program { fd: new(PROG_LOAD, &load)?, hook })
    }

    /// Attaches it to a device of the caller's namespace.
    pub fn attach(&self, dev: &str) -> io::Result<Attached> {
        let create = [
            self.fd.as_raw_fd() as u32,
            crate::device::index(dev)?,
            self.hook.attach_type(),
            // Room for the relative placement of tcx.
            0,
            0,
            0,
            0,
            0,
        ];
        Ok(Attached(new(LINK_CREATE, &create)?))
    }

    /// Runs an XDP program on `repeat` real frames that have come in at a device of the caller's namespace, `batch` (0 for 64) at a time.
    pub fn run_live(&self, frame: &[u8], ifindex: u32, repeat: u32, batch: u32) -> io::Result<()> {
        #[repr(C)]
        #[derive(Default)]
        struct Run {
            prog_fd: u32,
            retval: u32,
            data_size_in: u32,
            data_size_out: u32,
            data_in: u64,
            data_out: u64,
            repeat: u32,
            duration: u32,
            ctx_size_in: u32,
            ctx_size_out: u32,
            ctx_in: u64,
            ctx_out: u64,
            flags: u32,
            cpu: u32,
            batch_size: u32,
            padding: u32,
        }
        // `struct xdp_md`.
        let context = [0, frame.len() as u32, 0, ifindex, 0, 0];
        let run = Run {
            prog_fd: self.fd.as_raw_fd() as u32,
            data_size_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat,
            ctx_size_in: size_of_val(&context) as u32,
            ctx_in: context.as_ptr() as u64,
            flags: LIVE_FRAMES,
            batch_size: batch,
            ..Run::default()
        };
        call(PROG_TEST_RUN, &run).map(drop)
    }
}

/// While this lives the kernel counts how often programs run, and how long (`BPF_STATS_RUN_TIME`).
#[derive(Debug)]
pub struct RunTimes(#[allow(dead_code, reason = "held")] OwnedFd);

impl RunTimes {
    /// From now on.
    pub fn count() -> io::Result<RunTimes> {
        Ok(RunTimes(new(ENABLE_STATS, &0_u32)?))
    }
}

/// Sends every frame out of a device, with a look at nothing: `r1 = ifindex; r2 = 0; call bpf_redirect; exit`.
pub fn redirect(hook: Hook, ifindex: u32) -> io::Result<Program> {
    const REDIRECT: i32 = 23;
    let (device, flags) = (insn(0xb7, 1, 0, 0, ifindex as i32), insn(0xb7, 2, 0, 0, 0));
    Program::load(hook, &[device, flags, insn(0x85, 0, 0, 0, REDIRECT), insn(0x95, 0, 0, 0, 0)])
}

/// A devmap of these devices of the caller's namespace.
pub fn devmap(ifindexes: &[u32]) -> io::Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Update {
        map: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let map = new(MAP_CREATE, &[DEVMAP, 4, 4, ifindexes.len() as u32, 0, 0])?;
    for (key, ifindex) in (0_u32..).zip(ifindexes) {
        let update = Update {
            map: map.as_raw_fd() as u32,
            key: (&raw const key) as u64,
            value: std::ptr::from_ref(ifindex) as u64,
            ..Update::default()
        };
        call(MAP_UPDATE_ELEM, &update)?;
    }
    Ok(map)
}

fn new<T>(command: libc::c_long, attribute: &T) -> io::Result<OwnedFd> {
    let fd = call(command, attribute)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn call<T>(command: libc::c_long, attribute: &T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads, and for a test run writes, one attribute of the size given, and what it points to is alive.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attribute).cast_mut(),
            size_of::<T>() as libc::c_uint,
        )
    };
    Ok(Errno::result(result)?)
}
