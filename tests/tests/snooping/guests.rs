//! Real guests as members: Debian's kernels, which are told to speak old and new words.

use std::{net::IpAddr, time::Duration};

use serde_json::Value;
use xbr_lab::vm::{Kernel, Member, Nic, Seat, Vm, reach, require_full, require_guests};
use xbr_lab::{Segment, Xbr, wait_until};

use super::lab::{XBR, groups};

const SEATS: [Seat; 3] = [Seat(1), Seat(2), Seat(3)];
/// Datagrams in one go.
const SENT: u64 = 200;
/// What else may come to a guest meanwhile.
const NOISE: u64 = 60;
/// Emulated guests beside other tests: a command takes up to a second.
const PATIENCE: Duration = Duration::from_secs(40);

struct Scene {
    segment: Segment,
    bridge: Xbr,
    guests: [Vm; 3],
}

/// Guests that hear all that comes to their card, whether they want it or not: QEMU filters groups that nobody has joined.
fn scene(words: &str) -> Scene {
    let segment = Segment::builder().build();
    let host = segment.host().ns.clone();
    let taps = "--uplink eth0 --tap vm1 --tap vm2 --tap vm3 --mcast-snooping --mcast-querier";
    // A membership is remembered for 26 s, and who leaves is asked about for 0.4 s.
    let bridge = Xbr::run(XBR, &host, &format!("{taps} --lab-mcast-speed 10 {words}"));
    let guests = SEATS.map(|seat| {
        let name = format!("vm{}", seat.0);
        let nic = Nic::tap(&name).mac(seat.mac());
        Vm::builder(&name).program(env!("CARGO_BIN_EXE_xbr-lab-member"), "/bin/member").nic(nic).launch(&host)
    });
    for (vm, seat) in guests.iter().zip(SEATS) {
        vm.wait_ready();
        seat.address(vm, "eth0").unwrap();
        vm.sh("/sbin/ip link set eth0 promisc on").unwrap();
    }
    bridge.wait_forwarding();
    Scene { segment, bridge, guests }
}

impl Scene {
    fn speak(&self, igmp: u8, mld: u8) {
        for vm in &self.guests {
            vm.sh(&format!(
                "cd /proc/sys/net; echo {igmp} >ipv4/conf/eth0/force_igmp_version; echo {mld} >ipv6/conf/eth0/force_mld_version"
            ))
            .unwrap();
        }
    }

    /// Frames that each guest's card has received.
    fn received(&self) -> [u64; 3] {
        [0, 1, 2].map(|at| {
            let text = self.guests[at].sh("cat /sys/class/net/eth0/statistics/rx_packets").unwrap();
            text.trim().parse().unwrap()
        })
    }

    /// Who of the guests gets what one of them sends to a group, by the counters of their cards.
    fn reached(&self, from: usize, group: IpAddr) -> Vec<usize> {
        let before = self.received();
        self.guests[from - 1].sh(&format!("member eth0 {group} 7300 send {SENT}")).unwrap();
        // What is on its way arrives, or would have.
        std::thread::sleep(Duration::from_millis(500));
        let after = self.received();
        let more: Vec<_> = before.iter().zip(after).map(|(before, after)| after - before).collect();
        let others = (1..=3).filter(|number| *number != from);
        others
            .filter(|number| {
                let frames = more[number - 1];
                assert!(!(NOISE..SENT).contains(&frames), "vm{number} got {frames} of {SENT} to {group}");
                frames >= SENT
            })
            .collect()
    }

    /// Waits until exactly these guests get it.
    #[track_caller]
    fn reaches(&self, from: usize, group: IpAddr, wanted: &[usize]) {
        let mut who = Vec::new();
        let right = wait_until(PATIENCE, || {
            who = self.reached(from, group);
            who == wanted
        });
        assert!(right, "from vm{from} to {group}: {who:?}, not {wanted:?}\n{}", self.bridge.text("mdb show"));
    }

    /// Waits until the table has these rows of a group: port, source, whether the source is blocked.
    #[track_caller]
    fn wait_rows(&self, group: IpAddr, wanted: &[(&str, Option<IpAddr>, bool)]) {
        let rows = || {
            let shown = self.bridge.json(&format!("mdb show grp {group}"));
            let rows = shown[0]["mdb"].as_array().expect("a list").clone();
            let row = |row: &Value| {
                let source = row.get("src").map(|source| source.as_str().unwrap().parse().unwrap());
                let blocked = row["flags"].as_array().is_some_and(|flags| !flags.is_empty());
                (row["port"].as_str().unwrap().to_owned(), source, blocked)
            };
            rows.iter().map(row).collect::<Vec<(String, Option<IpAddr>, bool)>>()
        };
        let wanted: Vec<_> = wanted.iter().map(|(port, at, no)| (port.to_string(), *at, *no)).collect();
        assert!(wait_until(PATIENCE, || rows() == wanted), "{group}: {:?}, not {wanted:?}", rows());
    }

