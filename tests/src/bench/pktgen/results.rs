//! What was measured, as JSON, as a table and as pictures.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{
    curve,
    search::{Found, Trial},
};
use crate::bench::{Better, Report, Row, charts, number};

/// Of one switch, one length and one round.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Search {
    /// The switch.
    pub switch: String,
    /// Of frames, in bytes with FCS.
    pub size: u32,
    /// From 1.
    pub round: usize,
    /// The outcome.
    #[serde(flatten)]
    pub found: Found,
    /// CPU time for each frame, in nanoseconds, at that rate.
    pub cpu: Option<f64>,
}

/// How much is lost at which rate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// The switch.
    pub switch: String,
    /// Of frames, in bytes with FCS.
    pub size: u32,
    /// From the lowest rate to the highest.
    pub points: Vec<Trial>,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The machine, and rows as of other measurements: a later run can take this file as its baseline.
    #[serde(flatten)]
    pub report: Report,
    /// The command line.
    pub command: Vec<String>,
    /// In their order.
    pub searches: Vec<Search>,
    /// By switch and length.
    pub curves: Vec<Curve>,
}

impl Results {
    /// Makes the rows of the searches.
    pub fn settle(&mut self) {
        let mut sizes: Vec<u32> = self.searches.iter().map(|search| search.size).collect();
        sizes.dedup();
        self.report.rows = Vec::new();
        for size in sizes {
            let rate = |search: &Search| Some(search.found.rate);
            let rows = [
                ("", "frames/s", Better::Higher, self.figures(size, rate)),
                (", CPU", "ns/frame", Better::Lower, self.figures(size, |search| search.cpu)),
            ];
            for (what, unit, better, figures) in rows {
                if !figures.is_empty() {
                    let (work, unit) = (format!("{size} bytes{what}"), unit.into());
                    self.report.rows.push(Row { work, unit, better, figures });
                }
            }
        }
    }

    /// What each switch has reached, round by round.
    fn figures(&self, size: u32, figure: impl Fn(&Search) -> Option<f64>) -> Vec<(String, Vec<f64>)> {
        let mut all: Vec<(String, Vec<f64>)> = Vec::new();
        for search in self.searches.iter().filter(|search| search.size == size) {
            let Some(figure) = figure(search) else { continue };
            match all.iter_mut().find(|(name, _)| *name == search.switch) {
                Some((_, figures)) => figures.push(figure),
                None => all.push((search.switch.clone(), vec![figure])),
            }
        }
        all
    }

    /// The tables.
    pub fn markdown(&self) -> String {
        let mut text = self.report.markdown();
        text.push_str("\n| frame | switch | frames/s without loss | Mbit/s on the wire | as fast as it goes: sent | arrived | lost |\n");
        text.push_str("|---|---|---|---|---|---|---|\n");
        for search in &self.searches {
            let Search { switch, size, found, .. } = search;
            let more = if found.generator_limits { "at least " } else { "" };
            // With preamble and gap.
            let wire = found.rate * f64::from((size + 20) * 8) / 1e6;
            let first = found.trials.first().cloned().unwrap_or_default();
            let (offered, forwarded) = (number(first.offered), number(first.forwarded()));
            let (rate, wire, loss) = (number(found.rate), number(wire), first.loss() * 100.0);
            writeln!(
                text,
                "| {size} | {switch} | {more}{rate} | {wire} | {offered} | {forwarded} | {loss:.2} % |"
            )
            .expect("a string");
        }
        let lost: u64 = self.trials().map(|trial| trial.sink_lost).sum();
        if lost > 0 {
            writeln!(
                text,
                "\n**The sink's own card lost {lost} frames, which count as lost by the switch.**"
            )
            .expect("a string");
        }
        text
    }

    fn trials(&self) -> impl Iterator<Item = &Trial> {
        let searched = self.searches.iter().flat_map(|search| &search.found.trials);
        searched.chain(self.curves.iter().flat_map(|curve| &curve.points))
    }

    /// Writes everything.
    pub fn save(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
        let write = |name: &str, text: &str| {
            let path = to.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("results.json", &serde_json::to_string_pretty(self)?)?;
        write("report.md", &self.markdown())?;
        if let Some(svg) = charts::ratios(&self.report, "bridge")? {
            write("to-bridge.svg", &svg)?;
        }
        let mut sizes: Vec<u32> = self.curves.iter().map(|curve| curve.size).collect();
        sizes.dedup();
        for size in sizes {
            let curves: Vec<&Curve> = self.curves.iter().filter(|curve| curve.size == size).collect();
            write(&format!("loss-{size}.svg"), &curve::draw(&curves)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        for round in [1, 2] {
            for (switch, rate, cpu) in [("bridge", 1e6, 800.0), ("xbr", 2.5e6, 200.0)] {
                let trial = Trial { offered: 4e6, sent: 400, received: 100, ..Trial::default() };
                let found = Found { rate, generator_limits: false, trials: vec![trial] };
                let (switch, cpu) = (switch.into(), Some(cpu));
                results.searches.push(Search { switch, size: 64, round, found, cpu });
            }
        }
        let point = |rate: f64, received| Trial { offered: rate, sent: 100, received, ..Trial::default() };
        let points = vec![point(1e6, 100), point(2e6, 50)];
        results.curves.push(Curve { switch: "xbr".into(), size: 64, points });
        results.settle();
        results
    }

    #[test]
    fn more_frames_and_less_time_are_both_better() {
        let results = results();
        let ratio = |row: usize| results.report.rows[row].times_as_good("xbr", "bridge").unwrap().0;
        assert_eq!((ratio(0), ratio(1)), (2.5, 4.0));
        let text = results.markdown();
        assert!(text.contains("| 64 | xbr | 2500000 | 1680 | 4000000 | 1000000 | 75.00 % |"), "{text}");
        assert!(!text.contains("own card"), "{text}");
    }

    #[test]
    fn a_file_is_read_again_and_is_a_baseline() {
        let text = serde_json::to_string(&results()).unwrap();
        let again: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(again.searches, results().searches);
        let report: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(report.rows.len(), 2);
    }

    #[test]
    fn a_sink_that_loses_is_named() {
        let mut results = results();
        results.curves[0].points[0].sink_lost = 7;
        assert!(results.markdown().contains("own card lost 7 frames"));
    }

    #[test]
    fn writes_its_files() {
        let to = std::env::temp_dir().join(crate::unique_name());
        results().save(&to).unwrap();
        for name in ["results.json", "report.md", "to-bridge.svg", "loss-64.svg"] {
            assert!(fs::metadata(to.join(name)).unwrap().len() > 100, "{name}");
        }
        fs::remove_dir_all(to).unwrap();
    }
}
