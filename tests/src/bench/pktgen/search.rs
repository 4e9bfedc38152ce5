//! The search for the highest rate without loss (RFC 2544, 26.1), over whatever says how a trial went.

use serde::{Deserialize, Serialize};

/// One trial.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Trial {
    /// The rate that was asked for, in frames a second; none for as fast as it goes.
    pub asked: Option<f64>,
    /// The rate at which frames were sent.
    pub offered: f64,
    /// How many were sent.
    pub sent: u64,
    /// How many arrived.
    pub received: u64,
    /// How many the sink's own card lost, which the switch had forwarded.
    pub sink_lost: u64,
    /// CPU time, in nanoseconds for each frame that arrived, where the switch is on this machine.
    pub cpu: Option<f64>,
}

impl Trial {
    /// The share of frames that did not arrive; those that somebody else sent do not make up for them below zero.
    pub fn loss(&self) -> f64 {
        if self.sent == 0 { 1.0 } else { (1.0 - self.received as f64 / self.sent as f64).max(0.0) }
    }

    /// Frames a second that arrived.
    pub fn forwarded(&self) -> f64 {
        self.offered * (1.0 - self.loss())
    }
}

/// When a search is at its end.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The share by which the bounds may differ.
    pub resolution: f64,
    /// The loss that passes.
    pub accept_loss: f64,
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// The highest rate that passed, in frames a second; 0 if none did.
    pub rate: f64,
    /// Nothing was lost at the highest rate that could be sent: the switch can do more.
    pub generator_limits: bool,
    /// All trials, in their order.
    pub trials: Vec<Trial>,
}

impl Found {
    /// The trial that decided.
    pub fn best(&self, limits: &Limits) -> Option<&Trial> {
        let passed = self.trials.iter().filter(|trial| trial.loss() <= limits.accept_loss);
        passed.max_by(|a, b| a.offered.total_cmp(&b.offered))
    }
}

/// Below this share of what can be sent, nothing is searched for.
const FLOOR: f64 = 0.001;

/// Bisects, after one trial as fast as it goes and one at the rate that was forwarded then.
pub fn throughput<E>(
    limits: &Limits,
    mut trial: impl FnMut(Option<f64>) -> Result<Trial, E>,
) -> Result<Found, E> {
    let mut found = Found { trials: vec![trial(None)?], ..Found::default() };
    let first = found.trials[0].clone();
    if first.loss() <= limits.accept_loss {
        return Ok(Found { rate: first.offered, generator_limits: true, ..found });
    }
    let (mut low, mut high) = (0.0, first.offered);
    // What a switch forwards when it is overrun is near what it forwards without loss, or far below.
    let mut next = first.forwarded().min(high * (1.0 - limits.resolution));
    while high - low > limits.resolution * high && high > first.offered * FLOOR {
        if next <= low {
            next = low.midpoint(high);
        }
        let trial = trial(Some(next))?;
        if trial.loss() <= limits.accept_loss {
            low = next
        } else {
            high = next
        }
        found.trials.push(trial);
        next = low.midpoint(high);
    }
    found.rate = found.best(limits).map_or(0.0, |trial| trial.offered);
    Ok(found)
}

/// Rates from the lowest to the highest of a curve with so many points.
pub fn steps(highest: f64, points: u32) -> Vec<f64> {
    (1..=points).map(|point| highest * f64::from(point) / f64::from(points)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { resolution: 0.01, accept_loss: 0.0 };

    /// A switch that forwards `can` frames a second, `overrun` of them when it gets more, behind a generator of `most`.
    fn switch(most: f64, can: f64, overrun: f64) -> impl FnMut(Option<f64>) -> Result<Trial, String> {
        move |asked| {
            let offered = asked.unwrap_or(most).min(most);
            let received = if offered <= can { offered } else { overrun };
            Ok(Trial { asked, offered, sent: offered as u64, received: received as u64, ..Trial::default() })
        }
    }

    fn found(most: f64, can: f64, overrun: f64) -> Found {
        throughput(&LIMITS, switch(most, can, overrun)).unwrap()
    }

    #[test]
    fn finds_the_rate_within_the_resolution() {
        for (can, overrun) in [(1e6, 1e6), (3.3e6, 1e6), (9.99e6, 0.0), (2e4, 2e4), (5e6, 4.99e6)] {
            let found = found(10e6, can, overrun);
            // Trials count whole frames.
            assert!(found.rate <= can + 1.0 && found.rate >= can * 0.985, "{can}: {}", found.rate);
            assert!(!found.generator_limits);
            assert!(found.trials.len() < 24, "{can}: {} trials", found.trials.len());
        }
    }

    #[test]
    fn says_when_the_generator_is_the_limit() {
        let found = found(1e6, 2e6, 2e6);
        assert_eq!((found.rate, found.generator_limits, found.trials.len()), (1e6, true, 1));
    }

    #[test]
    fn gives_up_where_nothing_gets_through() {
        let nothing = found(1e6, -1.0, 0.0);
        assert_eq!((nothing.rate, nothing.generator_limits), (0.0, false));
        assert!(nothing.trials.len() < 20, "{}", nothing.trials.len());
        let lossy = throughput(&LIMITS, |asked| {
            let offered = asked.unwrap_or(1e6);
            Ok::<_, String>(Trial { asked, offered, sent: 1000, received: 999, ..Trial::default() })
        });
        assert_eq!(lossy.unwrap().rate, 0.0);
    }

    #[test]
    fn a_loss_that_is_accepted_passes() {
        let limits = Limits { accept_loss: 0.2, ..LIMITS };
        let found = throughput(&limits, switch(10e6, 1e6, 1e6)).unwrap();
        assert!((found.rate / 1.25e6 - 1.0).abs() < 0.02, "{}", found.rate);
    }

    #[test]
    fn what_is_sent_and_not_what_is_asked_for_counts() {
        // A generator whose pauses are whole microseconds.
        let mut switch = switch(1e6, 3e5, 3e5);
        let mut coarse = |asked: Option<f64>| switch(asked.map(|rate| 1e6 / (1e6 / rate).floor()));
        let found = throughput(&LIMITS, &mut coarse).unwrap();
        assert_eq!(found.rate, 1e6 / 4.0);
    }

    #[test]
    fn an_error_ends_it() {
        let mut trials = 0;
        let ended = throughput(&LIMITS, |asked| {
            trials += 1;
            if trials == 3 {
                Err("interrupted")
            } else {
                Ok(Trial { asked, offered: 1e6, sent: 10, ..Trial::default() })
            }
        });
        assert_eq!((ended.unwrap_err(), trials), ("interrupted", 3));
    }

    #[test]
    fn strangers_frames_are_no_gain() {
        let trial = Trial { sent: 100, received: 103, offered: 50.0, ..Trial::default() };
        assert_eq!((trial.loss(), trial.forwarded()), (0.0, 50.0));
        assert_eq!(Trial::default().loss(), 1.0);
        assert_eq!(steps(100.0, 4), [25.0, 50.0, 75.0, 100.0]);
    }
}
