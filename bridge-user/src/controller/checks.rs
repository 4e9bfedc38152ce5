//! The facts for `plan::validate`, and what it says of them. Nothing here changes anything.

use std::fs;

use bridge_common::PortId;

use super::{bypass, networks};
use crate::{
    Refusal, Result,
    control::protocol::HookChoice,
    datapath::{BridgeName, PinDir, Slot, Tables, bpffs},
    link::{InterfaceName, Link, Links, hardware, namespace},
    plan::{
        Probe, Warning, hook,
        validate::{self, Claims},
    },
    settings::Settings,
};

/// Refuses a machine on which no bridge can run, else says what it is.
pub fn environment() -> Result<Probe> {
    let probe = probe();
    validate::environment(&probe)?;
    Ok(probe)
}

/// What this machine is.
pub fn probe() -> Probe {
    Probe {
        kernel: kernel(),
        btf: fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false),
        capable: capable(),
        bpffs: bpffs().is_ok(),
    }
}

fn kernel() -> (u32, u32) {
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// CAP_NET_ADMIN (12), CAP_PERFMON (38) and CAP_BPF (39) are in effect.
fn capable() -> bool {
    const NEEDED: u64 = 1 << 12 | 1 << 38 | 1 << 39;
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & NEEDED == NEEDED)
}

/// Looks at everything that the settings name, before anything is changed. Gives the uplink, what the operator should know, and whose the
/// devices of this network namespace are.
pub fn devices(settings: &Settings, links: &Links, pins: &PinDir) -> Result<(Link, Vec<Warning>, Claimed)> {
    home(pins)?;
    let uplink = existing(&settings.uplink, links)?;
    same_uplink(&uplink, links, pins)?;
    networks::check(&settings.attach, links)?;
    let claimed = Claimed::read(pins)?;
    let of_uplink = claimed.of(&uplink);
    let mut warnings = validate::uplink(&uplink, &of_uplink)?;
    bypassed(settings, &uplink, settings.uplink_hook, &of_uplink, links)?;
    // That some port takes XDP is all that is not known yet, and no reason to refuse.
    hook::uplink(settings.uplink_hook, settings.prefer, &uplink, driver(&uplink)?.as_deref(), true)?;
    let mut check = |link: &Link, hook| -> Result<()> {
        hook::choose(hook, settings.prefer, link, driver(link)?.as_deref())?;
        let claims = claimed.of(link);
        warnings.extend(validate::port(link, &uplink, &claims)?);
        bypassed(settings, link, hook, &claims, links)
    };
    let mut away = Vec::new();
    for port in &settings.ports {
        match &port.tap {
            Some(_) => {
                let link = links.get(&port.ifname)?;
                validate::tap(&port.ifname, link.as_ref())?;
                if let Some(link) = link {
                    check(&link, port.hook)?;
                } else if !is_known(pins, &port.ifname)? {
                    bypass::check(links, &port.ifname, None, port.hook, settings.allow_bypass)?;
                }
            }
            None => match links.get(&port.ifname)? {
                None if is_known(pins, &port.ifname)? => {
                    let text = format!("{} is away: it is taken in when it comes back", port.ifname);
                    away.push(Warning(text));
                }
                _ => {
                    let link = existing(&port.ifname, links)?;
                    check(&link, port.hook)?;
                }
            },
        }
    }
    warnings.extend(away);
    Ok((uplink, warnings, claimed))
}

/// Refuses a device whose frames would go past rules of others. One that is a port already forwards on.
fn bypassed(
    settings: &Settings,
    link: &Link,
    hook: HookChoice,
    claims: &Claims,
    links: &Links,
) -> Result<()> {
    if !claims.own {
        bypass::check(links, &link.name, Some(link.index), hook, settings.allow_bypass)?;
    }
    Ok(())
}

fn driver(link: &Link) -> Result<Option<String>> {
    Ok(hardware::driver(&link.name)?.map(|driver| driver.name))
}

/// Looks at one device that is to become a port of a running bridge.
pub fn port(link: &Link, uplink: &Link, claimed: &Claimed) -> Result<Vec<Warning>> {
    Ok(validate::port(link, uplink, &claimed.of(link))?)
}

/// A device that must be there.
pub fn existing(name: &InterfaceName, links: &Links) -> Result<Link> {
    if let Some(link) = links.get(name)? {
        return Ok(link);
    }
    let names: Vec<_> = links.list()?.into_iter().map(|link| link.name).collect();
    Err(validate::no_such(name, &names).into())
}

/// Whether what a former controller left forwarding has a port of this name: then a start does not stand or fall
/// with its device.
fn is_known(pins: &PinDir, name: &InterfaceName) -> Result<bool> {
    let Ok(tables) = Tables::open(pins) else { return Ok(false) };
    Ok(tables.records()?.iter().any(|(_, record)| record.name() == name.as_str()))
}

/// A bridge of this name that is left over must be of this network namespace: its devices are there.
fn home(pins: &PinDir) -> Result<()> {
    let Ok(tables) = Tables::open(pins) else { return Ok(()) };
    let home = tables.bridge()?.namespace;
    // 0: the former controller died before it wrote anything down.
    if home != 0 && home != namespace::cookie()? {
        let message = format!("bridge {} exists in another network namespace", pins.bridge());
        return Err(Refusal::new(message, "give this one another name with --bridge").into());
    }
    Ok(())
}

/// A bridge that is left over must be of this uplink. One that was renamed since is the same by its index.
fn same_uplink(uplink: &Link, links: &Links, pins: &PinDir) -> Result<()> {
    let Ok(tables) = Tables::open(pins) else { return Ok(()) };
    let record = tables.record(PortId::UPLINK)?;
    let device = links.by_index(tables.port(PortId::UPLINK)?.ifindex)?;
    let name = device.map_or_else(|| record.name().to_string(), |link| link.name.to_string());
    if record.name().is_empty() || name == uplink.name.as_str() {
        return Ok(());
    }
    Err(other_uplink(pins.bridge(), &name).into())
}

/// What a start with another uplink is told.
pub fn other_uplink(bridge: &BridgeName, name: &str) -> Refusal {
    let hint = format!("take it down first with `xbr down {bridge}`");
    Refusal::new(format!("bridge {bridge} has another uplink, {name}"), hint)
}

/// Which devices are ports of bridges of this network namespace. A start reads it once, and not for each of its ports.
pub struct Claimed(Vec<Claim>);

struct Claim {
    ifindex: u32,
    /// None for our own.
    bridge: Option<String>,
    xdp: bool,
}

impl Claimed {
    /// As it is now. `pins` are our own.
    pub fn read(pins: &PinDir) -> Result<Self> {
        let here = namespace::cookie()?;
        let mut claimed = Vec::new();
        for other in PinDir::all()? {
            let own = other.bridge() == pins.bridge();
            let Ok(tables) = Tables::open(&other) else { continue };
            if tables.bridge()?.namespace != here {
                continue;
            }
            for (id, _) in tables.records()? {
                claimed.push(Claim {
                    ifindex: tables.port(id)?.ifindex,
                    bridge: (!own).then(|| other.bridge().to_string()),
                    xdp: own && other.is_attached(id, Slot::Xdp),
                });
            }
        }
        Ok(Self(claimed))
    }

    fn of(&self, link: &Link) -> Claims {
        let mut claims = Claims::default();
        for claim in self.0.iter().filter(|claim| claim.ifindex == link.index) {
            match &claim.bridge {
                Some(bridge) => claims.bridge = Some(bridge.clone()),
                None => (claims.own, claims.own_xdp) = (true, claims.own_xdp || claim.xdp),
            }
        }
        claims
    }
}
