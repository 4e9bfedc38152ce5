//! What `xbr capture` makes of the records of the programs: in the order of time, as pcapng, as lines, as JSON.

mod order;
mod packet;
mod pcapng;
mod text;

pub use order::Order;
pub use packet::{Interfaces, Packet};
pub use pcapng::PcapNg;
pub use text::{json, line};
