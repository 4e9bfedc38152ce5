//! An earlier run as the yardstick: ratios of ratios, since figures of two runs cannot be compared.

use std::{fmt::Write as _, path::Path};

use super::{Refusal, Report, Row};

/// What a subject's ratio has become.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// The work.
    pub work: String,
    /// The subject.
    pub subject: String,
    /// The ratio of both runs is to this one.
    pub to: String,
    /// Now: how many times as good, also where small figures are good ones.
    pub now: f64,
    /// In the baseline.
    pub then: f64,
}

impl Change {
    /// 1 is as before, more is better.
    pub fn ratio(&self) -> f64 {
        self.now / self.then
    }
}

/// Reads an earlier `results.json`.
pub fn read(path: &Path) -> Result<Report, Refusal> {
    let refuse = |why: String| Refusal::Baseline { path: path.into(), why };
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| refuse(format!("it is no results.json: {error}")))
}

/// What both runs have measured, work by work.
pub fn changes(now: &Report, then: &Report) -> Vec<Change> {
    let mut changes = Vec::new();
    for row in &now.rows {
        let Some(old) = then.rows.iter().find(|old| old.work == row.work) else { continue };
        let Some(to) = yardstick(row, old) else { continue };
        for (subject, _) in row.figures.iter().filter(|(subject, _)| subject != to) {
            if let (Some((now, ..)), Some((then, ..))) =
                (row.times_as_good(subject, to), old.times_as_good(subject, to))
            {
                let (work, subject, to) = (row.work.clone(), subject.clone(), to.to_owned());
                changes.push(Change { work, subject, to, now, then });
            }
        }
    }
    changes
}

/// The Linux bridge, which no change to xbr makes faster; in works without it, whoever comes first.
fn yardstick<'a>(row: &'a Row, old: &Row) -> Option<&'a str> {
    let mut names = row.figures.iter().map(|(name, _)| name.as_str());
    let first = names.clone().next()?;
    let to = names.find(|name| *name == "bridge").unwrap_or(first);
    old.figures.iter().any(|(name, _)| name == to).then_some(to)
}

/// xbr's works that fell below this share of what they were.
pub fn fallen(changes: &[Change], below: f64) -> Vec<&Change> {
    // A ratio that is no number has not kept up either.
    let kept = |change: &&Change| change.subject != "xbr" || change.ratio() >= below;
    changes.iter().filter(|change| !kept(change)).collect()
}

/// As a table of Markdown, under what makes the runs incomparable.
pub fn markdown(now: &Report, then: &Report, changes: &[Change]) -> String {
    let mut text = String::new();
    let warning = match (&now.machine, &then.machine) {
        (Some(now), Some(then)) => now.differs(then).map(|what| format!("The machines differ: {what}.")),
        _ => Some("The baseline does not say what machine it is of.".into()),
    };
    if let Some(warning) = warning {
        write!(text, "**{warning}** Ratios of ratios say little then.\n\n").expect("a string");
    }
    text.push_str("| work | subject | to | now | baseline | now to baseline |\n|---|---|---|---|---|---|\n");
    for change in changes {
        let Change { work, subject, to, now, then } = change;
        let ratio = change.ratio();
        writeln!(text, "| {work} | {subject} | `{to}` | {now:.2} | {then:.2} | {ratio:.2} |")
            .expect("a string");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Better, Machine};

    fn report(work: &str, xbr: f64, kernel: &str) -> Report {
        of(Better::Higher, work, xbr, kernel)
    }

    fn of(better: Better, work: &str, xbr: f64, kernel: &str) -> Report {
        let figures = vec![("bridge".into(), vec![1.0; 3]), ("xbr".into(), vec![xbr; 3])];
        let row = Row { work: work.into(), unit: "frames/s".into(), better, figures };
        let machine = Some(Machine { kernel: kernel.into(), ..Machine::default() });
        Report { machine, rows: vec![row] }
    }

    #[test]
    fn a_fall_is_seen_and_a_rise_is_none() {
        let (then, now) = (report("xdp", 2.0, "6.18"), report("xdp", 1.5, "6.18"));
        let changes = changes(&now, &then);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].ratio(), 0.75);
        assert_eq!(fallen(&changes, 0.85).len(), 1);
        assert_eq!(fallen(&changes, 0.75).len(), 0);
        let text = markdown(&now, &then, &changes);
        assert!(text.contains("| xdp | xbr | `bridge` | 1.50 | 2.00 | 0.75 |"), "{text}");
        assert!(!text.contains("differ"), "{text}");
        assert_eq!(fallen(&super::changes(&then, &now), 0.85).len(), 0);
    }

    #[test]
    fn a_time_that_grows_has_fallen() {
        let run = |microseconds: f64| of(Better::Lower, "round trip", microseconds, "6.18");
        assert_eq!(fallen(&changes(&run(2.0), &run(1.0)), 0.85).len(), 1);
        assert_eq!(fallen(&changes(&run(1.0), &run(2.0)), 0.85).len(), 0);
    }

    #[test]
    fn other_machines_are_named_and_other_works_left_out() {
        let (then, now) = (report("xdp", 2.0, "6.12"), report("tcx", 1.5, "6.18"));
        assert_eq!(changes(&now, &then), []);
        assert!(markdown(&now, &then, &[]).contains("kernel 6.18, the baseline's 6.12"));
    }

    #[test]
    fn a_ratio_that_is_no_number_has_fallen() {
        let changes = changes(&report("xdp", f64::NAN, ""), &report("xdp", 2.0, ""));
        assert_eq!(fallen(&changes, 0.5).len(), 1);
    }

    /// As runs wrote them before there was more than rows.
    #[test]
    fn reads_old_files() {
        let old = r#"{"rows": [{"work": "xdp/1", "unit": "frames/s", "figures": [["bridge", [1.0]], ["xbr", [2.5]]]}]}"#;
        let old: Report = serde_json::from_str(old).unwrap();
        assert_eq!(old.rows[0].ratio("xbr", "bridge"), Some((2.5, 2.5, 2.5)));
        assert!(markdown(&old, &old, &[]).contains("does not say what machine"));
        let again: Report = serde_json::from_str(&serde_json::to_string(&old).unwrap()).unwrap();
        assert_eq!(again.rows.len(), 1);
    }
}
