//! Tests of the whole decision.

mod bridge;
mod corpus;
mod decision;
mod inspect;
mod policies;
mod properties;
mod vlans;
