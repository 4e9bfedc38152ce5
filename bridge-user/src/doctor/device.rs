//! One device.

use super::{Finding, others};
use crate::{
    control::protocol::HookChoice,
    link::{
        Link, Qdisc,
        hardware::{Channels, Driver},
        offload::Feature,
    },
    plan::{
        Chosen,
        bypass::Bypassed,
        drivers, hook,
        validate::{self, Claims},
    },
    settings::Prefer,
};

/// What was found of a device.
#[derive(Clone, Debug)]
pub struct Device {
    /// What netlink says.
    pub link: Link,
    /// What drives it.
    pub driver: Option<Driver>,
    /// Its channels.
    pub channels: Option<Channels>,
    /// Its offloads.
    pub features: Vec<Feature>,
    /// Its queueing disciplines.
    pub qdiscs: Vec<Qdisc>,
    /// What its frames go past, or would go past, as a port; or why that cannot be told.
    pub bypassed: Result<Vec<Bypassed>, String>,
    /// The bridge of xbr that has it.
    pub bridge: Option<String>,
}

/// What is to be said of a device.
pub fn device(device: &Device) -> Vec<Finding> {
    let mut findings = vec![identity(device), state(&device.link), queues(device)];
    findings.extend(others::on(device));
    findings.extend(others::bypassed(device));
    findings.extend(roles(device));
    findings.push(native_xdp(device));
    findings.extend(offloads(device));
    findings
}

fn driver(device: &Device) -> Option<&str> {
    device.driver.as_ref().map(|driver| driver.name.as_str()).filter(|name| !name.is_empty())
}

fn identity(device: &Device) -> Finding {
    let link = &device.link;
    let kind = match (&link.tun, &link.kind) {
        (Some(tun), _) => {
            let kind = if tun.tap { "TAP" } else { "TUN" };
            let header = if tun.vnet_hdr { "with vnet_hdr" } else { "without vnet_hdr" };
            let queues = if tun.multi_queue { ", multi-queue" } else { "" };
            let owner = tun.owner.map_or(String::new(), |owner| format!(", owner {owner}"));
            format!("{kind} {header}{queues}{owner}")
        }
        (None, Some(kind)) => kind.clone(),
        (None, None) if link.hardware == Link::LOOPBACK => "loopback".into(),
        (None, None) => "physical".into(),
    };
    let driver = driver(device).map_or("no driver known".into(), |name| format!("driver {name}"));
    let bus = device.driver.as_ref().map(|driver| driver.bus.as_str()).filter(|bus| bus.contains(':'));
    Finding::good(
        "device",
        format!("{kind}, {driver}{}", bus.map_or(String::new(), |bus| format!(" at {bus}"))),
    )
}

fn state(link: &Link) -> Finding {
    let state = match (link.up, link.carrier) {
        (true, true) => "up",
        (true, false) => "up, without carrier",
        (false, _) => "down",
    };
    let range = match (link.min_mtu, link.max_mtu) {
        (0, 0) => String::new(),
        (min, 0) => format!(" (from {min})"),
        (min, max) => format!(" ({min} to {max})"),
    };
    let text = format!("{state}, MTU {}{range}", link.mtu);
    if link.up && link.carrier { Finding::good("state", text) } else { Finding::note("state", text) }
}

fn queues(device: &Device) -> Finding {
    let text = match &device.channels {
        Some(channels) if channels.max_combined > 0 => {
            format!("{} of {} combined channels in use", channels.combined, channels.max_combined)
        }
        Some(channels) => format!(
            "{} of {} receive and {} of {} transmit channels in use",
            channels.rx, channels.max_rx, channels.tx, channels.max_tx
        ),
        None => format!("{} to receive, {} to send", device.link.rx_queues, device.link.tx_queues),
    };
    Finding::good("queues", text)
}

