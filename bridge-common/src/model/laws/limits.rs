//! Storm control and rates over a whole sequence: of no stretch of time did more pass than burst and rate allow, and
//! nothing was held up that they allow.

use std::{collections::BTreeMap, vec::Vec};

use super::case::{Aim, Case};
use crate::{
    DropReason, PortId,
    model::{Arrival, Done, Model},
    policy::Rate,
};

const REASONS: [DropReason; 5] = [
    DropReason::StormBroadcast,
    DropReason::StormMulticast,
    DropReason::StormUnknown,
    DropReason::RateIn,
    DropReason::RateOut,
];
const IN: usize = 3;
const OUT: usize = 4;

/// What has passed each limit, and when.
#[derive(Default)]
pub struct Limits {
    passed: BTreeMap<(PortId, usize), Vec<(u64, u64)>>,
}

impl Limits {
    /// A limit that was changed counts anew.
    pub fn forget(&mut self, before: &Model, after: &Model) {
        let rate = |model: &Model, (id, meter): &(PortId, usize)| {
            model.policies.get(id).map(|policy| policy.rates[*meter])
        };
        self.passed.retain(|limit, _| rate(before, limit) == rate(after, limit));
    }

    /// Judges one frame, and remembers it.
    pub fn judge(&mut self, before: &Model, arrival: &Arrival, done: &Done, after: &Model) {
        let Some(ingress) = before.ingress(arrival) else { return };
        let case = Case { before, arrival, done, after, ingress };
        if done.action == crate::model::Action::Pass {
            return;
        }
        let frames = case.frames();
        let storm = match case.aim() {
            Aim::Broadcast => Some(0),
            Aim::Multicast => Some(1),
            Aim::Unknown => Some(2),
            _ => None,
        };
        // What came no further than its own port costs nothing. What is spoken on one link costs, and is not held up.
        let aim = case.aim();
        let came_in = !case.is_dropped_in() && (aim.is_flood() || case.dropped(ingress) == 0);
        let storm = storm.map(|meter| (ingress, meter, frames.packets, came_in));
        let rate = Some((ingress, IN, frames.bytes, came_in));
        let out = case.ports().map(|id| (id, OUT, frames.bytes, done.reached(id)));
        for (id, meter, units, passes) in storm.into_iter().chain(rate).chain(out) {
            let rate = case.policy(id).rates[meter];
            let dropped = case.counted(id, |c| c.drops[REASONS[meter] as usize]) > 0;
            if rate.increment == 0 {
                assert!(!dropped, "a limit that there is not");
                continue;
            }
            let passed = self.passed.entry((id, meter)).or_default();
            if passes {
                passed.push((before.now, units));
                let over = worst(passed, &rate, meter);
                assert!(over <= 0.0 || aim == Aim::LinkLocal, "{id:?} exceeds {rate:?} in {passed:?}");
            } else if dropped {
                passed.push((before.now, units));
                assert!(worst(passed, &rate, meter) > 0.0, "{id:?} held up within {rate:?}: {passed:?}");
                passed.pop();
            }
        }
    }
}

/// By how much the worst stretch of time that ends now is over what it may have had.
fn worst(passed: &[(u64, u64)], rate: &Rate, meter: usize) -> f64 {
    let Some((now, _)) = passed.last() else { return f64::MIN };
    let per_second = rate.per_second as f64 / if meter < IN { 1.0 } else { 8.0 };
    let (mut sum, mut worst) = (0.0, f64::MIN);
    for (time, units) in passed.iter().rev() {
        sum += *units as f64;
        let allowed = rate.burst as f64 + per_second * (now - time) as f64 / 1e9;
        worst = worst.max(sum - allowed);
    }
    // A bucket counts whole nanoseconds.
    if worst.abs() < 0.01 { 0.0 } else { worst }
}
