//! The measuring stick itself, and that nothing has fallen off: bounds are far below what a quiet machine reaches (`docs/performance.md`).

use xbr_lab::{
    bench::{Better, Options, Report, Row, names, run},
    require_privileges,
    vm::require_full,
};

fn measured(work: &str) -> Option<Row> {
    if !require_privileges() {
        return None;
    }
    let options = Options {
        xbr: env!("CARGO_BIN_EXE_xbr-under-test").into(),
        rounds: 3,
        only: vec![work.into()],
        ..Options::default()
    };
    let report = run(&options, |_| {});
    println!("{}", report.markdown());
    report.rows.into_iter().next()
}

#[test]
fn xdp_is_far_faster_than_a_linux_bridge() {
    let Some(row) = measured("xdp/1k") else { return };
    let (middle, ..) = row.ratio("xbr", "bridge").unwrap();
    assert!(middle >= 2.2, "{middle:.2} of a Linux bridge");
    let (ceiling, ..) = row.ratio("ceiling", "xbr").unwrap();
    assert!(ceiling > 0.9, "forwarding costs less than a bare redirect? {ceiling:.2}");
}

#[test]
fn tc_is_not_slower_than_a_linux_bridge() {
    if !require_full() {
        return;
    }
    let Some(row) = measured("tcx/1") else { return };
    let (middle, ..) = row.ratio("xbr", "bridge").unwrap();
    assert!(middle >= 1.2, "{middle:.2} of a Linux bridge");
}

/// Each holds what it counts against what the switch says, and fails where they differ.
#[test]
fn every_work_can_be_measured() {
    if !require_privileges() || !require_full() {
        return;
    }
    let xbr = env!("CARGO_BIN_EXE_xbr-under-test").into();
    let options = Options { xbr, rounds: 1, ..Options::default() };
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
