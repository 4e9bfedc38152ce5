//! `xbr-bridge-helper`: a guest of an ordinary user gets a port, and nobody gets more.

mod lent {
    pub mod life;
    pub mod qemu;
    pub mod refusals;
}

use std::os::fd::OwnedFd;

use xbr_lab::{
    GuestKind, Helper, Namespace, Node, Offloads, Rights, Segment, TapGuest, TapMode, TapsBy, USER, Xbr,
    ping, tcp_transfer,
};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
const HELPER: &str = env!("CARGO_BIN_EXE_xbr-bridge-helper-under-test");
/// The first TAP of nobody.
const PORT: &str = "xu65534-0";
const BYTES: u64 = 2 << 20;

/// A bridge with one guest of its own, and the helper installed with a list that allows the bridge to all.
struct Lab {
    segment: Segment,
    bridge: Xbr,
    helper: Helper,
}

impl Lab {
    #[track_caller]
    fn new(rights: Rights) -> Lab {
        let mut segment = Segment::builder().guests(1, GuestKind::TapVnetHdr).build();
        let bridge = segment.start(TapsBy::Switch, |segment| Xbr::start(XBR, segment, ""));
        let helper = Helper::install(HELPER, rights, &format!("allow {}\n", bridge.name));
        Lab { segment, bridge, helper }
    }

    fn host(&self) -> &Namespace {
        &self.segment.host().ns
    }

    /// Asks as QEMU does: with vnet_hdr.
    fn ask(&self) -> Result<OwnedFd, String> {
        self.ask_as(USER)
    }

    fn ask_as(&self, user: u32) -> Result<OwnedFd, String> {
        self.helper.tap(self.host(), user, &["--use-vnet", &format!("--br={}", self.bridge.name)])
    }

    /// Whether the bridge has such a port.
    fn has_port(&self, name: &str) -> bool {
        let rows = self.bridge.json("port show");
        rows.as_array().is_some_and(|rows| rows.iter().any(|row| row["ifname"] == name))
    }
}

/// A guest with `eth0` and addresses, of which none of the segment's participants knows yet.
struct Guest {
    ns: Namespace,
    tap: TapGuest,
}

impl Guest {
    #[track_caller]
    fn new(mode: TapMode) -> Guest {
        let ns = Namespace::new("lent");
        ns.sysctl("net/ipv6/conf/default/accept_dad", "0");
        let tap = TapGuest::new(&ns, "eth0", mode, Offloads::Default);
        ns.ip_batch(&[
            "link set eth0 address 52:54:00:aa:00:01 up",
            "addr add 10.77.0.99/24 dev eth0",
            "addr add fd77::99/64 dev eth0 nodad",
        ]);
        Guest { ns, tap }
    }

    /// Both ways, both families, with every byte compared.
    #[track_caller]
    fn talks_with(&self, other: &Node) {
        let (v4, v6) = ("10.77.0.99".parse::<std::net::Ipv4Addr>(), "fd77::99".parse::<std::net::Ipv6Addr>());
        ping(&self.ns, other.v4).unwrap();
        ping(&other.ns, v6.clone().unwrap()).unwrap();
        tcp_transfer(&self.ns, &other.ns, other.v4, BYTES).unwrap();
        tcp_transfer(&self.ns, &other.ns, other.v6, BYTES).unwrap();
        tcp_transfer(&other.ns, &self.ns, v4.unwrap(), BYTES).unwrap();
        tcp_transfer(&other.ns, &self.ns, v6.unwrap(), BYTES).unwrap();
    }
}
