//! Turns: each subject once in every round, so that what disturbs the machine disturbs all of them.

use super::{Better, Options, Row};

/// Has each of the subjects its turn in every round, and makes a row of what `turn` measures for the subject of that place. Every other
/// round goes the other way (A B C, C B A), so that no subject is always the one after the same other.
pub fn turns(options: &Options, row: Row, mut turn: impl FnMut(usize) -> f64) -> Row {
    let mut row = row;
    for round in 0..options.rounds {
        let count = row.figures.len();
        for step in 0..count {
            let at = if round % 2 == 0 { step } else { count - 1 - step };
            let figure = turn(at);
            row.figures[at].1.push(figure);
        }
    }
    row
}

/// A row without figures.
pub fn row<'a>(work: &str, unit: &str, better: Better, subjects: impl IntoIterator<Item = &'a str>) -> Row {
    let figures = subjects.into_iter().map(|name| (name.to_owned(), Vec::new())).collect();
    Row { work: work.into(), unit: unit.into(), better, figures }
}

/// A row with what subjects that stood at once have reached in each round: see [`crate::rounds`].
pub fn filled(mut row: Row, rounds: &[Vec<[f64; 1]>]) -> Row {
    for (at, (_, figures)) in row.figures.iter_mut().enumerate() {
        figures.extend(rounds.iter().map(|round| round[at][0]));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_round_goes_the_other_way() {
        let options = Options { rounds: 3, ..Options::default() };
        let mut order = Vec::new();
        let measured = turns(&options, row("work", "frames/s", Better::Higher, ["a", "b"]), |at| {
            order.push(at);
            order.len() as f64
        });
        assert_eq!(order, [0, 1, 1, 0, 0, 1]);
        // Each figure is with its own subject and round.
        assert_eq!(measured.figures[0].1, [1.0, 4.0, 5.0]);
        assert_eq!(measured.figures[1].1, [2.0, 3.0, 6.0]);
    }
}
