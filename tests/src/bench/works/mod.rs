//! The works, each a row of the report or a few. One file for each kind.

mod cpus;
mod flood;
mod frames;
mod idle;
mod learning;
mod million;
mod program;
mod rtt;
mod start;
mod table;
mod taps;
mod tcp;

use super::{Machine, Options, Report, Row};

/// What is measured.
pub(super) struct Work {
    name: &'static str,
    /// Whether `--quick` has it.
    quick: bool,
    /// Whether it is stable enough for the regression gate.
    gate: bool,
    /// Given the work's name.
    measure: fn(&Options, &str) -> Vec<Row>,
}

impl Work {
    /// One that `--quick` has too.
    const fn quick(name: &'static str, measure: fn(&Options, &str) -> Vec<Row>) -> Self {
        Self { name, quick: true, gate: false, measure }
    }

    /// One that it leaves out.
    const fn long(name: &'static str, measure: fn(&Options, &str) -> Vec<Row>) -> Self {
        Self { name, quick: false, gate: false, measure }
    }

    /// The regression gate has it too.
    const fn gated(mut self) -> Self {
        self.gate = true;
        self
    }
}

const KINDS: &[&[Work]] = &[
    frames::WORKS,
    taps::WORKS,
    flood::WORKS,
    table::WORKS,
    learning::WORKS,
    cpus::WORKS,
    tcp::WORKS,
    rtt::WORKS,
    program::WORKS,
    start::WORKS,
    million::WORKS,
    idle::WORKS,
];

/// What the stick makes of two that are alike; measured by who names it.
const NULLS: &[Work] = tcp::NULLS;

/// The names of all works.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().copied().flatten().map(|work| work.name)
}

/// Measures, and says each row when it is there.
pub fn run(options: &Options, mut said: impl FnMut(&Row)) -> Report {
    let changes: &[&[Work]] = match std::env::var_os("XBR_BENCH_OTHER") {
        Some(_) => &[frames::CHANGES, flood::CHANGES],
        None => &[],
    };
    let changes = changes.iter().copied().flatten();
    let machine = Machine::here(&options.xbr, options.commit.clone(), options.rounds);
    let mut report = Report { machine: Some(machine), ..Report::default() };
    let nulls = if options.only.is_empty() { &[] } else { NULLS };
    let all = KINDS.iter().copied().flatten().chain(changes).chain(nulls);
    for work in all.filter(|work| wanted(options, work)) {
        for row in (work.measure)(options, work.name) {
            said(&row);
            report.rows.push(row);
        }
    }
    report
}

/// Who names a work gets it, however long it takes.
fn wanted(options: &Options, work: &Work) -> bool {
    if options.gate {
        return work.gate && (options.only.is_empty() || options.only.iter().any(|name| name == work.name));
    }
    if options.only.is_empty() {
        return work.quick || !options.quick;
    }
    options.only.iter().any(|part| work.name.contains(part.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(quick: bool, only: &[&str]) -> Vec<&'static str> {
        let only = only.iter().map(|part| part.to_string()).collect();
        let options = Options { rounds: 1, only, quick, ..Options::default() };
        let all = KINDS.iter().copied().flatten();
        all.filter(|work| wanted(&options, work)).map(|work| work.name).collect()
    }

    #[test]
    fn works_are_chosen_by_name() {
        assert_eq!(chosen(false, &[]), names().collect::<Vec<_>>());
        assert_eq!(chosen(true, &["table/1m", "learning"]), ["table/1m", "learning"]);
        let quick = chosen(true, &[]);
        assert!(quick.contains(&"xdp/1k") && !quick.contains(&"table/1m"), "{quick:?}");
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), names().count(), "two works of one name");
    }

    #[test]
    fn the_gate_takes_whole_names() {
        let gate = |only: &[&str]| {
            let only = only.iter().map(|name| name.to_string()).collect();
            let options = Options { only, gate: true, ..Options::default() };
            let all = KINDS.iter().copied().flatten();
            all.filter(|work| wanted(&options, work)).map(|work| work.name).collect::<Vec<_>>()
        };
        assert!(gate(&[]).contains(&"xdp/1k"));
        assert_eq!(gate(&["xdp/1k"]), ["xdp/1k"]);
        assert_eq!(gate(&["xdp/", "idle/64k"]), [""; 0]);
    }
}
