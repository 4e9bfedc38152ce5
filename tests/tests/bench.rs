//! The measuring stick itself, and that nothing has fallen below what it was (`docs/performance.md`).

use xbr_lab::{
    bench::{Better, Options, Report, Row, baseline, gate, names, run},
    require_privileges,
    vm::require_full,
};

fn options() -> Options {
    Options { xbr: env!("CARGO_BIN_EXE_xbr-under-test").into(), ..Options::default() }
}

/// `cargo xtask bench --gate`, with the programs of this build.
#[test]
fn nothing_has_become_slower() {
    if !require_privileges() {
        return;
    }
    let then = baseline::read(&gate::file()).unwrap();
    let options = Options { rounds: gate::ROUNDS, ..options() };
    let held = gate::hold(&options, &then, |said| println!("{said}")).unwrap();
    let table = baseline::markdown(&held.report, &then, &held.changes);
    assert!(held.fallen().is_empty(), "less than {} of the baseline, twice:\n{table}", held.kept);
    println!("{table}");
}

/// The stick itself: of two bridges that are alike none is faster.
#[test]
fn two_linux_bridges_carry_as_much_tcp() {
    if !require_privileges() || !require_full() {
        return;
    }
    let report =
        run(&Options { rounds: 12, only: vec!["null/".into()], ..options() }, |row| println!("{row}"));
    assert_eq!(report.rows.len(), 6);
    for row in &report.rows {
        let (middle, ..) = row.ratio("another bridge", "bridge").unwrap();
        assert!((0.97..1.03).contains(&middle), "{row}");
    }
}

/// Each holds what it counts against what the switch says, and fails where they differ.
#[test]
fn every_work_can_be_measured() {
    if !require_privileges() || !require_full() {
        return;
    }
    let options = Options { rounds: 1, ..options() };
    let report = run(&options, |row| eprintln!("{row:?}"));
    for name in names() {
        let row = report.rows.iter().find(|row| row.work.starts_with(name));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        let figures: Vec<f64> = row.figures.iter().flat_map(|(_, figures)| figures.clone()).collect();
        assert!(figures.iter().all(|figure| *figure > 0.0), "{row:?}");
    }
}

#[test]
fn ratios_are_of_the_same_round() {
    let figures = vec![("bridge".into(), vec![1.0, 2.0, 4.0]), ("xbr".into(), vec![2.0, 4.0, 6.0])];
    let row = Row { work: "work".into(), unit: "frames/s".into(), better: Better::Higher, figures };
    assert_eq!(row.ratio("xbr", "bridge"), Some((2.0, 1.5, 2.0)));
    assert_eq!(row.ratio("xbr", "ceiling"), None);
    let text = Report { rows: vec![row], ..Report::default() }.markdown();
    assert!(text.contains("| work | xbr | 4 frames/s | 2.00 (1.50 to 2.00) | – |"), "{text}");
}
