//! Asking the kernel, and changing nothing.

use std::path::Path;

use nix::sys::utsname::uname;

use super::{Device, Machine};
use crate::{
    Result, controller,
    datapath::{PinDir, Tables, bpffs},
    link::{
        self, InterfaceName, Link, Links, hardware, namespace, offload,
        rules::{self, Rule},
    },
    plan::{
        bypass::{self, Bypassed},
        validate,
    },
};

/// The machine, and all its devices or the one of this name.
pub fn look(name: Option<&InterfaceName>) -> Result<(Machine, Vec<Device>)> {
    let links = Links::open()?;
    let all = links.list()?;
    let wanted: Vec<Link> = match name {
        None => all.into_iter().filter(|link| link.hardware != Link::LOOPBACK).collect(),
        Some(name) => match links.get(name)? {
            Some(link) => vec![link],
            None => {
                let names: Vec<_> = all.into_iter().map(|link| link.name).collect();
                return Err(validate::no_such(name, &names).into());
            }
        },
    };
    let ports = ports();
    let machine = Machine {
        release: uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default(),
        probe: controller::probe(),
        bpffs: bpffs().ok().map(|path| path.display().to_string()),
        tun: Path::new("/dev/net/tun").exists(),
        bridges: ports.iter().map(|(bridge, _)| bridge.clone()).collect(),
    };
    let rules = rules::list();
    let devices =
        wanted.into_iter().map(|link| look_at(link, &links, &ports, &rules)).collect::<Result<_>>()?;
    Ok((machine, devices))
}

/// One device. `ports` are the bridges of this network namespace with the indexes of their devices, `rules`
/// those that name any interface.
pub fn look_at(
    link: Link,
    links: &Links,
    ports: &[(String, Vec<u32>)],
    rules: &link::Result<Vec<Rule>>,
) -> Result<Device> {
    let bridge = ports.iter().find(|(_, devices)| devices.contains(&link.index));
    Ok(Device {
        driver: hardware::driver(&link.name)?,
        channels: hardware::channels(&link.name)?,
        features: offload::features(&link.name)?,
        qdiscs: links.qdiscs(link.index)?,
        bypassed: bypassed(&link, links, rules),
        bridge: bridge.map(|(name, _)| name.clone()),
        link,
    })
}

/// Rules want CAP_NET_ADMIN to be read, and a doctor has something to say without it, too.
fn bypassed(link: &Link, links: &Links, rules: &link::Result<Vec<Rule>>) -> Result<Vec<Bypassed>, String> {
    let rules = rules.clone().map_err(|error| error.to_string())?;
    let found = controller::found(links, Some(link.index), rules).map_err(|error| error.to_string())?;
    Ok(bypass::bypassed(&link.name, Some(link.index), &found))
}

/// The bridges of this network namespace with their devices. What cannot be read is none of them: a doctor
/// has something to say on a machine without bpffs, too.
fn ports() -> Vec<(String, Vec<u32>)> {
    let Ok(here) = namespace::cookie() else { return Vec::new() };
    let read = |pins: PinDir| {
        let tables = Tables::open(&pins).ok()?;
        let ids = tables.records().ok()?;
        let devices = ids.iter().filter_map(|(id, _)| Some(tables.port(*id).ok()?.ifindex)).collect();
        (tables.bridge().ok()?.namespace == here).then(|| (pins.bridge().to_string(), devices))
    };
    PinDir::all().unwrap_or_default().into_iter().filter_map(read).collect()
}
