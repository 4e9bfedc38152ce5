//! What was measured.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::vm::median;

/// Which of two figures is the better one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Rates.
    #[default]
    Higher,
    /// Times.
    Lower,
}

/// One work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub work: String,
    /// Of the figures.
    pub unit: String,
    /// What a higher figure means.
    #[serde(default)]
    pub better: Better,
    /// The subjects, and what each has reached in each round.
    pub figures: Vec<(String, Vec<f64>)>,
}

/// All of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// In the order in which they were measured.
    pub rows: Vec<Row>,
}

impl Row {
    /// How many times as good a subject is as another one: median, lowest and highest of the ratios, each of one round. More is better,
    /// also where the figures are times: half the time is 2.
    pub fn ratio(&self, subject: &str, to: &str) -> Option<(f64, f64, f64)> {
        let of = |name: &str| self.figures.iter().find(|(other, _)| other == name).map(|(_, all)| all);
        let (ours, theirs) = (of(subject)?, of(to)?);
        let as_good = |(a, b): (&f64, &f64)| match self.better {
            Better::Higher => a / b,
            Better::Lower => b / a,
        };
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(as_good).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }
}

impl Report {
    /// As a table of Markdown.
    pub fn markdown(&self) -> String {
        let mut text =
            String::from("| work | subject | median | to `bridge` | to `ceiling` |\n|---|---|---|---|---|\n");
        for row in &self.rows {
            for (subject, figures) in &row.figures {
                let ratio = |to: &str| match row.ratio(subject, to) {
                    Some(_) if to == subject => "1".into(),
                    Some((middle, low, high)) => format!("{middle:.2} ({low:.2} to {high:.2})"),
                    None => "–".into(),
                };
                let middle = median(figures.clone()).0;
                let line = format!(
                    "| {} | {subject} | {middle:.0} {} | {} | {} |",
                    row.work,
                    row.unit,
                    ratio("bridge"),
                    ratio("ceiling")
                );
                writeln!(text, "{line}").expect("a string");
            }
        }
        text
    }
}
