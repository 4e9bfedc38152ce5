//! Bad input, seen before anything is done: each case one sentence and what to do instead.

use std::fmt;

use crate::{Refusal, link::InterfaceName, link::Link, snapshot::HOST};

/// Something that is taken, but that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The oldest kernel that has all we use, as (major, minor).
pub const OLDEST_KERNEL: (u32, u32) = (6, 1);

/// What the machine is, as far as every bridge depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// The kernel describes its types (`/sys/kernel/btf/vmlinux`).
    pub btf: bool,
    /// CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are in effect.
    pub capable: bool,
    /// A BPF file system is mounted.
    pub bpffs: bool,
}

/// Refuses a machine on which no bridge can run.
pub fn environment(probe: &Probe) -> Result<(), Refusal> {
    let (major, minor) = probe.kernel;
    if !probe.capable {
        Err(Refusal::new(
            "xbr needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON together",
            "try again with sudo",
        ))
    } else if probe.kernel < OLDEST_KERNEL {
        let message = format!("xbr needs Linux 6.1 or later, and this is Linux {major}.{minor}");
        Err(Refusal::new(message, "boot a newer kernel"))
    } else if !probe.btf {
        let message = "this kernel does not describe its types (BTF), which BPF programs need";
        Err(Refusal::new(message, "boot a kernel that was built with CONFIG_DEBUG_INFO_BTF=y"))
    } else if !probe.bpffs {
        let hint = "mount it with mount -t bpf bpf /sys/fs/bpf; ip netns exec hides it, so enter a network \
                    namespace with nsenter --net=/run/netns/NAME instead";
        Err(Refusal::new("no BPF file system is mounted", hint))
    } else {
        Ok(())
    }
}

/// What others have already done to a device, as far as netlink alone does not tell whether it was us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The other bridge of xbr, in the same network namespace, of which it is the uplink or a port.
    pub bridge: Option<String>,
    /// It is a port, or the uplink, of the bridge that is being started.
    pub own: bool,
    /// The XDP program on it is the one of the bridge that is being started.
    pub own_xdp: bool,
}

/// Refuses a device that cannot be the uplink.
pub fn uplink(link: &Link, claims: &Claims) -> Result<Vec<Warning>, Refusal> {
    let name = &link.name;
    if link.hardware == Link::LOOPBACK {
        let message = format!("{name} is the loopback device and leads nowhere outside");
        return Err(Refusal::new(message, UPLINK_HINT));
    }
    if link.wireless {
        let message = format!("{name} is a Wi-Fi device, which sends frames from its own MAC address only");
        return Err(Refusal::new(message, "use a wired device, or route instead of bridging"));
    }
    device(link, claims)?;
    let mut warnings = Vec::new();
    if !link.up {
        warnings.push(Warning(format!("{name} is down: nothing reaches the outside until it is set up")));
    } else if !link.carrier {
        warnings.push(Warning(format!("{name} has no carrier: nothing reaches the outside until it has")));
    }
    Ok(warnings)
}

/// Refuses a device that cannot be a guest's port of the bridge with this uplink.
pub fn port(link: &Link, uplink: &Link, claims: &Claims) -> Result<Vec<Warning>, Refusal> {
    let name = &link.name;
    if link.index == uplink.index {
        let message = format!("{name} is the uplink and cannot be another port too");
        return Err(Refusal::new(message, "name it once"));
    }
    if name.as_str() == HOST {
        return Err(Refusal::new(
            "no device named host can be a port, since that name means the host itself",
            "rename the device: ip link set host name NEW",
        ));
    }
    if link.hardware == Link::LOOPBACK {
        let message = format!("{name} is the loopback device and leads to no guest");
        return Err(Refusal::new(message, "attach a TAP, a veth or a network card"));
    }
    if link.wireless {
        let message = format!("{name} is a Wi-Fi device, which sends frames from its own MAC address only");
        return Err(Refusal::new(message, "attach a TAP, a veth or a wired network card"));
    }
    device(link, claims)?;
    Ok(mtu(link, uplink).into_iter().collect())
}

/// Refuses a name that a new TAP cannot have: `existing` is what has it now. A TAP of that name is taken over.
pub fn tap(name: &InterfaceName, existing: Option<&Link>) -> Result<(), Refusal> {
    match existing {
        Some(link) if !link.is_tap() => {
            let attach = format!("choose another name, or attach it as it is: --port {name}");
            let hint = if link.hardware == Link::ETHERNET { attach } else { "choose another name".into() };
            Err(Refusal::new(format!("{name} exists and is no TAP"), hint))
        }
        _ => Ok(()),
    }
}

/// A refusal for a name that no device has; `names` are those that there are.
pub fn no_such(name: &InterfaceName, names: &[InterfaceName]) -> Refusal {
    let mut near: Vec<_> = names
        .iter()
        .map(|other| (distance(name.as_str(), other.as_str()), other.as_str()))
        .filter(|(distance, other)| *distance <= 2 || other.starts_with(name.as_str()))
        .collect();
    near.sort_unstable();
    let near: Vec<_> = near.into_iter().take(3).map(|(_, other)| other).collect();
    let hint = match near.as_slice() {
        [] => "ip link lists the devices of this network namespace".to_string(),
        near => format!("is it {}?", near.join(" or ")),
    };
    Refusal::new(format!("there is no device {name} in this network namespace"), hint)
}

const UPLINK_HINT: &str = "name the network card that leads outside: --uplink eth0";

/// What holds for the uplink and the other ports alike.
fn device(link: &Link, claims: &Claims) -> Result<(), Refusal> {
    let name = &link.name;
    if link.hardware != Link::ETHERNET || link.mac.is_none() {
        let message = format!("{name} is no Ethernet device");
        return Err(Refusal::new(message, "xbr forwards Ethernet frames; use a device that carries them"));
    }
    if link.master.is_some() {
        let kind = link.slave_kind.as_deref().unwrap_or("another device");
        let article = if kind.starts_with('a') { "" } else { "a " };
        let message = format!("{name} is already a member of {article}{kind}");
        return Err(Refusal::new(message, format!("take it out first: ip link set {name} nomaster")));
    }
    if let Some(bridge) = &claims.bridge {
        let message = format!("{name} is already used by bridge {bridge} of xbr");
        return Err(Refusal::new(message, format!("take that one down first: xbr down {bridge}")));
    }
    if let (Some(program), false) = (link.xdp.first(), claims.own_xdp) {
        let message = format!("another XDP program (id {}) sits on {name}", program.id);
        return Err(Refusal::new(
            message,
            format!("see what it is with bpftool net show dev {name}, and remove it"),
        ));
    }
    Ok(())
}

/// A port whose MTU is not the uplink's is taken, but not every frame fits.
fn mtu(link: &Link, uplink: &Link) -> Option<Warning> {
    let (name, mtu, up, up_mtu) = (&link.name, link.mtu, &uplink.name, uplink.mtu);
    match mtu.cmp(&up_mtu) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(Warning(format!(
            "{name} has MTU {mtu} and {up} has {up_mtu}: frames with more than {mtu} bytes of payload do not fit \
             through {name} and are dropped as too_big"
        ))),
        std::cmp::Ordering::Greater => Some(Warning(format!(
            "{name} has MTU {mtu} and {up} has {up_mtu}: frames that {name} sends with more than {up_mtu} bytes \
             of payload do not fit through {up} and are dropped as too_big"
        ))),
    }
}

/// How many letters differ: Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let best = (diagonal + usize::from(from != *to)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
pub mod tests;
