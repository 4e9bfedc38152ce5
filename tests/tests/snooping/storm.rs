//! A guest that reports as fast as it can.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use xbr_lab::{Listener, Metrics, Node, RawPort, require_privileges, tcp_transfer};

use super::lab::{Lab, groups};

/// An IGMPv3 report about so many groups, each with sources, from a random number on.
fn report(of: &Node, seed: u32) -> Vec<u8> {
    let mut message = vec![0x22, 0, 0, 0, 0, 0, 0, 50];
    for number in 0..50_u32 {
        message.extend([[4, 6][(seed & 1) as usize], 0, 0, 2]);
        message.extend(
            (0xee00_0000_u32 | (seed.wrapping_mul(2_654_435_761).wrapping_add(number) & 0x00ff_ffff))
                .to_be_bytes(),
        );
        message.extend([192, 0, 2, number as u8, 192, 0, 2, seed as u8]);
    }
    let sum = |bytes: &[u8]| {
        let sum = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
        let sum = (sum & 0xffff) + (sum >> 16);
        !(((sum & 0xffff) + (sum >> 16)) as u16)
    };
    let of_message = sum(&message);
    message[2..4].copy_from_slice(&of_message.to_be_bytes());
    let mut header = vec![0x45, 0xc0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0];
    header[2..4].copy_from_slice(&(20 + message.len() as u16).to_be_bytes());
    header.extend(of.v4.octets());
    header.extend([224, 0, 0, 22]);
    let of_header = sum(&header);
    header[10..12].copy_from_slice(&of_header.to_be_bytes());
    [&[1, 0, 0x5e, 0, 0, 22], &of.mac.0[..], &[8, 0], &header, &message].concat()
}

/// What a process has used of the processors, in seconds.
fn used(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

#[test]
fn a_storm_of_reports_hurts_nobody() {
    if !require_privileges() {
        return;
    }
    let lab = Lab::asking(0, 0, "--lab-mcast-speed 10 --metrics 127.0.0.1:9473");
    let (one, two, outside) = (lab.segment.guest(1), lab.segment.guest(2), lab.segment.outside());
    let group = groups()[0];
    let _joined = Listener::join(&two.ns, "eth0", group, 7300).unwrap();
    lab.wait_ports(group, &["vm2"]);
    let (ended, ear) = (AtomicBool::new(false), RawPort::open(&one.ns, "eth0"));
    let (mut busy, mut sent) = (0.0, 0);
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let mut seed = 0;
            while !ended.load(Ordering::Relaxed) {
                seed += 1;
                let _ = ear.send(&report(one, seed));
            }
            seed
        });
        let (began, before) = (Instant::now(), used(lab.bridge.process.pid()));
        while began.elapsed() < Duration::from_secs(5) {
            lab.reaches(outside, group, &["guest2"]);
            tcp_transfer(&two.ns, &outside.ns, outside.v4, 1 << 20).unwrap();
        }
        busy = (used(lab.bridge.process.pid()) - before) / began.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        sent = storm.join().unwrap();
    });
    let shown = lab.bridge.json("mdb show");
    let rows = shown[0]["mdb"].as_array().unwrap();
    let of_storm = rows.iter().filter(|row| row["port"] == "vm1").count();
    println!(
        "{sent} reports sent; controller at {:.1} % of a core; {of_storm} of {} rows are the sender's",
        busy * 100.0,
        rows.len()
    );
    assert!(sent > 2_000 && busy < 0.5, "{sent} reports, {busy} of a core");
    assert!(of_storm <= 2 * 256, "{of_storm} rows");
    lab.wait_ports(group, &["vm2"]);
    std::thread::sleep(Duration::from_millis(1500));
    let metrics = Metrics::scrape(&lab.segment.host().ns, "127.0.0.1:9473").unwrap();
    let value = |family: &str| metrics.value(family, &[("port", "vm1")]).unwrap();
    assert!(value("xbr_mcast_reports_total") > 100);
    assert!(value("xbr_mcast_refused_total") > 1000);
    let suppressed =
        metrics.value("xbr_mcast_suppressed_total", &[("port", "vm1"), ("kind", "igmp")]).unwrap();
    assert!(suppressed > u64::from(sent) / 2, "{suppressed} of {sent}");
    let entries = metrics.value("xbr_mcast_groups", &[]).unwrap();
    assert!(entries <= 8192, "{entries}");
    lab.bridge.stop();
}
