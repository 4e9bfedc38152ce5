//! `xbr libvirt hook`: what libvirt calls at every turn of a guest's life, and waits for.
//!
//! The TAPs are there at `start`, before QEMU is, so that is when they are attached: no frame of the guest comes
//! earlier. A guest that cannot be attached is not started; libvirt shows what we write to standard error.

use std::{
    io::{self, Read as _},
    time::Duration,
};

use bridge_common::record::Origin;
use clap::Args;

use super::super::{controller, which};
use crate::{
    Error, Refusal, Result,
    control::{Reply, Request, client},
    datapath::BridgeName,
    libvirt::domain::{Attachment, Domain},
    link::Links,
    plan::validate,
    snapshot::{self, PortRow},
};

/// The most bytes of XML that are read.
const MAX_XML: u64 = 4 << 20;

/// How long the controller may take. libvirt itself would wait for ever, with the guest locked.
const PATIENCE: Duration = Duration::from_secs(10);

/// libvirt's words.
#[derive(Debug, Args)]
pub struct HookArgs {
    /// The domain's name
    #[arg(allow_hyphen_values = true)]
    domain: String,
    /// What happens to it
    operation: String,
    /// The phase
    #[arg(allow_hyphen_values = true)]
    phase: Option<String>,
    /// More about it
    #[arg(allow_hyphen_values = true)]
    extra: Option<String>,
}

/// Does it.
pub fn run(args: &HookArgs) -> Result<()> {
    let text = xml()?;
    match args.operation.as_str() {
        // Where a QEMU of somebody else's was taken over, the guest runs already.
        "start" | "started" | "attach" => attach_all(&text),
        "reconnect" => {
            // The daemon was restarted, and would end the guest if we failed (`qemuProcessReconnect`).
            if let Err(error) = attach_all(&text) {
                eprintln!("error: {error}");
            }
            Ok(())
        }
        "release" => release(&text),
        // Nothing is to be done at `prepare`, `stopped`, `migrate` and `restore`. What is printed at the latter two would
        // become the guest's XML.
        _ => Ok(()),
    }
}

fn xml() -> Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_XML + 1).read_to_string(&mut text);
    if read.map_err(Error::io("read the domain's XML"))? as u64 > MAX_XML {
        let message = format!("the domain's XML has more than {} MiB", MAX_XML >> 20);
        return Err(Refusal::new(message, "no guest needs that much").into());
    }
    Ok(text)
}

fn attach_all(text: &str) -> Result<()> {
    Domain::parse(text)?.attachments()?.iter().try_for_each(attach)
}

fn attach(attachment: &Attachment) -> Result<()> {
    let Attachment { bridge, ifname, hook, allow_bypass } = attachment;
    let links = Links::open()?;
    let Some(link) = links.get(ifname)? else {
        let names: Vec<_> = links.list()?.into_iter().map(|link| link.name).collect();
        return Err(validate::no_such(ifname, &names).into());
    };
    let tables = which::bridge(Some(bridge))?.tables;
    if snapshot::ports(&tables, &links)?.iter().any(|row| row.port.ifindex == link.index) {
        // It needs no controller to be one.
        return Ok(());
    }
    let (ifname, hook, allow_bypass) = (ifname.clone(), *hook, *allow_bypass);
    call(bridge, &Request::PortAdd { ifname, hook, allow_bypass, transient: true, policy: Box::default() })
}

/// Lets go of TAPs that outlive the guest. Those that libvirt made are gone by now, and their ports end with them.
fn release(text: &str) -> Result<()> {
    let taps = Domain::parse(text)?.taps_left()?;
    if taps.is_empty() {
        return Ok(());
    }
    let links = Links::open()?;
    for tap in taps {
        // With a carrier it is another guest's already; this one may have failed to start for that.
        let Some(link) = links.get(&tap)?.filter(|link| !link.carrier) else { continue };
        let ours = |row: &PortRow| row.port.ifindex == link.index && row.record.origin.has(Origin::TRANSIENT);
        for bridge in which::here()? {
            if snapshot::ports(&bridge.tables, &links)?.iter().any(ours) {
                call(bridge.name(), &Request::PortDel { ifname: tap.clone() })?;
            }
        }
    }
    Ok(())
}

fn call(bridge: &BridgeName, request: &Request) -> Result<()> {
    let reply = controller::block_on(async {
        match tokio::time::timeout(PATIENCE, client::call(bridge, request)).await {
            Ok(reply) => reply.map_err(controller::explain),
            Err(_) => {
                Ok(Reply::Failed { message: format!("the controller of bridge {bridge} does not answer") })
            }
        }
    })?;
    // Standard output is not ours: at some operations libvirt reads XML there.
    controller::done(reply)?.iter().for_each(|note| eprintln!("{note}"));
    Ok(())
}
