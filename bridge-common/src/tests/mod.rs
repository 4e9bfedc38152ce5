//! Tests of the whole decision.

mod corpus;
mod decision;
mod properties;
