//! A segment whose bridge snoops, with times 125 times as fast as the standard's unless told otherwise.

use std::{
    cell::Cell,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::Value;
use xbr_lab::{Datagram, GuestKind, Node, RawPort, Segment, Xbr, patience, wait_until};

pub const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");
/// For what must not come.
const SILENCE: Duration = Duration::from_millis(60);
pub const GROUPS: [&str; 2] = ["239.1.2.3", "ff05::1:3"];

pub struct Lab {
    pub segment: Segment,
    pub bridge: Xbr,
    sent: Cell<u32>,
}

/// Every group of a test, as an address.
pub fn groups() -> [IpAddr; 2] {
    GROUPS.map(|group| group.parse().unwrap())
}

impl Lab {
    pub fn new(kinds: &[(usize, GuestKind)], words: &str) -> Self {
        let builder = kinds.iter().fold(Segment::builder(), |all, (count, kind)| all.guests(*count, *kind));
        let mut segment = builder.build();
        let speed = if words.contains("--lab-mcast-speed") { "" } else { "--lab-mcast-speed 125" };
        let bridge = Xbr::on(XBR, &mut segment, &format!("{speed} {words}"));
        Self { segment, bridge, sent: Cell::new(0) }
    }

    /// Three guests behind veths, and a bridge that asks. Everyone speaks IGMP and MLD of these versions, 0 for the newest.
    pub fn asking(igmp: u8, mld: u8, words: &str) -> Self {
        let lab = Self::new(&[(3, GuestKind::Veth)], &format!("--mcast-snooping --mcast-querier {words}"));
        for node in lab.segment.nodes() {
            node.ns.sysctl("net/ipv4/conf/eth0/force_igmp_version", &igmp.to_string());
            node.ns.sysctl("net/ipv6/conf/eth0/force_mld_version", &mld.to_string());
        }
        lab.wait_trusted();
        lab
    }

    /// Waits until groups that nobody is in are not flooded.
    pub fn wait_trusted(&self) {
        for group in ["239.99.99.99", "ff05::99"].map(|group| group.parse().unwrap()) {
            let reaches = || self.reached(self.segment.guest(2), group);
            assert!(
                wait_until(Duration::from_secs(10), || !reaches().contains("guest1")),
                "{group}: {:?}",
                reaches()
            );
        }
    }

    /// Who a datagram of one to a group reaches, whether it listens or not.
    pub fn reached(&self, from: &Node, group: IpAddr) -> BTreeSet<String> {
        let number = self.sent.get() + 1;
        self.sent.set(number);
        let marker = format!("to {group}, number {number:08}");
        let protocol = if group.is_ipv4() { 0x0800 } else { 0x86dd };
        let others = self.segment.nodes().into_iter().filter(|node| node.mac != from.mac);
        let ears: Vec<_> =
            others.map(|node| (node.ns.name(), RawPort::open_protocol(&node.ns, "eth0", protocol))).collect();
        send(from, group, marker.as_bytes());
        std::thread::sleep(patience(SILENCE));
        let hears = |ear: &RawPort| {
            let heard = ear.drain().unwrap();
            heard.iter().any(|frame| frame.bytes.windows(marker.len()).any(|part| part == marker.as_bytes()))
        };
        ears.iter().filter(|(_, ear)| hears(ear)).map(|(name, _)| name.to_string()).collect()
    }

    /// Exactly these hear the group.
    #[track_caller]
    pub fn reaches(&self, from: &Node, group: IpAddr, names: &[&str]) {
        let wanted: BTreeSet<String> = names.iter().map(|name| name.to_string()).collect();
        let mut reached = BTreeSet::new();
        let right = wait_until(Duration::from_secs(3), || {
            reached = self.reached(from, group);
            reached == wanted
        });
        assert!(
            right,
            "from {} to {group}: {reached:?}, not {wanted:?}\n{}",
            from.ns.name(),
            self.bridge.text("mdb show")
        );
    }

    /// The ports of a group as `xbr mdb show -j` has them.
    pub fn ports(&self, group: IpAddr) -> BTreeSet<String> {
        let shown = self.bridge.json(&format!("mdb show grp {group}"));
        let rows = shown[0]["mdb"].as_array().expect("a list").clone();
        rows.iter().map(|row| row["port"].as_str().expect("a name").to_owned()).collect()
    }

    /// Waits until the table says that exactly these ports are in the group.
    #[track_caller]
    pub fn wait_ports(&self, group: IpAddr, ports: &[&str]) {
        let wanted: BTreeSet<String> = ports.iter().map(|port| port.to_string()).collect();
        let right = wait_until(Duration::from_secs(8), || self.ports(group) == wanted);
        assert!(right, "{group}: {:?}, not {wanted:?}", self.ports(group));
    }

    /// The ports where routers are.
    pub fn routers(&self) -> BTreeSet<String> {
        let shown = self.bridge.json("mdb show");
        let routers = shown[0]["router"][&self.bridge.name].as_array().expect("a list").clone();
        routers.iter().map(|row: &Value| row["port"].as_str().expect("a name").to_owned()).collect()
    }
}

pub fn send(from: &Node, group: IpAddr, payload: &[u8]) {
    let to = SocketAddr::new(group, 7300).to_string();
    Datagram::from(&from.ns).on("eth0").send(&to, payload).unwrap();
}
