//! What one port wants of one group: the router's side of RFC 3376, section 6 (and RFC 3810, section 7), which are alike.

use std::{collections::BTreeMap, net::IpAddr};

use super::parse::{Record, RecordKind};

/// Whether sources are wanted or unwanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those that are listed.
    Include,
    /// All but those that are listed without a time.
    Exclude,
}

/// A port's membership. Times are in nanoseconds, and when they have come, something ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What its sources mean.
    pub mode: Mode,
    /// When nobody excludes anything any more, in [`Mode::Exclude`].
    pub until: u64,
    /// Sources, each with the time until which it is wanted. `None`, in [`Mode::Exclude`] only: it is unwanted.
    pub sources: BTreeMap<IpAddr, Option<u64>>,
    /// Until when somebody is believed to speak IGMPv1, and IGMPv2 or MLDv1, by [`Old`](super::parse::Old): what such a host wants cannot be told by
    /// sources. Two times, since a host of the one kind does not keep one of the other alive.
    pub old: [u64; 2],
}

/// What a record asks to have asked: whether anybody else still wants this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// The whole group.
    pub group: bool,
    /// These sources of it.
    pub sources: Vec<IpAddr>,
}

impl Member {
    /// One that wants nothing: a new one, before its first record.
    pub fn new() -> Self {
        Self { mode: Mode::Include, until: 0, sources: BTreeMap::new(), old: [0; 2] }
    }

    /// Whether there is anything that it wants.
    pub fn is_nothing(&self) -> bool {
        self.mode == Mode::Include && self.sources.is_empty()
    }

    /// Whether a source's frames are wanted.
    pub fn wants(&self, source: &IpAddr) -> bool {
        match (self.mode, self.sources.get(source)) {
            (Mode::Include, listed) => listed.is_some(),
            (Mode::Exclude, listed) => listed.is_none_or(Option::is_some),
        }
    }

    /// Takes a record of a report in. `until`: when what it says ends unless it is said again. `room`: how many sources may be
    /// added. Gives what is to be asked, and how many sources there was no room for.
    pub fn hear(&mut self, record: &Record, now: u64, until: u64, mut room: usize) -> (Asks, u64) {
        if let (Some(old), RecordKind::IsEx) = (record.old, record.kind) {
            self.old[old as usize] = until;
        }
        let [first, second] = self.old.map(|until| until > now);
        let (kind, mut sources) = (record.kind, record.sources.as_slice());
        match kind {
            // Of one who may want them all (RFC 3376, section 7.3.2).
            RecordKind::Block if first || second => return (Asks::default(), 0),
            RecordKind::ToIn if first => return (Asks::default(), 0),
            RecordKind::ToEx if first || second => sources = &[],
            _ => {}
        }
        let mut refused = 0;
        let mut list = |at: &mut BTreeMap<IpAddr, Option<u64>>, source: &IpAddr, value| {
            if at.contains_key(source) || room > 0 {
                room -= usize::from(at.insert(*source, value).is_none());
            } else {
                refused += 1;
            }
        };
        let mut asks = Asks::default();
        match (self.mode, kind) {
            (_, RecordKind::IsIn | RecordKind::Allow | RecordKind::ToIn) => {
                if kind == RecordKind::ToIn {
                    let wanted = self.sources.iter().filter(|(_, until)| until.is_some());
                    asks.sources = wanted.map(|(at, _)| *at).filter(|at| !sources.contains(at)).collect();
                    asks.group = self.mode == Mode::Exclude;
                }
                sources.iter().for_each(|source| list(&mut self.sources, source, Some(until)));
            }
            (Mode::Include, RecordKind::IsEx | RecordKind::ToEx) => {
                self.sources.retain(|source, _| sources.contains(source));
                if kind == RecordKind::ToEx {
                    asks.sources = self.sources.keys().copied().collect();
                }
                for source in
                    sources.iter().filter(|source| !self.sources.contains_key(source)).collect::<Vec<_>>()
                {
                    list(&mut self.sources, source, None);
                }
                (self.mode, self.until) = (Mode::Exclude, until);
            }
            (Mode::Exclude, RecordKind::IsEx | RecordKind::ToEx) => {
                self.sources.retain(|source, _| sources.contains(source));
                let end = if kind == RecordKind::ToEx { self.until } else { until };
                for source in sources {
                    if !self.sources.contains_key(source) {
                        list(&mut self.sources, source, Some(end));
                    }
                }
                if kind == RecordKind::ToEx {
                    asks.sources = self.wanted(sources);
                }
                self.until = until;
            }
            (Mode::Include, RecordKind::Block) => asks.sources = self.wanted(sources),
            (Mode::Exclude, RecordKind::Block) => {
                for source in sources {
                    if !self.sources.contains_key(source) {
                        list(&mut self.sources, source, Some(self.until));
                    }
                }
                asks.sources = self.wanted(sources);
            }
        }
        (asks, refused)
    }

    /// Those of these sources that are listed as wanted.
    fn wanted(&self, sources: &[IpAddr]) -> Vec<IpAddr> {
        sources.iter().filter(|source| matches!(self.sources.get(source), Some(Some(_)))).copied().collect()
    }

    /// Somebody asks about the group, or about sources of it: what nobody answers for ends at `until`.
    pub fn asked(&mut self, sources: &[IpAddr], until: u64) {
        if sources.is_empty() {
            self.until = self.until.min(until);
            // In Include mode a host that wants sources answers a query about the group as well, with all of them.
            if self.mode == Mode::Include {
                self.sources.values_mut().flatten().for_each(|end| *end = (*end).min(until));
            }
        }
        for source in sources {
            if let Some(Some(end)) = self.sources.get_mut(source) {
                *end = (*end).min(until);
            }
        }
    }

    /// Ends what has come to its end. True if anything did.
    pub fn expire(&mut self, now: u64) -> bool {
        let before = (self.mode, self.sources.len(), self.sources.values().flatten().count());
        if self.mode == Mode::Exclude && self.until <= now {
            // Nobody excludes anything any more: what was wanted beside it is what is left.
            self.mode = Mode::Include;
            self.sources.retain(|_, until| until.is_some());
        }
        match self.mode {
            Mode::Include => self.sources.retain(|_, until| until.is_some_and(|until| until > now)),
            Mode::Exclude => {
                self.sources
                    .values_mut()
                    .filter(|until| until.is_some_and(|until| until <= now))
                    .for_each(|until| *until = None);
            }
        }
        before != (self.mode, self.sources.len(), self.sources.values().flatten().count())
    }

    /// When something ends next.
    pub fn next(&self) -> u64 {
        let group = if self.mode == Mode::Exclude { self.until } else { u64::MAX };
        self.sources.values().flatten().copied().fold(group, u64::min)
    }
}
