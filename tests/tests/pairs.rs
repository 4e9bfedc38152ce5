//! Every pair of stations talks, whatever the ports, the offloads, the hooks and the MTU; and the frames go the way that was asked for.

use std::time::Duration;

use xbr_lab::{
    GuestKind::{self, Tap, TapVnetHdr, Veth},
    Offloads, Segment, TapMode, TapsBy, Xbr, everyone_talks, guests_get_addresses, ping, require_privileges,
    wait_until,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const MIB: u64 = 1 << 20;
const SOON: Duration = Duration::from_secs(3);

/// One segment under one configuration of xbr.
struct Row {
    guests: [GuestKind; 2],
    offloads: Offloads,
    mtu: u32,
    hook: &'static str,
    /// Of each TCP transfer; there are four for each pair of participants.
    bytes: u64,
}

/// The hook that a device gets where `hook` was asked for.
fn expected(hook: &'static str, kind: GuestKind) -> &'static str {
    match (hook, kind) {
        // What a guest finishes itself is for XDP; a veth's and a vnet_hdr's frames are not.
        ("auto", Tap) => "xdp",
        ("auto", _) => "tc",
        (forced, _) => forced,
    }
}

/// Whether a device can bring in frames with unfinished checksums.
fn unfinished(kind: GuestKind) -> bool {
    kind != Tap
}

impl Row {
    fn of(kind: GuestKind, offloads: Offloads, mtu: u32, hook: &'static str) -> Row {
        Row { guests: [kind; 2], offloads, mtu, hook, bytes: 2 * MIB }
    }

    fn test(self) {
        if !require_privileges() {
            return;
        }
        let [one, two] = self.guests;
        let mut segment =
            Segment::builder().guests(1, one).guests(1, two).offloads(self.offloads).mtu(self.mtu).build();
        let bridge = segment
            .start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, &format!("--hook {}", self.hook)));
        // A TAP is made with vnet_hdr and may be opened without, which the controller hears of a moment later.
        for (port, kind) in self.ports() {
            let wanted = expected(self.hook, kind);
            let guarded = wanted == "xdp" && unfinished(kind);
            let found = || bridge.port(port);
            let right = |row: &serde_json::Value| {
                let flags = row["flags"].as_array().expect("a list");
                row["hook"] == wanted && flags.contains(&"guard".into()) == guarded
            };
            assert!(
                wait_until(SOON, || right(&found())),
                "{port} shall have {wanted}, guarded: {guarded}, and has {}",
                found()
            );
        }
        let told = || format!("{:?}, {:?}, MTU {}, hook {}", self.guests, self.offloads, self.mtu, self.hook);
        everyone_talks(&segment, self.bytes).unwrap_or_else(|e| panic!("{}: {e:#}", told()));
        guests_get_addresses(&segment).unwrap_or_else(|e| panic!("{}: {e:#}", told()));
        self.bulk_went_the_right_way(&bridge);
        self.pings_go_the_right_way(&bridge, &segment);
        bridge.stop();
    }

    fn ports(&self) -> [(&'static str, GuestKind); 3] {
        // The lab's uplink is a veth.
        [("eth0", Veth), ("vm1", self.guests[0]), ("vm2", self.guests[1])]
    }

    fn bulk_went_the_right_way(&self, bridge: &Xbr) {
        for (port, kind) in self.ports() {
            let counters = bridge.counters(port);
            if expected(self.hook, kind) == "tc" {
                assert!(counters.slow.is_empty(), "{port} has no XDP: {counters:?}");
            } else if unfinished(kind) && self.offloads == Offloads::Default {
                assert!(
                    counters.slowed("unfinished_checksum") > 0,
                    "{port} brings unfinished frames: {counters:?}"
                );
                // A veth cuts segments itself while it has XDP, unless its MTU is jumbo.
                let long = counters.slowed("too_long") + counters.slowed("multi_buffer");
                assert!(long > 0 || kind == Veth, "{port} brings long frames: {counters:?}");
            } else if self.hook == "xdp" {
                // One in 65,536 looks unfinished and is not.
                let suspects = counters.slowed("unfinished_checksum");
                assert!(suspects <= counters.rx.packets / 1000, "{port} finishes its frames: {counters:?}");
                // A third of it was for the host, which XDP cannot reach; and a veth's jumbo frames lie in several buffers.
                let whole = counters.rx.packets - counters.slowed("multi_buffer");
                assert!(counters.by_xdp() > whole / 2, "XDP took too few at {port}: {counters:?}");
            }
        }
    }

    /// Pings are finished frames on every port.
    fn pings_go_the_right_way(&self, bridge: &Xbr, segment: &Segment) {
        let ports = self.ports();
        let nodes = [segment.outside(), segment.guest(1), segment.guest(2)];
        for (a, b) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            let [from, to] = [a, b].map(|at| expected(self.hook, ports[at].1));
            let port = ports[a].0;
            ping(&nodes[a].ns, nodes[b].v4).unwrap();
            let before = bridge.counters(port);
            ping(&nodes[a].ns, nodes[b].v4).unwrap();
            let counters = bridge.counters(port).since(&before);
            assert!(counters.rx.packets >= 3, "{port}: {counters:?}");
            match (from, to) {
                ("xdp", "xdp") => {
                    assert!(counters.by_xdp() >= 3, "XDP takes pings from {port}: {counters:?}")
                }
                ("xdp", _) => {
                    assert!(counters.slowed("to_tc") >= 3, "TC takes pings from {port}: {counters:?}")
                }
                _ => assert!(counters.slow.is_empty(), "{port} has no XDP: {counters:?}"),
            }
        }
    }
}

