//! xbr
fn main() {}
