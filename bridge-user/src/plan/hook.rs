//! Which hook a device gets: offloads decide.
//!
//! XDP sees neither unfinished checksums nor segments longer than the MTU, which guests and veths hand over
//! by default. Where they are the rule, TC keeps them whole and is faster; where they are the exception, XDP
//! is faster and the checksum guard sends the exceptions to TC.

use super::drivers;
use crate::{Refusal, control::protocol::HookChoice, link::Link, settings::Prefer};

/// A hook, and how its programs are to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Native XDP, with TC behind it; else TC only. Where it was not forced, attaching it is a trial: a driver
    /// that refuses gets TC.
    pub xdp: bool,
    /// XDP asks the checksum guard before it redirects.
    pub guard: bool,
    /// In words that follow "xdp" or "tc".
    pub why: String,
}

/// Kinds of virtual devices without a driver hook for XDP, and why.
const NO_XDP: [(&str, &str); 8] = [
    ("bridge", "a bridge"),
    ("bond", "a bond"),
    ("macvlan", "a macvlan"),
    ("macvtap", "a macvtap"),
    ("vlan", "a VLAN device"),
    ("vxlan", "a VXLAN tunnel"),
    ("geneve", "a Geneve tunnel"),
    ("dummy", "a dummy"),
];

/// What a device is, as far as hooks go.
enum Nature {
    /// A TAP whose guest may hand over unfinished checksums and long segments.
    OffloadTap,
    /// A TAP whose guest does not.
    PlainTap,
    /// One end of a veth.
    Veth,
    /// A device without native XDP, in words that follow "it is".
    Never(String),
    /// A device whose driver knows.
    Driver,
}

fn nature(link: &Link) -> Nature {
    match &link.tun {
        Some(tun) if tun.tap && tun.vnet_hdr => return Nature::OffloadTap,
        Some(tun) if tun.tap => return Nature::PlainTap,
        Some(_) => return Nature::Never("a TUN".into()),
        None => {}
    }
    if link.hardware == Link::LOOPBACK {
        return Nature::Never("the loopback device".into());
    }
    match link.kind.as_deref() {
        Some("veth") => Nature::Veth,
        Some(kind) => match NO_XDP.iter().find(|(name, _)| *name == kind) {
            Some((_, words)) => Nature::Never(words.to_string()),
            None => Nature::Driver,
        },
        None => Nature::Driver,
    }
}

/// The hook for a port that is not the uplink. `driver` is ethtool's name of it.
pub fn choose(
    choice: HookChoice,
    prefer: Prefer,
    link: &Link,
    driver: Option<&str>,
) -> Result<Chosen, Refusal> {
    let (can, auto, why) = match nature(link) {
        Nature::OffloadTap if prefer == Prefer::Packets => (
            true,
            true,
            "packets preferred: what the guest left unfinished takes the slower path".to_string(),
        ),
        Nature::OffloadTap => {
            (true, false, "vnet_hdr: guests send unfinished checksums and 64 KiB segments".to_string())
        }
        Nature::PlainTap => (true, true, "no vnet_hdr: the guest finishes its frames".to_string()),
        Nature::Veth => {
            (true, false, "veth: XDP costs more than it gains for traffic from sockets".to_string())
        }
        Nature::Never(what) => (false, false, format!("{what} has no native XDP")),
        Nature::Driver => (true, true, by_driver(driver)),
    };
    match choice {
        HookChoice::Tc => Ok(tc("asked for".into())),
        HookChoice::Xdp if can => Ok(xdp(link, "asked for".into())),
        HookChoice::Xdp => Err(Refusal::new(
            format!("{} cannot take XDP: {why}", link.name),
            format!("leave it to --hook {}=auto, or ask for {}=tc", link.name, link.name),
        )),
        HookChoice::Auto if auto => Ok(xdp(link, why)),
        HookChoice::Auto => Ok(tc(why)),
    }
}

/// The hook for the uplink. XDP there redirects only towards ports that take XDP themselves, so on its own
/// it would cost receive offloads and gain nothing.
pub fn uplink(
    choice: HookChoice,
    prefer: Prefer,
    link: &Link,
    driver: Option<&str>,
    any_port_xdp: bool,
) -> Result<Chosen, Refusal> {
    if choice == HookChoice::Auto && !any_port_xdp {
        return Ok(tc("no port takes XDP, so XDP on the uplink would gain nothing".into()));
    }
    choose(choice, prefer, link, driver)
}

