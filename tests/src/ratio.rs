//! How the one of two arms is to the other, measured in turns for as long as it takes to know.

use std::fmt;

/// When it is known well enough.
#[derive(Clone, Copy, Debug)]
pub struct Enough {
    /// Rounds that are measured in any case.
    pub least: usize,
    /// Rounds that are measured at most.
    pub most: usize,
    /// The standard error of a median that suffices in between. Nothing else ends the measuring, and so not what is found.
    pub error: f64,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Ratio {
    /// The median of the rounds.
    pub middle: f64,
    /// The lowest round.
    pub low: f64,
    /// The highest one.
    pub high: f64,
    /// The standard error of the median; infinite after a single round.
    pub error: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ratio { middle, low, high, error, rounds } = self;
        write!(f, "{middle:.3} ± {error:.3} ({low:.2} to {high:.2} in {rounds} rounds)")
    }
}

/// Measures how `second` is to `first`, in each of the figures that both give. A round has four turns, A B B A or B A A B by turns: what
/// drifts evenly, as the load of the machine does, favours neither.
pub fn ratios<const N: usize>(
    enough: Enough,
    mut first: impl FnMut() -> [f64; N],
    mut second: impl FnMut() -> [f64; N],
) -> [Ratio; N] {
    let mut rounds: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    loop {
        for (at, ratio) in round(rounds[0].len(), &mut first, &mut second).into_iter().enumerate() {
            rounds[at].push(ratio);
        }
        let found = rounds.each_ref().map(|rounds| of(rounds));
        let count = rounds[0].len();
        let known = found.iter().all(|ratio| ratio.error <= enough.error);
        if count >= enough.most || (count >= enough.least && known) {
            return found;
        }
    }
}

fn round<const N: usize>(
    number: usize,
    first: &mut impl FnMut() -> [f64; N],
    second: &mut impl FnMut() -> [f64; N],
) -> [f64; N] {
    let (ones, others) = if number.is_multiple_of(2) {
        let one = first();
        let others = [second(), second()];
        ([one, first()], others)
    } else {
        let other = second();
        let ones = [first(), first()];
        (ones, [other, second()])
    };
    std::array::from_fn(|at| (others[0][at] * others[1][at] / (ones[0][at] * ones[1][at])).sqrt())
}

fn of(rounds: &[f64]) -> Ratio {
    let (middle, low, high) = median(rounds.to_vec());
    let count = rounds.len() as f64;
    let mean = rounds.iter().sum::<f64>() / count;
    let variance = rounds.iter().map(|round| (round - mean).powi(2)).sum::<f64>() / (count - 1.0);
    // Of a normal distribution the median is less certain than the mean, by this factor.
    let factor = (std::f64::consts::PI / 2.0).sqrt();
    let error = if rounds.len() > 1 { factor * (variance / count).sqrt() } else { f64::INFINITY };
    Ratio { middle, low, high, error, rounds: rounds.len() }
}

/// The middle one of some measurements, or what is between the middle two, and the lowest and highest.
pub fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    (f64::midpoint(below, above), values[0], values[values.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_drift_favours_neither() {
        let time = std::cell::Cell::new(0);
        // Each turn is a tenth slower than the one before; the second is half as fast in one figure, and the same in the other.
        let turn = |factor| {
            let now = 0.9_f64.powi(time.replace(time.get() + 1));
            [factor * now, now]
        };
        let enough = Enough { least: 3, most: 3, error: 0.0 };
        for (found, wanted) in ratios(enough, || turn(1.0), || turn(0.5)).iter().zip([0.5, 1.0]) {
            assert!([found.low, found.middle, found.high].iter().all(|x| (x - wanted).abs() < 1e-9));
            assert_eq!(found.rounds, 3);
        }
        assert_eq!(time.get(), 12);
    }

    #[test]
    fn measuring_ends_when_every_figure_is_known_and_not_before() {
        let count = |spread: f64, enough| {
            let mut turns = 0;
            let second = || {
                turns += 1;
                // Two turns make a round of one arm, and the sign is the round's.
                [1.0, if (turns - 1) / 2 % 2 == 0 { 1.0 + spread } else { 1.0 - spread }]
            };
            ratios(enough, || [1.0, 1.0], second)[1].rounds
        };
        let enough = Enough { least: 4, most: 12, error: 0.02 };
        assert_eq!(count(0.0, enough), 4);
        assert_eq!(count(0.3, enough), 12);
        let between = count(0.045, enough);
        assert!((5..12).contains(&between), "{between}");
    }

    #[test]
    fn the_median_is_in_the_middle_and_its_error_shrinks_with_the_root() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), (2.5, 1.0, 4.0));
        let rounds = [0.9, 1.1].repeat(8);
        let (few, many) = (of(&rounds[..4]), of(&rounds));
        // sqrt(π/2) · sqrt(0.01 · 16/15) / 4
        assert!((many.error - 0.03236).abs() < 1e-4, "{many}");
        assert!(few.error > 1.9 * many.error, "{few} {many}");
        assert!(of(&[1.0]).error.is_infinite());
    }
}
