//! What a second CPU is worth.

use super::{
    Work,
    frames::{TURN, XDP, quiet},
};
use crate::bench::{
    Better, Options, Row,
    load::Load,
    subject::Subject,
    turns::{row, turns},
    wire::cpus,
};

pub const WORKS: &[Work] = &[Work::long("two-cpus", two)];

/// Two pairs of guests, each with a generator on a CPU of its own. The figure is what both reach at once, to what they reach by turns, on
/// the average.
#[track_caller]
fn two(options: &Options, work: &str) -> Vec<Row> {
    if cpus() < 2 {
        eprintln!("{work}: there is one CPU only");
        return Vec::new();
    }
    let (segment, subjects) = (quiet(4), options.chosen(XDP));
    let loads = [0, 1].map(|pair: u8| {
        let first = 2 * usize::from(pair) + 1;
        Load::between(segment.guest(first), segment.guest(first + 1), 2, pair, pair.into())
    });
    let row = row(work, "times one CPU's", Better::Higher, subjects.iter().map(Subject::name));
    let row = turns(options, row, |at| {
        let running = subjects[at].start(&options.xbr, &segment);
        loads.iter().for_each(Load::introduce);
        loads.iter().for_each(|load| _ = load.rate(TURN));
        let alone: f64 = loads.iter().map(|load| load.rate(TURN)).sum();
        let both: f64 = std::thread::scope(|scope| {
            let threads = loads.each_ref().map(|load| scope.spawn(|| load.rate(TURN)));
            threads.into_iter().map(|thread| thread.join().expect("a generator")).sum()
        });
        running.stop();
        both / (alone / 2.0)
    });
    vec![row]
}
