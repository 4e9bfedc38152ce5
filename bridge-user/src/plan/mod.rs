//! What is to be done, decided before anything is done: pure functions over recorded facts.
//!
//! Invariant: nothing here asks the kernel or changes anything.

pub mod act;
pub mod bypass;
pub mod drivers;
pub mod hook;
pub mod steps;
pub mod validate;

pub use hook::Chosen;
pub use validate::{Probe, Warning};
