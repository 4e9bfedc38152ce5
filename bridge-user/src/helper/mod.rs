//! The bridge helper: QEMU's `-netdev bridge,br=NAME,helper=…` gets a TAP that is a port of bridge `NAME`, and needs no privilege
//! of its own for it.
//!
//! It runs with more rights than its caller, who is not trusted: setuid root, or with file capabilities. So it is small (no
//! runtime, no BPF, no command-line library is reached from here) and does things in this order:
//!
//! 1. become the caller, with two capabilities in reserve and none in effect (`privileges`);
//! 2. look at what it was given: arguments (`args`), QEMU's socket (`qemu`), the access list (`access`, `files`);
//! 3. connect to the controller and make the TAP, each with what it takes, and give both capabilities up;
//! 4. as nobody but the caller, ask the controller to attach the TAP (`controller`) and hand it to QEMU.
//!
//! Invariant: nothing is read from the environment, and no text of the caller becomes part of a path but a checked
//! [`BridgeName`](crate::datapath::BridgeName).
//!
//! The TAP is down until the controller has attached its programs, and vanishes with the last descriptor of it: with this
//! process if anything fails, else with QEMU.

mod access;
mod args;
mod controller;
mod error;
mod files;
#[cfg(test)]
mod laws;
mod privileges;
mod qemu;
#[cfg(test)]
mod tests;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

pub use error::{Error, Result};

use crate::{
    control::protocol::Loan,
    link::{namespace, tap},
};
use access::Access;
use args::Args;
use controller::Controller;
use privileges::Privileges;

/// The access list. Not to be changed from outside: whoever could would write their own.
const ACCESS_LIST: &str = "/etc/xbr/bridge.conf";

/// The whole of `xbr-bridge-helper`: 0 when QEMU has its TAP, 2 for bad input or access denied, 1 for everything else.
pub fn main() -> ExitCode {
    let Err(error) = run(env::args_os().skip(1).collect()) else { return ExitCode::SUCCESS };
    eprintln!("xbr-bridge-helper: {error}");
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(error.exit_code())
}

fn run(words: Vec<OsString>) -> Result<()> {
    let privileges = Privileges::in_reserve()?;
    let Args { bridge, fd, vnet_hdr } = args::parse(words)?;
    privileges::close_all_but(fd);
    let qemu = qemu::Socket::new(fd)?;
    let access = Access::read(&bridge, Path::new(ACCESS_LIST), &files::read)?;
    if !access.is_allowed() {
        return Err(Error::Denied { bridge, uid: privileges.uid() });
    }
    let controller = privileges.connect(|| Controller::connect(&bridge))?;
    let uid = privileges.uid();
    let options = tap::TapOptions { owner: Some(uid), multi_queue: false, vnet_hdr };
    let (tap, ifname) = privileges.make_tap(|| Ok(tap::open_new(&Loan::pattern(uid), &options)?))?;
    privileges.give_up()?;
    let loan = Loan { ifname, uid, limit: access.limit(), namespace: namespace::cookie()? };
    controller.attach(loan)?;
    qemu.hand_over(tap)
}