    /// Lets a guest join; what it heard is in its file.
    fn join(&self, number: usize, group: IpAddr, words: &str) {
        let member = format!(
            "rm -f /tmp/heard; (member eth0 {group} 7300 {words} >/tmp/heard 2>&1 & echo $! >/tmp/member)"
        );
        let joined = "i=0; until grep -q joined /tmp/heard; do i=$((i+1)); [ $i -lt 100 ] || { cat /tmp/heard; exit 1; }; sleep 0.1; done";
        self.guests[number - 1].sh(&format!("{member}; {joined}")).unwrap();
    }

    /// Lets it leave, and gives how many datagrams its program heard.
    fn leave(&self, number: usize) -> u64 {
        let text = self.guests[number - 1]
            .sh("kill $(cat /tmp/member); grep -c datagram /tmp/heard || true")
            .unwrap();
        text.trim().parse().unwrap()
    }

    /// Whoever is in which group, TCP passes between everybody.
    fn talk(&self) {
        let members = [0, 1, 2].map(|at| Member::guest(&self.guests[at], SEATS[at]));
        let outside = Member::from(self.segment.outside());
        for (from, to) in [(members[0], members[1]), (members[2], outside), (outside, members[0])] {
            reach(from.station, to.station, to.v4.into(), 256 << 10).unwrap();
            reach(from.station, to.station, to.v6.into(), 256 << 10).unwrap();
        }
    }

    fn address(&self, number: usize, like: IpAddr) -> IpAddr {
        let seat = SEATS[number - 1];
        if like.is_ipv4() { seat.v4().into() } else { seat.v6().into() }
    }
}

/// Joins and leaves, in words of any version.
fn comes_and_goes(scene: &Scene, group: IpAddr) {
    scene.wait_rows(group, &[]);
    scene.reaches(3, group, &[]);
    scene.join(1, group, "");
    scene.wait_rows(group, &[("vm1", None, false)]);
    scene.reaches(3, group, &[1]);
    scene.join(2, group, "");
    scene.wait_rows(group, &[("vm1", None, false), ("vm2", None, false)]);
    scene.reaches(3, group, &[1, 2]);
    // Longer than a membership is remembered: they are asked, and answer.
    std::thread::sleep(Duration::from_secs(30));
    scene.wait_rows(group, &[("vm1", None, false), ("vm2", None, false)]);
    assert!(scene.leave(1) >= 2 * SENT);
    scene.wait_rows(group, &[("vm2", None, false)]);
    scene.reaches(3, group, &[2]);
    assert!(scene.leave(2) >= 2 * SENT);
    scene.wait_rows(group, &[]);
    scene.reaches(3, group, &[]);
}

/// One wants a source only, and another all but it.
fn wants_sources(scene: &Scene, group: IpAddr) {
    let source = scene.address(3, group);
    scene.join(1, group, &format!("from {source}"));
    scene.join(2, group, &format!("without {source}"));
    scene
        .wait_rows(group, &[("vm2", None, false), ("vm1", Some(source), false), ("vm2", Some(source), true)]);
    scene.reaches(3, group, &[1]);
    scene.reaches(1, group, &[2]);
    assert!(scene.leave(1) >= SENT);
    scene.wait_rows(group, &[("vm2", None, false), ("vm2", Some(source), true)]);
    scene.reaches(3, group, &[]);
    scene.leave(2);
    scene.wait_rows(group, &[]);
}

/// `words` for the bridge; in which versions of IGMP and MLD guests speak.
fn everything(words: &str, versions: &[(u8, u8)]) {
    if !require_full() || !require_guests(Kernel::Newest) {
        return;
    }
    let scene = scene(words);
    for (igmp, mld) in versions.iter().copied() {
        scene.speak(igmp, mld);
        for group in groups() {
            comes_and_goes(&scene, group);
            if igmp == 3 {
                wants_sources(&scene, group);
            }
            println!("{words:?}: {group} by IGMPv{igmp}, MLDv{mld}");
        }
        scene.talk();
    }
    scene.bridge.stop();
}

#[test]
fn guests_come_and_go_in_old_and_new_words() {
    everything("", &[(2, 1), (3, 2)]);
}

#[test]
fn guests_behind_xdp_come_and_go() {
    everything("--prefer packets", &[(3, 2)]);
}
