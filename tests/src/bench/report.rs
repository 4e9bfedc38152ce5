//! What was measured.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::machine::Machine;
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
    /// What they were measured on; files of earlier versions lack it.
    #[serde(default)]
    pub machine: Option<Machine>,
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
    /// As a table of Markdown, under a line that says what machine it is of.
    pub fn markdown(&self) -> String {
        let mut text = self.machine.as_ref().map(|machine| format!("{machine}\n\n")).unwrap_or_default();
        text.push_str("| work | subject | median | to `bridge` | to `ceiling` |\n|---|---|---|---|---|\n");
        for row in &self.rows {
            let less = if row.better == Better::Lower { ", less is better" } else { "" };
            for (subject, figures) in &row.figures {
                let ratio = |to: &str| match row.ratio(subject, to) {
                    Some(_) if to == subject => "1".into(),
                    Some((middle, low, high)) => format!("{middle:.2} ({low:.2} to {high:.2})"),
                    None => "–".into(),
                };
                let middle = if figures.is_empty() { "–".into() } else { number(median(figures.clone()).0) };
                let (bridge, ceiling) = (ratio("bridge"), ratio("ceiling"));
                let (work, unit) = (&row.work, &row.unit);
                writeln!(text, "| {work} | {subject} | {middle} {unit}{less} | {bridge} | {ceiling} |")
                    .expect("a string");
            }
        }
        text
    }
}

/// With three digits that say something: rates are millions, and round trips are a few microseconds.
pub fn number(figure: f64) -> String {
    let digits = match figure.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{figure:.digits$}")
}
