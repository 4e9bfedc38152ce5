//! Names of interfaces.

#[path = "../../src/link/name.rs"]
mod name;

pub use name::InterfaceName;
