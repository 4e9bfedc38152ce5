//! What was measured.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::{median, ratio::median_error};

/// Which figures are good ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Large ones.
    #[default]
    Higher,
    /// Small ones. A ratio is still one figure to the other: below 1 is good.
    Lower,
}

/// One work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub work: String,
    /// Of the figures.
    pub unit: String,
    /// Which figures are good ones.
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
    /// Median, lowest and highest of a subject's ratios to another one, each of one round.
    pub fn ratio(&self, subject: &str, to: &str) -> Option<(f64, f64, f64)> {
        let ratios = self.ratios(subject, to)?;
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// The same in words, with the standard error of the median where there are rounds enough to tell.
    fn said(&self, subject: &str, to: &str) -> Option<String> {
        let (middle, low, high) = self.ratio(subject, to)?;
        let error = median_error(self.ratios(subject, to)?);
        let error = if error.is_finite() { format!(" ± {error:.2}") } else { String::new() };
        Some(format!("{middle:.2}{error} ({low:.2} to {high:.2})"))
    }

    fn ratios(&self, subject: &str, to: &str) -> Option<Vec<f64>> {
        let of = |name: &str| self.figures.iter().find(|(other, _)| other == name).map(|(_, all)| all);
        Some(of(subject)?.iter().zip(of(to)?).map(|(a, b)| a / b).collect())
    }

    /// How many times as good a subject is as another one, also where small figures are good ones: half the time is 2.
    pub fn times_as_good(&self, subject: &str, to: &str) -> Option<(f64, f64, f64)> {
        match self.better {
            Better::Higher => self.ratio(subject, to),
            Better::Lower => self.ratio(to, subject),
        }
    }
}

impl fmt::Display for Row {
    /// What its subjects are to the first one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, _)) = self.figures.first() else { return Ok(()) };
        for (number, (subject, _)) in self.figures.iter().enumerate() {
            let Some(said) = self.said(subject, first) else { continue };
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{:16} {subject:16} {said} of {first}", self.work)?;
        }
        Ok(())
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
                let ratio = |to: &str| match row.said(subject, to) {
                    Some(_) if to == subject => "1".into(),
                    Some(said) => said,
                    None => "–".into(),
                };
                let middle =
                    if figures.is_empty() { "–".into() } else { number(median(figures.clone()).0) };
                let (bridge, ceiling) = (ratio("bridge"), ratio("ceiling"));
                let (work, unit) = (&row.work, &row.unit);
                writeln!(text, "| {work} | {subject} | {middle} {unit}{less} | {bridge} | {ceiling} |")
                    .expect("a string");
            }
        }
        text
    }
}

/// With as many places as say something.
pub fn number(value: f64) -> String {
    let places = match value.abs() {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        1.0.. if value.fract() == 0.0 => 0,
        0.1.. => 2,
        _ => 4,
    };
    format!("{value:.places$}")
}
