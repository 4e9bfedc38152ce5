//! `xbr down`: take a bridge down, through its controller or, where that is dead, without one.

use clap::Args;

use super::{Common, controller, output, which};
use crate::{
    Result,
    control::{Request, client},
    datapath::{self, BridgeName, PinDir, Tables},
};

/// Which bridge.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// The bridge; not needed while this network namespace has only one
    name: Option<BridgeName>,
}

/// Does it.
pub fn run(common: &Common, args: DownArgs) -> Result<()> {
    let pins = find(args.name.as_ref().or(common.bridge.as_ref()))?;
    let reply = controller::block_on(async {
        match client::call(pins.bridge(), &Request::Down).await {
            Err(client::Error::NoController { source, .. })
                if source.kind() != std::io::ErrorKind::PermissionDenied =>
            {
                Ok(None)
            }
            reply => reply.map(Some).map_err(controller::explain),
        }
    })?;
    match reply {
        Some(reply) => {
            let notes = controller::done(reply)?;
            output::print(&notes.iter().map(|note| format!("{note}\n")).collect::<String>())
        }
        None => clear(&pins),
    }
}

/// The bridge's folder. One that another version of xbr made has no tables that we can read, and is taken
/// down all the same where it is named.
fn find(name: Option<&BridgeName>) -> Result<PinDir> {
    if let Some(name) = name {
        let pins = PinDir::of(name)?;
        let opened = Tables::open(&pins);
        let other = matches!(opened, Err(datapath::Error::OtherLayout { .. }));
        // Or a start died before it had made its tables.
        let none = matches!(opened, Err(datapath::Error::NoBridge(_))) && pins.exists();
        if (other || none) && !opened.err().is_some_and(|error| which::denied(&error.to_string())) {
            return Ok(pins);
        }
    }
    Ok(which::bridge(name)?.pins)
}

/// Takes down a bridge whose controller is dead.
fn clear(pins: &PinDir) -> Result<()> {
    crate::controller::clear(pins)
}
