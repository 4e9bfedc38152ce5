//! The controller dies and comes back.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use xbr_lab::{Listener, RawPort, require_privileges};

use super::lab::{Lab, groups, send};

#[test]
fn a_group_goes_on_while_there_is_no_controller_and_after() {
    if !require_privileges() {
        return;
    }
    // Slower: a start takes a while, too, and is not to be longer than a membership.
    let mut lab = Lab::asking(0, 0, "--lab-mcast-speed 40");
    let group = groups()[0];
    let (one, two, three) =
        (lab.segment.guest(1).clone(), lab.segment.guest(2).clone(), lab.segment.guest(3).clone());
    let outside = lab.segment.outside().clone();
    let listener = Listener::join(&one.ns, "eth0", group, 7300).unwrap();
    let _other = Listener::join_without(&two.ns, "eth0", group, outside.v4.into(), 7300).unwrap();
    lab.bridge.text(&format!("mdb add dev vm2 grp {} permanent", groups()[1]));
    lab.wait_ports(group, &["vm1", "vm2"]);
    let shown =
        |lab: &Lab| groups().map(|group| lab.bridge.json(&format!("mdb show grp {group}"))[0]["mdb"].clone());
    let before = shown(&lab);
    let not_a_member = RawPort::open_protocol(&three.ns, "eth0", 0x0800);
    let blocked = RawPort::open_protocol(&two.ns, "eth0", 0x0800);
    let ended = AtomicBool::new(false);
    let mut sent = 0_u32;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut number = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                number += 1;
                send(&outside, group, format!("datagram {number:08}").as_bytes());
                std::thread::sleep(Duration::from_millis(5));
            }
            number
        });
        std::thread::sleep(Duration::from_millis(300));
        lab.bridge.kill();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(shown(&lab), before, "while there is no controller");
        lab.bridge.restart("");
        assert_eq!(shown(&lab), before, "after another one has begun");
        // Longer than a membership is remembered.
        std::thread::sleep(Duration::from_secs(8));
        assert_eq!(shown(&lab), before, "after the members were asked anew");
        ended.store(true, Ordering::Relaxed);
        sent = sender.join().unwrap();
    });
    // Reading takes its time, too, on a busy machine.
    let heard = listener.heard(Duration::from_secs(2)).unwrap();
    let wanted: Vec<_> = (1..=sent).map(|number| format!("datagram {number:08}").into_bytes()).collect();
    assert!(heard == wanted, "{} of {sent} were heard", heard.len());
    for (ear, who) in [(not_a_member, "who is no member"), (blocked, "who blocks the source")] {
        let marker = b"datagram ";
        let strays = ear.drain().unwrap();
        let strays = strays.iter().filter(|frame| frame.bytes.windows(9).any(|part| part == marker)).count();
        assert_eq!(strays, 0, "{strays} of {sent} reached one {who}");
    }
    lab.bridge.stop();
}

#[test]
fn a_guest_that_goes_is_in_no_group() {
    if !require_privileges() {
        return;
    }
    let mut lab = Lab::asking(0, 0, "");
    let group = groups()[0];
    let _joined = Listener::join(&lab.segment.guest(1).ns, "eth0", group, 7300).unwrap();
    lab.wait_ports(group, &["vm1"]);
    lab.segment.unplug(1);
    lab.wait_ports(group, &[]);
    lab.segment.plug(1);
    lab.wait_ports(group, &["vm1"]);
    lab.bridge.text("mdb add dev vm1 grp 239.3.3.3 permanent");
    lab.bridge.text("port del vm1");
    lab.wait_ports(group, &[]);
    lab.wait_ports("239.3.3.3".parse().unwrap(), &[]);
    lab.bridge.stop();
}