fn by_driver(driver: Option<&str>) -> String {
    match driver {
        Some(driver) if drivers::has_native_xdp(driver) => format!("driver {driver} has native XDP"),
        Some(driver) => format!("native XDP, if driver {driver} has it"),
        None => "native XDP, if the driver has it".into(),
    }
}

fn tc(why: String) -> Chosen {
    Chosen { xdp: false, guard: false, why }
}

fn xdp(link: &Link, why: String) -> Chosen {
    Chosen { xdp: true, guard: matches!(nature(link), Nature::OffloadTap | Nature::Veth), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::validate::tests::link;

    fn chosen(choice: HookChoice, name: &str) -> String {
        preferring(Prefer::Throughput, choice, name)
    }

    fn preferring(prefer: Prefer, choice: HookChoice, name: &str) -> String {
        match choose(choice, prefer, &link(name), Some("drv")) {
            Ok(chosen) => {
                let is = |on: bool, word: &str| if on { format!(" {word}") } else { String::new() };
                let hook = if chosen.xdp { "xdp" } else { "tc" };
                format!("{hook}{}: {}", is(chosen.guard, "guard"), chosen.why)
            }
            Err(refusal) => format!("{refusal}"),
        }
    }

    #[test]
    fn auto_goes_by_offloads() {
        let all = ["vnet0", "tap0", "veth0", "eth0", "jumbo0", "br0", "tun0", "lo"];
        let all = all.map(|name| format!("{name} {}", chosen(HookChoice::Auto, name))).join("\n");
        insta::assert_snapshot!(all, @r"
        vnet0 tc: vnet_hdr: guests send unfinished checksums and 64 KiB segments
        tap0 xdp: no vnet_hdr: the guest finishes its frames
        veth0 tc: veth: XDP costs more than it gains for traffic from sockets
        eth0 xdp: native XDP, if driver drv has it
        jumbo0 xdp: native XDP, if driver drv has it
        br0 tc: a bridge has no native XDP
        tun0 tc: a TUN has no native XDP
        lo tc: the loopback device has no native XDP
        ");
    }

    #[test]
    fn whoever_prefers_packets_gets_xdp_with_the_guard_on_taps() {
        let all = ["vnet0", "tap0", "veth0"].map(|name| preferring(Prefer::Packets, HookChoice::Auto, name));
        insta::assert_snapshot!(all.join("\n"), @r"
        xdp guard: packets preferred: what the guest left unfinished takes the slower path
        xdp: no vnet_hdr: the guest finishes its frames
        tc: veth: XDP costs more than it gains for traffic from sockets
        ");
        assert_eq!(preferring(Prefer::Packets, HookChoice::Tc, "vnet0"), "tc: asked for");
    }

    #[test]
    fn what_is_asked_for_is_done_or_refused() {
        let all = ["vnet0", "tap0", "veth0", "eth0", "jumbo0", "br0"];
        let all = all.map(|name| format!("{name} {}", chosen(HookChoice::Xdp, name))).join("\n");
        insta::assert_snapshot!(all, @r"
        vnet0 xdp guard: asked for
        tap0 xdp: asked for
        veth0 xdp guard: asked for
        eth0 xdp: asked for
        jumbo0 xdp: asked for
        br0 br0 cannot take XDP: a bridge has no native XDP
        hint: leave it to --hook br0=auto, or ask for br0=tc
        ");
        assert_eq!(chosen(HookChoice::Tc, "tap0"), "tc: asked for");
    }

    #[test]
    fn the_uplink_goes_by_its_ports() {
        let auto = |name: &str, any| {
            uplink(HookChoice::Auto, Prefer::Throughput, &link(name), None, any).unwrap().xdp
        };
        assert!(!auto("eth0", false) && auto("eth0", true) && !auto("veth0", true));
        assert!(uplink(HookChoice::Xdp, Prefer::Throughput, &link("veth0"), None, false).unwrap().xdp);
    }
}
