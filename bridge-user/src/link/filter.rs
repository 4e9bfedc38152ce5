//! TC filters that run a program, and the clsact qdisc that they sit on.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::channel::{Message, Request, attributes, text, u32_at};
use super::{Error, Links, Result};

// <linux/pkt_sched.h>: the handle of an ingress or clsact qdisc, of which a device has at most one.
const TC_H_CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;

// <linux/rtnetlink.h> and <linux/pkt_cls.h>.
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;

/// `struct tcmsg`: family, padding, index, handle, parent, info.
const TCMSG: usize = 20;

/// Which frames of a device a filter sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that come in.
    Ingress,
    /// Those that leave.
    Egress,
}

impl Direction {
    /// The word that `tc filter` has for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }
}

/// A place for a filter, which is known by its priority and handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The interface.
    pub index: u32,
    /// Which of its frames.
    pub direction: Direction,
    /// The lowest goes first.
    pub priority: u16,
    /// Which of the filters of this priority.
    pub handle: u32,
}

/// A filter that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The lowest goes first. Filters of one priority are of one kind and protocol (`tcf_chain_tp_find`).
    pub priority: u16,
    /// 0 where the entry only says that there is such a priority.
    pub handle: u32,
    /// Filters of other chains than 0 run only when one sends a frame there.
    pub chain: u32,
    /// Such as `bpf` or `u32`.
    pub kind: String,
    /// It sees frames of all protocols.
    pub all_protocols: bool,
    /// What its maker called it.
    pub name: Option<String>,
}

impl Links {
    /// Gives the interface a clsact qdisc. Fails with EEXIST where it has one, or an ingress qdisc.
    pub fn add_clsact(&self, index: u32) -> Result<()> {
        let request = Request::new(libc::RTM_NEWQDISC, &clsact(index)).create();
        let done = self.act(&request.text(libc::TCA_KIND, "clsact"));
        done.map_err(|reason| Error::AddClsact { interface: self.label(index), reason })
    }

    /// Takes the clsact qdisc away, and all filters on it.
    pub fn delete_clsact(&self, index: u32) -> Result<()> {
        let done = self.act(&Request::new(libc::RTM_DELQDISC, &clsact(index)));
        done.map_err(|reason| Error::DeleteClsact { interface: self.label(index), reason })
    }

    /// The filters of an interface in one direction; none where there is no interface or no such qdisc.
    pub fn filters(&self, index: u32, direction: Direction) -> Result<Vec<Filter>> {
        let request = Request::new(libc::RTM_GETTFILTER, &tcmsg(index, 0, direction.parent(), 0)).dump();
        let filters = self.channel.list(&request, filter);
        filters.map_err(|reason| Error::Filters { interface: self.label(index), reason })
    }

    /// Makes a filter that runs a program on every frame and does what it returns. Fails with EEXIST where one is.
    pub fn add_filter(&self, place: Place, program: BorrowedFd<'_>, name: &str) -> Result<()> {
        let done = self.act(&program_request(place, program, name).create());
        done.map_err(|reason| Error::AddFilter { interface: self.label(place.index), reason })
    }

    /// Gives a filter another program. A frame meets the one or the other (`list_replace_rcu` in
    /// `cls_bpf_change`). Fails with ENOENT where no filter is: without NLM_F_CREATE none is made.
    pub fn replace_filter(&self, place: Place, program: BorrowedFd<'_>, name: &str) -> Result<()> {
        let done = self.act(&program_request(place, program, name));
        done.map_err(|reason| Error::ReplaceFilter { interface: self.label(place.index), reason })
    }

    /// Deletes a filter.
    pub fn delete_filter(&self, place: Place) -> Result<()> {
        let request = Request::new(libc::RTM_DELTFILTER, &header(place)).text(libc::TCA_KIND, "bpf");
        let done = self.act(&request);
        done.map_err(|reason| Error::DeleteFilter { interface: self.label(place.index), reason })
    }
}

fn tcmsg(index: u32, handle: u32, parent: u32, info: u32) -> [u8; TCMSG] {
    let words = [0, index, handle, parent, info].map(u32::to_ne_bytes);
    std::array::from_fn(|at| words[at / 4][at % 4])
}

fn clsact(index: u32) -> [u8; TCMSG] {
    tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0)
}

