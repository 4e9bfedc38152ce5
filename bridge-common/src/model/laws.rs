//! What must hold of every frame, whatever came before it. Each law is stated anew, from the frame's bytes and
//! the bridge before and after; none of them asks the code that it judges.
//!
//! The property tests, the corpus, the fuzz targets and the differential test all end here.

mod accounts;
mod case;
mod learning;
mod limits;
mod passing;
mod policies;
mod reading;
mod vlans;

pub use reading::reading;
pub use vlans::changed;

use super::{
    Action, Arrival, Done, Model,
    script::{Devices, Script, Step},
};
use case::Case;
use limits::Limits;

/// Runs a script on the model, judging every frame. The body of the fuzz target `sequence`.
pub fn sequence(bytes: &[u8]) -> Model {
    let Script { mut model, steps } = Script::decode(bytes, &Devices::default());
    let mut limits = Limits::default();
    for step in &steps {
        let before = model.clone();
        match step {
            Step::Frame(arrival) => {
                let done = model.run(arrival);
                check(&before, arrival, &done, &model);
                limits.judge(&before, arrival, &done, &model);
            }
            other => {
                other.operate(&mut model);
                limits.forget(&before, &model);
            }
        }
        learning::the_count_is_what_the_table_holds(&model);
    }
    model
}

/// Judges one frame.
///
/// # Panics
///
/// When a law is broken.
pub fn check(before: &Model, arrival: &Arrival, done: &Done, after: &Model) {
    let Some(ingress) = before.ingress(arrival) else {
        assert!(done.sent.is_empty(), "a device that is no port gets nothing through");
        assert_eq!(before.stations, after.stations);
        return;
    };
    let case = Case { before, arrival, done, after, ingress };
    if done.action == Action::Pass {
        case.a_frame_left_to_tc_has_left_no_trace();
        return;
    }
    case.passing();
    case.vlans();
    case.policies();
    case.learning();
    case.accounts();
}
