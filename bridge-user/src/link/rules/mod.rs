//! Rules of others that name an interface: nftables' bridge and netdev families, and ebtables.
//!
//! `ebtables` is two things: today's writes nftables rules into tables of the bridge family, and the older one
//! speaks to a module of its own (`ebtables`).

mod ebtables;
mod nftables;
mod registers;
mod sets;
#[cfg(test)]
mod tests;

use super::Result;
use super::channel::Message;

/// A rule or chain that compares with an interface, or hangs on one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What and where it is, in words: `rule 7 of nftables chain bridge filter FORWARD`.
    pub place: String,
    /// A command that shows it.
    pub see: String,
    /// What it compares.
    pub tests: Vec<Test>,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// What is compared, in nft's word: `iifname`, `oif`, …
    pub key: &'static str,
    /// With what. That it must differ names it just as well.
    pub with: Interface,
}

/// An interface, or some of them, as rules write them. Names are padded with zeroes where they have 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// The one of this name.
    Name(Vec<u8>),
    /// All whose names begin so.
    Prefix(Vec<u8>),
    /// All names from the first up to, and without, the second.
    Before([u8; 16], Option<[u8; 16]>),
    /// All names from the first up to, and with, the second.
    Through([u8; 16], [u8; 16]),
    /// The one of this index.
    Index(u32),
}

impl Interface {
    /// A name as the kernel compares it: to its end if it has one in here, else as a beginning.
    fn compared(bytes: &[u8]) -> Self {
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => Self::Name(bytes.get(..end).unwrap_or_default().to_vec()),
            None if bytes.len() >= 16 => Self::Name(bytes.to_vec()),
            None => Self::Prefix(bytes.to_vec()),
        }
    }

    /// Whether it is, or can be, the interface of this name and index; a name alone is of one that is yet to be made.
    pub fn is(&self, name: &str, index: Option<u32>) -> bool {
        let padded = || {
            let mut padded = [0; 16];
            padded.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
            padded
        };
        match self {
            Self::Name(own) => own == name.as_bytes(),
            Self::Prefix(own) => name.as_bytes().starts_with(own),
            Self::Before(from, to) => *from <= padded() && to.is_none_or(|to| padded() < to),
            Self::Through(from, to) => (*from..=*to).contains(&padded()),
            Self::Index(own) => Some(*own) == index,
        }
    }
}

impl Rule {
    /// The first test that names this interface, in nft's word for what it compares.
    pub fn names(&self, name: &str, index: Option<u32>) -> Option<&'static str> {
        self.tests.iter().find(|test| test.with.is(name, index)).map(|test| test.key)
    }
}

/// All rules and chains of others that name an interface and that come after XDP and TC ingress. A kernel
/// without nf_tables and ebtables has none.
pub fn list() -> Result<Vec<Rule>> {
    let mut rules = nftables::rules()?;
    rules.extend(nftables::ingress_chains()?);
    rules.extend(ebtables::rules()?);
    Ok(rules)
}

/// Whether a message of nftables' news is of a family whose rules [`list`] reads.
pub(super) fn concerns_interfaces(message: Message<'_>) -> bool {
    message.body.first().is_some_and(|family| nftables::FAMILIES.contains(family))
}
