//! The controller: one task that owns a bridge.
//!
//! The kernel forwards, learns and forgets without it. The controller takes ports in and lets them go, follows
//! what happens to their devices, frees the memory of expired stations, and answers questions.

mod adopt;
mod attach;
mod bridge;
mod bypass;
mod capture;
mod checks;
mod clear;
mod fdb;
mod filters;
mod floods;
mod follow;
mod hands;
mod hooks;
mod lend;
mod load;
mod lock;
mod loops;
mod mdb;
mod multicast;
mod neighbours;
mod networks;
mod policy;
mod ports;
mod queries;
mod requests;
mod run;
mod server;
mod static_stations;
mod sweep;
mod transient;
mod vlans;

pub use bridge::Bridge;
pub use bypass::found;
pub use checks::probe;
pub use clear::clear;
pub use run::run;
