//! The guest that plays the host, what is nested in it, and what is outside.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use serde_json::Value;
use xbr_lab::Namespace;
use xbr_lab::vm::{Inside, Kernel, Member, Nic, Station, Vm};

const XBR: &str = env!("CARGO_BIN_EXE_xbr-under-test");

/// How long anything may take on an emulated machine with others beside it: a start is some seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// A participant's addresses.
pub type Addresses = (Ipv4Addr, Ipv6Addr);

const fn addresses(number: u8) -> Addresses {
    (Ipv4Addr::new(10, 77, 0, number), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number as u16))
}

pub const HOST: Addresses = addresses(1);
pub const OUTSIDE: Addresses = addresses(2);
pub const NESTED: [Addresses; 2] = [addresses(11), addresses(12)];

pub struct Machine {
    pub vm: Vm,
    outside: Namespace,
}

impl Machine {
    pub fn boot(kernel: Kernel) -> Machine {
        let outside = Namespace::new("outside");
        let (v4, v6) = OUTSIDE;
        outside.ip_batch(&[
            "tuntap add up0 mode tap multi_queue vnet_hdr".to_owned(),
            "link set up0 up".to_owned(),
            format!("addr add {v4}/24 dev up0"),
            format!("addr add {v6}/64 dev up0 nodad"),
        ]);
        let card = Nic::tap("up0").queues(4).mac(xbr_lab::Mac::numbered(1));
        let builder = Vm::builder("host").kernel(kernel).memory(512).cpus(2).nic(card);
        let machine = Machine { vm: builder.program(XBR, "/bin/xbr").start(&outside), outside };
        machine.sh("modprobe -a veth sch_ingress cls_bpf; ethtool -L eth0 combined 2");
        machine.address("", HOST);
        for (number, addresses) in (1..).zip(NESTED) {
            machine.sh(&format!(
                "/sbin/ip netns add g{number} && /sbin/ip link add v{number} type veth peer name eth0 netns g{number}"
            ));
            machine.address(&format!("g{number}"), addresses);
            // What XDP redirects into a veth is lost unless its peer runs NAPI.
            machine.sh(&format!("/sbin/ip netns exec g{number} ethtool -K eth0 gro on"));
        }
        // One that finishes its checksums, so that XDP sends its segments from the card.
        machine.sh("/sbin/ip netns exec g2 ethtool -K eth0 tx off");
        machine
    }

    #[track_caller]
    fn sh(&self, script: &str) -> String {
        self.vm.sh_within(PATIENCE, script).unwrap_or_else(|e| panic!("{e:#}"))
    }

    /// Gives `eth0` of a namespace its addresses.
    fn address(&self, ns: &str, (v4, v6): Addresses) {
        let ip = if ns.is_empty() { "/sbin/ip".to_owned() } else { format!("/sbin/ip -n {ns}") };
        self.sh(&format!(
            "{ip} link set lo up && {ip} link set eth0 up && {ip} addr add {v4}/24 dev eth0 && \
             {ip} addr add {v6}/64 dev eth0 nodad"
        ));
    }

    /// Starts the controller over whatever is there, and waits until every port forwards.
    #[track_caller]
    pub fn run_xbr(&self) {
        self.sh(
            "xbr run --uplink eth0 --port v1 --port v2 --hook xdp >/tmp/xbr.log 2>&1 & echo $! >/tmp/xbr.pid",
        );
        self.wait("ready", || self.sh("grep -c ^ready /tmp/xbr.log || true").trim() == "1");
        let forward = |row: &Value| row["state"] == "forwarding";
        self.wait("forwarding", || self.json("port show").iter().all(forward));
    }

    /// SIGKILL.
    pub fn kill_xbr(&self) {
        self.sh("kill -9 $(cat /tmp/xbr.pid)");
    }

    /// SIGTERM, and the wait for the end.
    #[track_caller]
    pub fn end_xbr(&self) {
        self.sh("kill $(cat /tmp/xbr.pid)");
        self.wait("at its end", || {
            self.sh("kill -0 $(cat /tmp/xbr.pid) 2>/dev/null || echo gone") == "gone\n"
        });
    }

    #[track_caller]
    fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < end, "xbr is not {what}:\n{}", self.tell());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn json(&self, words: &str) -> Vec<Value> {
        let text = self.sh(&format!("xbr {words} -j"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("xbr {words} -j: {e}: {text}"))
    }

    /// Which device has which hook.
    pub fn hooks(&self) -> Vec<[String; 2]> {
        let rows = self.json("port show").into_iter().filter(|row| row["ifname"] != "host");
        rows.map(|row| ["ifname", "hook"].map(|key| row[key].as_str().unwrap_or_default().to_owned()))
            .collect()
    }

    /// Frames that came in at a port and never saw TC.
    pub fn by_xdp(&self, port: &str) -> u64 {
        let rows = self.json("stats");
        let row = rows.iter().find(|row| row["ifname"] == port).unwrap_or_else(|| panic!("no {port}"));
        let slow = row["slow_path"].as_object().expect("reasons").values().filter_map(Value::as_u64);
        row["rx"]["packets"].as_u64().expect("a number").saturating_sub(slow.sum())
    }

    /// All that could help with a failure.
    pub fn tell(&self) -> String {
        let words =
            "cat /tmp/xbr.log; xbr port show; xbr stats; xbr fdb show; /sbin/ip -s -d link; dmesg | tail -20";
        self.vm.run(PATIENCE, words).map_or_else(|e| format!("{e:#}"), |answer| answer.output)
    }

    pub fn nested(&self) -> [Inside<'_>; 2] {
        ["g1", "g2"].map(|name| Inside::of(&self.vm, name))
    }

    pub fn members<'a>(&'a self, nested: &'a [Inside<'a>; 2]) -> Vec<Member<'a>> {
        let stations: [(&dyn Station, Addresses); 4] =
            [(&nested[0], NESTED[0]), (&nested[1], NESTED[1]), (&self.vm, HOST), (&self.outside, OUTSIDE)];
        stations.map(|(station, (v4, v6))| Member { station, v4, v6 }).into()
    }

    /// One frame each way, and no broadcast that a card lets through anyway.
    pub fn outside_reaches(&self, (v4, _): Addresses) -> bool {
        let words = format!("ping -n -c 2 -W 3 {v4} >/dev/null && echo yes || echo no");
        self.outside.shell(&words).expect("a shell").trim() == "yes"
    }

    pub fn host_reaches_outside(&self) -> anyhow::Result<()> {
        xbr_lab::vm::reach(&self.vm, &self.outside, OUTSIDE.0.into(), 1 << 19)
    }

    /// What xbr may change of the card, or the driver for it.
    pub fn card(&self) -> String {
        self.sh("ethtool -k eth0; ethtool -l eth0; /sbin/ip -d link show eth0 | grep -o 'promiscuity [0-9]*\\|prog/xdp'")
    }

    fn promiscuous(&self) -> bool {
        self.sh("/sbin/ip link show eth0").contains("PROMISC")
    }

    pub fn not_promiscuous(&self) {
        assert!(self.promiscuous(), "{}", self.tell());
        self.sh("/sbin/ip link set eth0 promisc off");
    }

    #[track_caller]
    pub fn wait_promiscuous(&self) {
        self.wait("promiscuous", || self.promiscuous());
    }

    #[track_caller]
    pub fn no_complaints(&self) {
        let complaints = self.sh("dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace' || true");
        assert_eq!(complaints, "", "the kernel complains");
    }
}
