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
    /// The standard error of the median; infinite after less than four rounds.
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
    Ratio { middle, low, high, error: median_error(rounds.to_vec()), rounds: rounds.len() }
}

/// The standard error of a median, by what ranks about it are as likely as one of a normal distribution; the next ranks outward, to be
/// on the safe side. It asks nothing of how rounds are distributed, and a few that something disturbed do not count for more than others.
fn median_error(mut values: Vec<f64>) -> f64 {
    let count = values.len();
    if count < 4 {
        return f64::INFINITY;
    }
    values.sort_by(f64::total_cmp);
    let below = ((count as f64 - (count as f64).sqrt() - 1.0) / 2.0) as usize;
    (values[count - 1 - below] - values[below]) / 2.0
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

    /// As random as a test may be: evenly from -0.5 to 0.5.
    fn scattered(number: usize) -> f64 {
        (number as f64 * 0.618_034).fract() - 0.5
    }

    #[test]
    fn measuring_ends_when_every_figure_is_known_and_not_before() {
        let count = |spread: f64| {
            let mut turns = 0;
            let second = || {
                turns += 1;
                // Two turns of an arm make a round.
                [1.0, 1.0 + spread * scattered((turns - 1) / 2)]
            };
            let enough = Enough { least: 5, most: 40, error: 0.02 };
            ratios(enough, || [1.0, 1.0], second)[1].rounds
        };
        assert_eq!(count(0.0), 5);
        assert_eq!(count(1.0), 40);
        assert!((6..40).contains(&count(0.12)), "{}", count(0.12));
    }

    #[test]
    fn the_median_is_in_the_middle_and_its_error_shrinks_with_the_root() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), (2.5, 1.0, 4.0));
        let error = |count: usize| of(&(0..count).map(scattered).collect::<Vec<_>>()).error;
        assert!(error(3).is_infinite());
        // Of an even distribution it is half its width, by the root of the number of rounds.
        for (count, most) in [(16, 0.2), (64, 0.085), (400, 0.03)] {
            let right = 0.5 / (count as f64).sqrt();
            assert!((0.8 * right..most).contains(&error(count)), "{count}: {} and not {right}", error(count));
        }
    }

    #[test]
    fn a_disturbed_round_counts_once() {
        let mut rounds: Vec<_> = (0..20).map(scattered).collect();
        let before = median_error(rounds.clone());
        let highest = rounds.iter().position(|round| *round > 0.4).unwrap();
        rounds[highest] = 1000.0;
        assert_eq!(median_error(rounds), before);
    }
}
