//! What of the table frames are forwarded by, and back.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use bridge_common::{PortId, vlan::PortSet};

use super::{
    groups::{GroupId, Groups, cost},
    member::{Member, Mode},
};

/// The ports of a group, or of one source of it, and those of them that the operator named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// All.
    pub ports: PortSet,
    /// The operator's.
    pub permanent: PortSet,
}

/// What a group's frames are to be forwarded by: for all sources (`None`), and for each that is another case.
pub type Entries = BTreeMap<Option<IpAddr>, Ports>;

impl Groups {
    /// What a group's frames are to be forwarded by; empty for one that nobody is in.
    pub fn entries(&self, id: &GroupId) -> Entries {
        let (nobody, nothing) = (BTreeMap::new(), BTreeSet::new());
        let members = self.members.get(id).unwrap_or(&nobody);
        let permanent = self.permanent.get(id).unwrap_or(&nothing);
        if members.is_empty() && permanent.is_empty() {
            return Entries::new();
        }
        let listed = members.values().flat_map(|member| member.sources.keys().copied());
        let sources: BTreeSet<_> =
            listed.map(Some).chain(permanent.iter().map(|(_, source)| *source)).collect();
        let of = |source: Option<IpAddr>| {
            let mut of = Ports::default();
            for (port, member) in members {
                let wants = source.map_or(member.mode == Mode::Exclude, |source| member.wants(&source));
                of.ports = of.ports.with(*port, wants || of.ports.has(*port));
            }
            for (port, _) in permanent.iter().filter(|(_, at)| at.is_none() || *at == source) {
                of.ports = of.ports.with(*port, true);
                of.permanent = of.permanent.with(*port, true);
            }
            of
        };
        sources.into_iter().chain([None]).map(|source| (source, of(source))).collect()
    }

    /// Takes entries in that a former controller wrote, as if hosts had just said so: what is still wanted is said again.
    pub fn restore(&mut self, id: GroupId, entries: &Entries, until: u64) {
        let all = entries.get(&None).copied().unwrap_or_default();
        let ports = entries.values().flat_map(|of| each(of.ports));
        for port in ports.collect::<BTreeSet<_>>() {
            let mut member = Member::new();
            let others = all.ports.has(port) && !all.permanent.has(port);
            if others {
                (member.mode, member.until) = (Mode::Exclude, until);
            }
            for (source, of) in entries.iter().filter_map(|(source, of)| Some(((*source)?, of))) {
                let wanted = of.ports.has(port) && !of.permanent.has(port);
                match (others, wanted) {
                    (false, true) => drop(member.sources.insert(source, Some(until))),
                    (true, false) if !of.ports.has(port) => drop(member.sources.insert(source, None)),
                    _ => {}
                }
            }
            let known = self.member(&id, port).map_or(0, |member| cost(member, true));
            self.put(id, port, member, known);
            if all.permanent.has(port) {
                let _ = self.add(id, port, None, usize::MAX);
            } else {
                let named = entries.iter().filter(|(source, of)| source.is_some() && of.permanent.has(port));
                for source in named.map(|(source, _)| *source).collect::<Vec<_>>() {
                    let _ = self.add(id, port, source, usize::MAX);
                }
            }
        }
        // It is written already.
        self.changed.remove(&id);
    }
}

/// The ports of a set, in order.
pub fn each(set: PortSet) -> impl Iterator<Item = PortId> {
    (0..256).map(PortId).filter(move |port| set.has(*port))
}
