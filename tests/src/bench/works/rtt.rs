//! There and back: one datagram at a time between two guests.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Work;
use crate::{
    GuestKind, Segment,
    bench::{
        Better, Options, Row,
        load::CPU,
        subject::Subject,
        turns::{row, turns},
        wire::pin,
    },
    traffic::{longest_silence, udp_socket},
};

const WARM: Duration = Duration::from_millis(200);
const TURN: Duration = Duration::from_millis(600);
/// `auto` chooses the hook.
const SUBJECTS: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("")];

pub const WORKS: &[Work] = &[Work::quick("rtt", rtt)];

#[track_caller]
fn rtt(options: &Options, work: &str) -> Vec<Row> {
    let segment = Segment::builder().guests(2, GuestKind::Veth).build();
    let subjects = options.chosen(SUBJECTS);
    let row = row(work, "µs (less is better)", Better::Lower, subjects.iter().map(Subject::name));
    let row = turns(options, row, |at| {
        let running = subjects[at].start(&options.xbr, &segment);
        let time = ping_pong(&segment);
        running.stop();
        time.as_secs_f64() * 1e6
    });
    vec![row]
}

/// The average time of a round trip. Both ends are on one CPU, so that what is measured is the way, and not how long another CPU sleeps.
#[track_caller]
fn ping_pong(segment: &Segment) -> Duration {
    let (one, two) = (segment.guest(1), segment.guest(2));
    let server = udp_socket(&two.ns, two.v4, 0).expect("a socket");
    let client = udp_socket(&one.ns, one.v4, 0).expect("a socket");
    let server_address = server.local_addr().expect("an address");
    client.connect(server_address).expect("connected");
    server.connect(client.local_addr().expect("an address")).expect("connected");
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(longest_silence())).expect("a timeout");
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| answer(&server, &stop));
        let asked = scope.spawn(|| {
            pin(CPU);
            ask(&client, WARM);
            ask(&client, TURN)
        });
        let time = asked.join().expect("round trips");
        stop.store(true, Relaxed);
        // Wakes who answers.
        client.send(&[0; 32]).expect("sent");
        time
    })
}

fn answer(socket: &UdpSocket, stop: &AtomicBool) {
    pin(CPU);
    let mut buffer = [0; 64];
    while !stop.load(Relaxed) {
        let length = socket.recv(&mut buffer).expect("nothing comes");
        socket.send(&buffer[..length]).expect("sent");
    }
}

fn ask(socket: &UdpSocket, time: Duration) -> Duration {
    let (start, mut trips, mut buffer) = (Instant::now(), 0_u32, [0; 64]);
    while start.elapsed() < time {
        let mut ping = [0; 32];
        ping[..4].copy_from_slice(&trips.to_be_bytes());
        socket.send(&ping).expect("sent");
        let length = socket.recv(&mut buffer).expect("nothing comes back");
        assert_eq!(buffer[..length], ping, "another one's answer");
        trips += 1;
    }
    start.elapsed() / trips
}