/// The protocol in `tcm_info`, in network byte order.
const ALL_PROTOCOLS: u16 = (libc::ETH_P_ALL as u16).to_be();

fn header(place: Place) -> [u8; TCMSG] {
    let info = u32::from(place.priority) << 16 | u32::from(ALL_PROTOCOLS);
    tcmsg(place.index, place.handle, place.direction.parent(), info)
}

fn program_request(place: Place, program: BorrowedFd<'_>, name: &str) -> Request {
    let options = Request::new(0, &[])
        .attribute(TCA_BPF_FD, &program.as_raw_fd().to_ne_bytes())
        .text(TCA_BPF_NAME, name)
        .attribute(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    Request::new(libc::RTM_NEWTFILTER, &header(place))
        .text(libc::TCA_KIND, "bpf")
        .attribute(TCA_OPTIONS, options.body())
}

/// The filter in an `RTM_NEWTFILTER`.
fn filter(message: Message<'_>) -> Option<Filter> {
    let info = u32_at(message.body, 16)?;
    let find = |wanted: u16| {
        attributes(message.body.get(TCMSG..)?).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    let kind = find(libc::TCA_KIND).and_then(text)?;
    let name = find(TCA_OPTIONS).filter(|_| kind == "bpf").and_then(|options| {
        attributes(options).find(|(kind, _)| *kind == TCA_BPF_NAME).and_then(|(_, value)| text(value))
    });
    Some(Filter {
        priority: (info >> 16) as u16,
        handle: u32_at(message.body, 8)?,
        chain: find(TCA_CHAIN).and_then(|value| u32_at(value, 0)).unwrap_or(0),
        kind,
        all_protocols: info as u16 == ALL_PROTOCOLS,
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::testing::{in_new_namespace, index, links_with_veth, run, try_run};
    use nix::errno::Errno;

    fn classic(priority: u16, handle: u32, protocol: &str) {
        let words = format!(
            "tc filter add dev a egress pref {priority} protocol {protocol} handle {handle} bpf \
             bytecode 1,6\\ 0\\ 0\\ 0"
        );
        run(&["sh", "-c", &words]);
    }

    #[test]
    fn filters_read_as_tc_made_them() {
        in_new_namespace(|| {
            let links = links_with_veth();
            let a = index(&links, "a");
            assert_eq!(links.filters(a, Direction::Egress).unwrap(), []);
            links.add_clsact(a).unwrap();
            assert_eq!(links.add_clsact(a).unwrap_err().errno(), Some(Errno::EEXIST));
            assert!(run(&["tc", "qdisc", "show", "dev", "a"]).contains("qdisc clsact ffff:"));
            assert_eq!(links.filters(a, Direction::Egress).unwrap(), []);
            classic(3, 5, "all");
            classic(4, 6, "ip");
            let found = links.filters(a, Direction::Egress).unwrap();
            let found: Vec<_> = found
                .iter()
                .filter(|f| f.handle != 0)
                .map(|f| (f.priority, f.handle, f.all_protocols))
                .collect();
            assert_eq!(found, [(3, 5, true), (4, 6, false)]);
            assert_eq!(links.filters(a, Direction::Ingress).unwrap(), []);
            let place = Place { index: a, direction: Direction::Egress, priority: 3, handle: 5 };
            links.delete_filter(place).unwrap();
            assert_eq!(links.delete_filter(place).unwrap_err().errno(), Some(Errno::ENOENT));
            assert!(!run(&["tc", "filter", "show", "dev", "a", "egress"]).contains("pref 3"));
            links.delete_clsact(a).unwrap();
            assert!(!try_run(&["tc", "qdisc", "del", "dev", "a", "clsact"]));
        });
    }

    #[test]
    fn an_interface_that_is_gone_is_told_as_such() {
        in_new_namespace(|| {
            let links = links_with_veth();
            assert_eq!(links.filters(4711, Direction::Ingress).unwrap(), []);
            let place = Place { index: 4711, direction: Direction::Ingress, priority: 1, handle: 1 };
            assert!(links.delete_filter(place).unwrap_err().is_gone());
            assert!(links.add_clsact(4711).unwrap_err().is_gone());
            assert!(links.delete_clsact(4711).unwrap_err().is_gone());
        });
    }
}
