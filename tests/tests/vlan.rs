//! VLANs: who hears whom, and with which tag.

#[path = "vlan/change.rs"]
mod change;
#[path = "vlan/dhcp.rs"]
mod dhcp;
#[path = "vlan/lab.rs"]
mod lab;
#[path = "vlan/reach.rs"]
mod reach;
#[path = "vlan/segments.rs"]
mod segments;
#[path = "vlan/static_stations.rs"]
mod static_stations;
#[path = "vlan/words.rs"]
mod words;
