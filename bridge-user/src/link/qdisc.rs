//! Queueing disciplines.

use serde::{Deserialize, Serialize};

use super::channel::{Message, Request, attributes, text, u32_at};
use super::{Error, Links, Result};

/// `struct tcmsg`: family, padding, index, handle, parent, info.
const TCMSG: usize = 20;

/// A queueing discipline of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qdisc {
    /// Such as `fq_codel`, `ingress` or `clsact`.
    pub kind: String,
    /// The number by which `tc` knows it, of which it shows the upper half; 0 for one that nobody asked for.
    pub handle: u32,
}

impl Qdisc {
    /// Whether it is there for the filters on it, and queues nothing.
    pub fn is_for_filters(&self) -> bool {
        matches!(self.kind.as_str(), "clsact" | "ingress")
    }
}

impl Links {
    /// The queueing disciplines of an interface, the root's first.
    pub fn qdiscs(&self, index: u32) -> Result<Vec<Qdisc>> {
        let request = Request::new(libc::RTM_GETQDISC, &[0; TCMSG]).dump();
        let qdiscs = self.channel.list(&request, |message| qdisc(message, index));
        qdiscs.map_err(|reason| Error::Qdiscs { interface: self.label(index), reason })
    }
}

/// The kind that the kernel gives to devices when nobody says another (`net.core.default_qdisc`), if this
/// network namespace may see it: only the machine's first one does.
pub fn default_qdisc() -> Option<String> {
    let kind = std::fs::read_to_string("/proc/sys/net/core/default_qdisc").ok()?;
    Some(kind.trim().to_string())
}

/// The queueing discipline in an `RTM_NEWQDISC`, if it is on the interface of this index.
fn qdisc(message: Message<'_>, index: u32) -> Option<Qdisc> {
    if u32_at(message.body, 4)? != index {
        return None;
    }
    let attributes = attributes(message.body.get(TCMSG..)?);
    let kind = attributes.into_iter().find(|(kind, _)| *kind == libc::TCA_KIND);
    Some(Qdisc { kind: kind.and_then(|(_, value)| text(value))?, handle: u32_at(message.body, 8)? })
}