/// Every combination of offloads, hook and MTU for one kind of guest.
macro_rules! matrix {
    ($($module:ident: $kind:ident;)*) => { $(
        mod $module {
            use super::*;

            matrix! { @rows $kind
                auto: Default, 1500, "auto"; auto_off: Off, 1500, "auto";
                tc: Default, 1500, "tc"; tc_off: Off, 1500, "tc";
                xdp: Default, 1500, "xdp"; xdp_off: Off, 1500, "xdp";
                auto_jumbo: Default, 9000, "auto"; auto_jumbo_off: Off, 9000, "auto";
                tc_jumbo: Default, 9000, "tc"; tc_jumbo_off: Off, 9000, "tc";
                xdp_jumbo: Default, 9000, "xdp"; xdp_jumbo_off: Off, 9000, "xdp";
            }
        }
    )* };
    (@rows $kind:ident $($name:ident: $offloads:ident, $mtu:literal, $hook:literal;)*) => {
        $(#[test] fn $name() { Row::of($kind, Offloads::$offloads, $mtu, $hook).test() })*
    };
}

matrix! {
    veth: Veth;
    tap: Tap;
    vnet_hdr: TapVnetHdr;
}

macro_rules! mixed {
    ($($name:ident: $guests:expr, $hook:literal;)*) => {
        $(#[test] fn $name() {
            Row { guests: $guests, ..Row::of(Veth, Offloads::Default, 1500, $hook) }.test()
        })*
    };
}

mixed! {
    mixed_taps_auto: [Tap, TapVnetHdr], "auto";
    mixed_taps_xdp: [Tap, TapVnetHdr], "xdp";
    mixed_taps_tc: [Tap, TapVnetHdr], "tc";
    mixed_tap_and_veth_auto: [Tap, Veth], "auto";
    mixed_tap_and_veth_xdp: [Tap, Veth], "xdp";
    mixed_vnet_hdr_and_veth_xdp: [TapVnetHdr, Veth], "xdp";
}

#[test]
fn sixty_four_mebibytes_by_veth() {
    Row { bytes: 64 * MIB, ..Row::of(Veth, Offloads::Default, 1500, "auto") }.test();
}

#[test]
fn sixty_four_mebibytes_by_tap() {
    Row { bytes: 64 * MIB, ..Row::of(Tap, Offloads::Default, 1500, "auto") }.test();
}

#[test]
fn sixty_four_mebibytes_by_vnet_hdr() {
    Row { bytes: 64 * MIB, ..Row::of(TapVnetHdr, Offloads::Default, 1500, "auto") }.test();
}

#[test]
fn each_port_has_the_hook_of_its_own() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(3, Veth).guests(1, TapVnetHdr).build();
    let bridge =
        Xbr::on(XBR, &mut segment, "--hook tc --hook eth0=xdp --hook vm1=xdp --hook vm4=xdp --hook vm3=auto");
    let hooks = ["eth0", "vm1", "vm2", "vm3", "vm4"].map(|port| bridge.port(port)["hook"].clone());
    assert_eq!(hooks, ["xdp", "xdp", "tc", "tc", "xdp"]);
    everyone_talks(&segment, MIB).unwrap();
    guests_get_addresses(&segment).unwrap();
    bridge.stop();
}

/// QEMU decides about vnet_hdr when it opens the TAP, and the next one may decide otherwise.
#[test]
fn the_hook_follows_whoever_opens_the_tap() {
    if !require_privileges() {
        return;
    }
    let mut segment = Segment::builder().guests(1, Tap).guests(1, TapVnetHdr).build();
    let bridge = Xbr::on(XBR, &mut segment, "");
    let comes = |port: &str, hook: &str| wait_until(SOON, || bridge.port(port)["hook"] == hook);
    assert!(comes("vm1", "xdp") && comes("vm2", "tc"), "{}", bridge.text("port show"));
    for (mode, hook) in [(TapMode::VnetHdr, "tc"), (TapMode::Plain, "xdp"), (TapMode::VnetHdr, "tc")] {
        segment.unplug(1);
        let other = xbr_lab::Tap::open(&segment.host().ns, "vm1", mode).unwrap();
        assert!(comes("vm1", hook), "opened with {mode:?}: {}", bridge.text("port show"));
        drop(other);
    }
    segment.plug(1);
    segment.settle();
    assert!(comes("vm1", "xdp"), "{}", bridge.text("port show"));
    everyone_talks(&segment, MIB).unwrap();
    bridge.stop();

    // Made without vnet_hdr, it is XDP's from the start.
    let mut segment = Segment::builder().guests(1, Tap).build();
    let mut before = None;
    let bridge = segment.start(TapsBy::Switch, |segment| {
        let bridge = Xbr::start(XBR, segment, "--no-vnet-hdr");
        before = Some(bridge.port("vm1"));
        bridge
    });
    assert_eq!(before.expect("asked")["hook"], "xdp");
    everyone_talks(&segment, MIB).unwrap();
    bridge.stop();
}
