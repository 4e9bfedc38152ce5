//! Multicast snooping, with the kernel's own clients: who hears a group, who is where in `xbr mdb show`, and who asks.

#[path = "snooping/guests.rs"]
mod guests;
#[path = "snooping/lab.rs"]
mod lab;
#[path = "snooping/life.rs"]
mod life;
#[path = "snooping/members.rs"]
mod members;
#[path = "snooping/queriers.rs"]
mod queriers;
#[path = "snooping/said.rs"]
mod said;
#[path = "snooping/sources.rs"]
mod sources;
#[path = "snooping/storm.rs"]
mod storm;
#[path = "snooping/vlans.rs"]
mod vlans;