/// What it can be, and which hook it would get.
fn roles(device: &Device) -> Vec<Finding> {
    let link = &device.link;
    let claims = Claims { bridge: None, own: device.bridge.is_some(), own_xdp: device.bridge.is_some() };
    let uplink = match validate::uplink(link, &claims) {
        Err(refusal) => Finding::note("as uplink", format!("no: {}", refusal.message)),
        Ok(_) => {
            let with = hook::uplink(HookChoice::Auto, Prefer::default(), link, driver(device), true);
            let without = hook::uplink(HookChoice::Auto, Prefer::default(), link, driver(device), false);
            Finding::good(
                "as uplink",
                match (with, without) {
                    (Ok(with), Ok(without)) if with.xdp != without.xdp => {
                        format!("xdp while some port takes XDP, else tc ({})", with.why)
                    }
                    (Ok(with), _) => words(&with),
                    (Err(refusal), _) => refusal.message,
                },
            )
        }
    };
    // Any other device will do for the uplink: what is asked is about this one.
    let other = Link { index: u32::MAX, ..link.clone() };
    let port = match validate::port(link, &other, &claims) {
        Err(refusal) => Finding::note("as port", format!("no: {}", refusal.message)),
        Ok(_) => match hook::choose(HookChoice::Auto, Prefer::default(), link, driver(device)) {
            Ok(chosen) => Finding::good("as port", words(&chosen)),
            Err(refusal) => Finding::note("as port", refusal.message),
        },
    };
    vec![uplink, port]
}

fn words(chosen: &Chosen) -> String {
    format!("{} ({})", if chosen.xdp { "xdp" } else { "tc" }, chosen.why)
}

fn native_xdp(device: &Device) -> Finding {
    let can = hook::choose(HookChoice::Xdp, Prefer::default(), &device.link, driver(device));
    let name = driver(device).unwrap_or("");
    let (known, costs) = (drivers::has_native_xdp(name), drivers::costs(name));
    match can {
        Err(refusal) => Finding::note("native XDP", format!("no: {}", refusal.message)),
        Ok(_) if !known => Finding::note(
            "native XDP",
            "not known of this driver; xbr tries it where it would pay, and takes tc where it is refused",
        ),
        Ok(_) if costs.is_empty() => Finding::good("native XDP", "yes"),
        Ok(_) => Finding::note("native XDP", format!("yes, but {}", costs.join("; "))),
    }
}

