//! `xbr libvirt hook`: what libvirt calls at every turn of a guest's life, and waits for.
//!
//! The TAPs are there at `start`, before QEMU is, so that is when they are attached: no frame of the guest comes
//! earlier. A guest that cannot be attached is not started; libvirt shows what we write to standard error.

use std::{
    io::{self, Read as _},
    time::Duration,
};

use clap::Args;

use super::super::{controller, which};
use crate::{
    Error, Refusal, Result,
    control::{Reply, Request, client},
    datapath::{self, BridgeName},
    libvirt::{
        domain::{Attachment, Domain},
        memory::{Attached, Memory, Uuid},
    },
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
pub fn run(args: &HookArgs, memory: &Memory) -> Result<()> {
    let text = xml()?;
    match args.operation.as_str() {
        // Where the daemon was restarted and where a QEMU of somebody else's was taken over, the guest runs already.
        "start" | "started" | "reconnect" | "attach" => {
            let domain = Domain::parse(&text)?;
            let attachments = domain.attachments()?;
            if attachments.is_empty() {
                return Ok(());
            }
            let (uuid, _lock) = (domain.uuid()?, memory.lock()?);
            attachments.iter().try_for_each(|attachment| attach(attachment, &uuid, memory))
        }
        "release" => {
            let (uuid, _lock) = (Domain::parse(&text)?.uuid()?, memory.lock()?);
            forget(&uuid, memory)
        }
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

fn attach(attachment: &Attachment, uuid: &Uuid, memory: &Memory) -> Result<()> {
    let Attachment { bridge, ifname, hook, allow_bypass } = attachment;
    let links = Links::open()?;
    let Some(link) = links.get(ifname)? else {
        let names: Vec<_> = links.list()?.into_iter().map(|link| link.name).collect();
        return Err(validate::no_such(ifname, &names).into());
    };
    let mut attached = memory.of(uuid)?;
    let before = attached.len();
    attached.retain(|port| port.ifname != *ifname);
    let is_ours = attached.len() < before;
    let known = port(attachment)?;
    let is_there = is_live(known.as_ref(), link.index);
    if is_there && !is_ours {
        // Somebody else's work, which is not for us to take away.
        return Ok(());
    }
    // Written down first: were we to die behind it, the release would find nothing to delete. What a former life of the
    // guest left may be a port again by itself, if its name is the same; its index is another one.
    attached.push(Attached { bridge: bridge.to_string(), ifname: ifname.clone(), ifindex: link.index });
    memory.set(uuid, &attached)?;
    if is_there {
        return Ok(());
    }
    let request = Request::PortAdd { ifname: ifname.clone(), hook: *hook, allow_bypass: *allow_bypass };
    match call(bridge, &request) {
        // It is known by that name from a former life, and the controller takes it in when it hears that it is back.
        Err(Error::Refused(_)) if known.is_some() && comes_back(attachment, link.index)? => Ok(()),
        outcome => outcome,
    }
}

/// Whether the port is live soon.
fn comes_back(attachment: &Attachment, ifindex: u32) -> Result<bool> {
    for _ in 0..100 {
        if is_live(port(attachment)?.as_ref(), ifindex) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

/// The port of this name, as the kernel has it written down.
fn port(attachment: &Attachment) -> Result<Option<PortRow>> {
    let bridge = which::bridge(Some(&attachment.bridge))?;
    let rows = snapshot::ports(&bridge.tables, &Links::open()?)?;
    Ok(rows.into_iter().find(|row| row.name == attachment.ifname.as_str()))
}

fn is_live(port: Option<&PortRow>, ifindex: u32) -> bool {
    port.is_some_and(|port| port.port.ifindex == ifindex)
}

/// Lets go of what was attached. A bridge that is gone has let go itself.
fn forget(uuid: &Uuid, memory: &Memory) -> Result<()> {
    let (mut left, mut failure) = (Vec::new(), Ok(()));
    for port in memory.of(uuid)? {
        if let Err(error) = let_go(&port) {
            left.push(port);
            failure = Err(error);
        }
    }
    memory.set(uuid, &left)?;
    failure
}

fn let_go(attached: &Attached) -> Result<()> {
    let bridge: BridgeName = attached.bridge.parse().map_err(|error: datapath::InvalidBridgeName| {
        Refusal::new(error.to_string(), "the files in /run/xbr/libvirt are the hook's own")
    })?;
    let found = match which::bridge(Some(&bridge)) {
        Err(Error::Refused(_)) => return Ok(()),
        found => found?,
    };
    let rows = snapshot::ports(&found.tables, &Links::open()?)?;
    let here = |row: &PortRow| row.name == attached.ifname.as_str();
    let Some(row) = rows.into_iter().find(here) else { return Ok(()) };
    // The device of an ended guest is gone, or still there where it is not libvirt's. With another index it is another's.
    if row.port.ifindex != 0 && row.port.ifindex != attached.ifindex {
        return Ok(());
    }
    match call(&bridge, &Request::PortDel { ifname: attached.ifname.clone() }) {
        Err(Error::Refused(_)) => Ok(()),
        outcome => outcome,
    }
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
