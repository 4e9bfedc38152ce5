//! Becoming the caller at once, and using what is left of privilege for two things only.

use std::{io, os::fd::RawFd};

use nix::{
    errno::Errno,
    sys::{prctl, stat},
    unistd::{self, Uid},
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::{Error, Result};

/// The controller's socket is root's alone.
const CONNECT: CapabilitySet = CapabilitySet::DAC_OVERRIDE;
/// A TAP is made with the one (`tun_set_iff`); the other opens /dev/net/tun also where that is root's alone.
const MAKE_TAP: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::DAC_OVERRIDE);

/// The caller, with up to two capabilities in reserve.
pub struct Privileges {
    uid: Uid,
    reserve: CapabilitySet,
}

impl Privileges {
    /// Becomes the caller for good, groups included, in an environment without anything. From here on a setuid
    /// program and one with file capabilities are the same: nothing is in effect until it is asked for.
    pub fn in_reserve() -> Result<Self> {
        // SAFETY: `main` has just begun and there is no other thread that could read the environment.
        let cleared = unsafe { libc::clearenv() };
        if cleared != 0 {
            return Err(failed(Errno::ENOMEM));
        }
        stat::umask(stat::Mode::from_bits_truncate(0o077));
        prctl::set_no_new_privs().map_err(failed)?;
        // Before the change of user, which would otherwise take the permitted ones away as well (`cap_emulate_setxuid`).
        prctl::set_keepcaps(true).map_err(failed)?;
        let (uid, gid) = (unistd::getuid(), unistd::getgid());
        unistd::setresgid(gid, gid, gid).map_err(failed)?;
        unistd::setresuid(uid, uid, uid).map_err(failed)?;
        prctl::set_keepcaps(false).map_err(failed)?;
        // Whoever has the same user may neither look inside nor leave a core behind.
        prctl::set_dumpable(false).map_err(failed)?;
        let permitted = capabilities(None).map_err(unheard)?.permitted;
        let privileges = Self { uid, reserve: permitted & (CONNECT | MAKE_TAP) };
        privileges.keep(CapabilitySet::empty())?;
        Ok(privileges)
    }

    /// The caller's user number.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Does what needs the right to open root's socket.
    pub fn connect<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.with(CONNECT, act)
    }

    /// Does what needs the right to make a TAP.
    pub fn make_tap<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.with(MAKE_TAP, act)
    }

    /// Has nothing any more.
    pub fn give_up(mut self) -> Result<()> {
        self.reserve = CapabilitySet::empty();
        self.keep(CapabilitySet::empty())
    }

    fn with<T>(&self, capabilities: CapabilitySet, act: impl FnOnce() -> Result<T>) -> Result<T> {
        // Where the installation did not give one, `act` says better than we could what fails for want of it.
        self.keep(self.reserve & capabilities)?;
        let outcome = act();
        self.keep(CapabilitySet::empty())?;
        outcome
    }

    fn keep(&self, effective: CapabilitySet) -> Result<()> {
        let sets = CapabilitySets { effective, permitted: self.reserve, inheritable: CapabilitySet::empty() };
        set_capabilities(None, sets).map_err(unheard)
    }
}

fn failed(errno: Errno) -> Error {
    Error::Privileges(errno.into())
}

fn unheard(errno: rustix::io::Errno) -> Error {
    Error::Privileges(io::Error::from_raw_os_error(errno.raw_os_error()))
}

/// Closes every descriptor but the standard ones and `fd`.
pub fn close_all_but(fd: RawFd) {
    let close = |from: i64, to: i64| {
        if from <= to {
            // SAFETY: nothing in this process owns a descriptor beyond the standard ones yet. A kernel that
            // refuses leaves them open, which is no worse than before.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    };
    close(3, i64::from(fd) - 1);
    close(i64::from(fd) + 1, i64::from(u32::MAX));
}
