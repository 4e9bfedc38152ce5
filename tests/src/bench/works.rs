//! The works, each a row of the report.

use std::time::Duration;

use super::{Better, Machine, Options, Report, Row, load::Load, subject::Subject};
use crate::{GuestKind, Offloads, Segment};

/// What a subject is measured for in one turn, after as much again that does not count.
const TURN: Duration = Duration::from_millis(500);

/// Frames of so many stations, on these subjects.
struct Work {
    name: &'static str,
    stations: u32,
    subjects: &'static [Subject],
}

/// VLANs and all guards, on the port where the frames come in.
const GUARDED: Subject = Subject::Xbr {
    name: "xbr, all guards",
    words: "--hook xdp --vlan-filtering",
    settings: "port set vm1 --mac 02:00:00:01:00:00 --ip 192.0.2.1 --no-dhcp-server --no-ra",
};

const XDP: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("--hook xdp"), Subject::BareXdp, Subject::Ovs];
const TCX: &[Subject] = &[Subject::LinuxBridge, Subject::xbr("--hook tc"), Subject::BareTcx, Subject::Ovs];

const WORKS: [Work; 5] = [
    Work { name: "xdp/1", stations: 2, subjects: XDP },
    Work { name: "xdp/1k", stations: 1024, subjects: XDP },
    Work { name: "xdp/64k", stations: 65_536, subjects: XDP },
    Work { name: "tcx/1", stations: 2, subjects: TCX },
    Work { name: "policy", stations: 2, subjects: &[Subject::xbr("--hook xdp"), GUARDED] },
];

/// For the cost of a change: `XBR_BENCH_OTHER` is what was before it.
const CHANGES: [Work; 2] = [
    Work {
        name: "change/xdp",
        stations: 2,
        subjects: &[Subject::Other("--hook xdp"), Subject::xbr("--hook xdp")],
    },
    Work {
        name: "change/tcx",
        stations: 2,
        subjects: &[Subject::Other("--hook tc"), Subject::xbr("--hook tc")],
    },
];

/// The names of all works.
pub const NAMES: [&str; 5] = {
    let mut names = [""; 5];
    let mut at = 0;
    while at < 5 {
        names[at] = WORKS[at].name;
        at += 1;
    }
    names
};

/// Measures, and says each row when it is there.
pub fn run(options: &Options, mut said: impl FnMut(&Row)) -> Report {
    let changes = if std::env::var_os("XBR_BENCH_OTHER").is_some() { &CHANGES[..] } else { &[] };
    let wanted =
        |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part.as_str()));
    let machine = Machine::here(&options.xbr, options.commit.clone(), options.rounds);
    let mut report = Report { machine: Some(machine), ..Report::default() };
    for work in WORKS.iter().chain(changes).filter(|work| wanted(work.name)) {
        let row = frames(options, work);
        said(&row);
        report.rows.push(row);
    }
    report
}

#[track_caller]
fn frames(options: &Options, work: &Work) -> Row {
    let segment = Segment::builder().guests(2, GuestKind::Veth).offloads(Offloads::Off).quiet().build();
    let load = Load::of(&segment, work.stations);
    let subjects: Vec<&Subject> = work.subjects.iter().filter(|subject| options.takes(subject)).collect();
    let mut figures: Vec<(String, Vec<f64>)> =
        subjects.iter().map(|subject| (subject.name().into(), Vec::new())).collect();
    for _ in 0..options.rounds {
        for (subject, (_, figures)) in subjects.iter().zip(&mut figures) {
            let running = subject.start(&options.xbr, &segment);
            load.introduce();
            load.rate(TURN);
            figures.push(load.rate(TURN));
            running.stop();
        }
    }
    Row { work: work.name.into(), unit: "frames/s".into(), better: Better::Higher, figures }
}