/// Offloads that stand between XDP and the frames, with what xbr does about them.
fn offloads(device: &Device) -> Vec<Finding> {
    const MATTER: [(&str, &str); 4] = [
        ("rx-vlan-hw-parse", "the device strips VLAN tags, which hides them from XDP"),
        ("rx-vlan-filter", "the device drops VLANs that nobody on the host has"),
        ("rx-lro", "the device merges frames, which cannot be forwarded"),
        ("rx-gro-hw", "the device merges frames"),
    ];
    // A TAP and a veth get their frames from software, which has no such tricks.
    if device.link.kind.is_some() {
        return Vec::new();
    }
    let active = |name: &str| device.features.iter().find(|feature| feature.name == name && feature.active);
    let finding = |(name, what): (&str, &str)| {
        let feature = active(name)?;
        Some(match (feature.fixed, name) {
            (fixed, "rx-gro-hw") => {
                let then = drivers::merging(driver(device).unwrap_or(""), fixed);
                Finding::note("offload", format!("{name} is on: {what}; {then}"))
            }
            (true, _) => Finding::note("offload", format!("{name} is on and cannot be changed: {what}")),
            (false, _) => Finding::note(
                "offload",
                format!("{name} is on: {what}; xbr turns it off while it has XDP there"),
            ),
        })
    };
    MATTER.into_iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::validate::tests::link;

    fn said(name: &str, driver: &str, features: &[&str]) -> String {
        let feature = |name: &&str| Feature {
            name: name.to_string(),
            active: true,
            requested: true,
            fixed: *name == "rx-vlan-filter",
        };
        let found = Device {
            link: link(name),
            driver: Some(Driver { name: driver.into(), version: String::new(), bus: "0000:00:03.0".into() }),
            channels: Some(Channels { rx: 0, tx: 0, combined: 4, max_rx: 0, max_tx: 0, max_combined: 8 }),
            features: features.iter().map(feature).collect(),
            qdiscs: ["fq_codel", "clsact"].map(|kind| Qdisc { kind: kind.into(), handle: 0 }).into(),
            bypassed: Ok(Vec::new()),
            bridge: None,
        };
        let line = |finding: Finding| format!("{:?} {}: {}\n", finding.level, finding.subject, finding.text);
        device(&found).into_iter().map(line).collect()
    }

    #[test]
    fn a_card_hears_what_xdp_costs() {
        insta::assert_snapshot!(said("eth0", "ixgbe", &["rx-vlan-hw-parse", "rx-vlan-filter", "rx-gro"]), @r"
        Good device: physical, driver ixgbe at 0000:00:03.0
        Good state: up, MTU 1500 (68 to 9600)
        Good queues: 4 of 8 combined channels in use
        Note TC: clsact is there: filters of others see frames after xbr
        Good as uplink: xdp while some port takes XDP, else tc (driver ixgbe has native XDP)
        Good as port: xdp (driver ixgbe has native XDP)
        Note native XDP: yes, but attaching XDP resets the link or its rings: frames are lost for a moment; frames that XDP redirects are not merged by GRO
        Note offload: rx-vlan-hw-parse is on: the device strips VLAN tags, which hides them from XDP; xbr turns it off while it has XDP there
        Note offload: rx-vlan-filter is on and cannot be changed: the device drops VLANs that nobody on the host has
        ");
    }

    /// virtio-net takes its merging back by itself, so nothing stands in the way.
    #[test]
    fn a_virtio_card_hears_that_its_merging_is_no_obstacle() {
        insta::assert_snapshot!(said("eth0", "virtio_net", &["rx-vlan-filter", "rx-gro-hw"]), @r"
        Good device: physical, driver virtio_net at 0000:00:03.0
        Good state: up, MTU 1500 (68 to 9600)
        Good queues: 4 of 8 combined channels in use
        Note TC: clsact is there: filters of others see frames after xbr
        Good as uplink: xdp while some port takes XDP, else tc (driver virtio_net has native XDP)
        Good as port: xdp (driver virtio_net has native XDP)
        Note native XDP: yes, but attaching XDP turns the guest receive offloads off, and wants a transmit queue of its own for each CPU
        Note offload: rx-vlan-filter is on and cannot be changed: the device drops VLANs that nobody on the host has
        Note offload: rx-gro-hw is on: the device merges frames; the driver turns that off while it has XDP, and on again after
        ");
    }

    #[test]
    fn a_tap_hears_why_it_gets_tc() {
        insta::assert_snapshot!(said("vnet0", "tun", &["rx-lro"]), @r"
        Good device: TAP with vnet_hdr, driver tun at 0000:00:03.0
        Good state: up, MTU 1500 (68 to 9600)
        Good queues: 4 of 8 combined channels in use
        Note TC: clsact is there: filters of others see frames after xbr
        Good as uplink: tc (vnet_hdr: guests send unfinished checksums and 64 KiB segments)
        Good as port: tc (vnet_hdr: guests send unfinished checksums and 64 KiB segments)
        Good native XDP: yes
        ");
    }

    #[test]
    fn what_cannot_be_a_port_hears_why() {
        insta::assert_snapshot!(said("eth4", "e1000e", &[]), @r"
        Good device: physical, driver e1000e at 0000:00:03.0
        Good state: up, MTU 1500 (68 to 9600)
        Good queues: 4 of 8 combined channels in use
        Note XDP: a native program is attached (id 47), of somebody else
        Note TC: clsact is there: filters of others see frames after xbr
        Note as uplink: no: another XDP program (id 47) sits on eth4
        Note as port: no: another XDP program (id 47) sits on eth4
        Note native XDP: not known of this driver; xbr tries it where it would pay, and takes tc where it is refused
        ");
        insta::assert_snapshot!(said("wlan0", "iwlwifi", &[]), @r"
        Good device: physical, driver iwlwifi at 0000:00:03.0
        Good state: up, MTU 1500 (256 to 2304)
        Good queues: 4 of 8 combined channels in use
        Note TC: clsact is there: filters of others see frames after xbr
        Note as uplink: no: wlan0 is a Wi-Fi device, which sends frames from its own MAC address only
        Note as port: no: wlan0 is a Wi-Fi device, which sends frames from its own MAC address only
        Note native XDP: not known of this driver; xbr tries it where it would pay, and takes tc where it is refused
        ");
    }
}
