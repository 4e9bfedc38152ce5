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

/// Measures how `second` is to `first`, in each of the figures that both give, in rounds of four turns: see [`rounds`].
pub fn ratios<const N: usize>(
    enough: Enough,
    mut first: impl FnMut() -> [f64; N],
    mut second: impl FnMut() -> [f64; N],
) -> [Ratio; N] {
    let rounds = rounds(enough, 2, |arm| if arm == 0 { first() } else { second() });
    std::array::from_fn(|figure| {
        let of_arm = |arm: usize| rounds.iter().map(move |round| round[arm][figure]);
        of(&of_arm(1).zip(of_arm(0)).map(|(second, first)| second / first).collect::<Vec<_>>())
    })
}

/// What so many arms give in each round, until every figure's ratio to the first arm's is known. A round has two turns of each arm,
/// A B B A or B A A B by turns, of which it gives the geometric mean: what drifts evenly, as the load of the machine does, favours none.
pub fn rounds<const N: usize>(
    enough: Enough,
    arms: usize,
    mut turn: impl FnMut(usize) -> [f64; N],
) -> Vec<Vec<[f64; N]>> {
    let mut rounds: Vec<Vec<[f64; N]>> = Vec::new();
    loop {
        rounds.push(round(rounds.len(), arms, &mut turn));
        let count = rounds.len();
        if count >= enough.most || (count >= enough.least && are_known(&rounds, enough.error)) {
            return rounds;
        }
    }
}

fn round<const N: usize>(
    number: usize,
    arms: usize,
    turn: &mut impl FnMut(usize) -> [f64; N],
) -> Vec<[f64; N]> {
    let place = |step: usize| if number.is_multiple_of(2) { step } else { arms - 1 - step };
    let mut products = vec![[1.0; N]; arms];
    for step in (0..arms).chain((0..arms).rev()) {
        let arm = place(step);
        for (product, figure) in products[arm].iter_mut().zip(turn(arm)) {
            *product *= figure;
        }
    }
    products.iter().map(|arm| arm.map(f64::sqrt)).collect()
}

/// Whether the median of every ratio to the first arm has no larger standard error.
fn are_known<const N: usize>(rounds: &[Vec<[f64; N]>], error: f64) -> bool {
    let is_known = |arm: usize, figure: usize| {
        let ratios = rounds.iter().map(|round| round[arm][figure] / round[0][figure]);
        median_error(ratios.collect()) <= error
    };
    (1..rounds[0].len()).all(|arm| (0..N).all(|figure| is_known(arm, figure)))
}

fn of(rounds: &[f64]) -> Ratio {
    let (middle, low, high) = median(rounds.to_vec());
    Ratio { middle, low, high, error: median_error(rounds.to_vec()), rounds: rounds.len() }
}

/// The standard error of a median, by what ranks about it are as likely as one of a normal distribution; the next ranks outward, to be
/// on the safe side. It asks nothing of how rounds are distributed, and a few that something disturbed do not count for more than others.
pub(crate) fn median_error(mut values: Vec<f64>) -> f64 {
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

    #[test]
    fn several_arms_have_two_turns_in_each_round_forth_and_back() {
        let mut order = Vec::new();
        let enough = Enough { least: 2, most: 2, error: 0.0 };
        let rounds = rounds(enough, 3, |arm| {
            order.push(arm);
            // The second turn of an arm gives four times the first one.
            [(arm + 1) as f64
                * if order.iter().filter(|one| **one == arm).count() % 2 == 1 { 1.0 } else { 4.0 }]
        });
        assert_eq!(order, [0, 1, 2, 2, 1, 0, 2, 1, 0, 0, 1, 2]);
        assert_eq!(rounds, vec![vec![[2.0], [4.0], [6.0]]; 2]);
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
