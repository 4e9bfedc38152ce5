//! What an nftables rule does with its registers, as far as interfaces are loaded and compared.

use std::collections::BTreeMap;

use super::{Interface, Test};
use crate::link::channel::{attributes, text, u32_at};

// <linux/netfilter/nf_tables.h>.
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_META_DREG: u16 = 1;
const NFTA_META_KEY: u16 = 2;
const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_DATA: u16 = 3;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SREG: u16 = 2;

/// Of `enum nft_meta_keys`. A bridge's name (`ibrname`) is no port's.
const KEYS: [(u32, &str); 4] = [(4, "iif"), (5, "oif"), (6, "iifname"), (7, "oifname")];

/// A set that is looked up with an interface at this offset of its key, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Lookup {
    pub key: &'static str,
    pub set: String,
    pub offset: usize,
}

/// What a rule compares.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub tests: Vec<Test>,
    pub lookups: Vec<Lookup>,
}

impl Seen {
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty() && self.lookups.is_empty()
    }
}

/// Goes through a rule's expressions, in their order.
pub fn run(expressions: &[u8]) -> Seen {
    let mut loaded = BTreeMap::new();
    let mut seen = Seen::default();
    for (_, expression) in attributes(expressions) {
        let find = |wanted: u16| attributes(expression).find(|(kind, _)| *kind == wanted).map(|(_, v)| v);
        let Some(name) = find(NFTA_EXPR_NAME).and_then(text) else { continue };
        step(&name, find(NFTA_EXPR_DATA).unwrap_or_default(), &mut loaded, &mut seen);
    }
    seen
}

/// `loaded` says which words of the registers begin an interface.
fn step(name: &str, data: &[u8], loaded: &mut BTreeMap<u32, &'static str>, seen: &mut Seen) {
    let find = |wanted: u16| attributes(data).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let number = |wanted: u16| find(wanted).and_then(|value| u32_at(value, 0)).map(u32::from_be);
    match name {
        "meta" => {
            let Some(word) = number(NFTA_META_DREG).and_then(word) else { return };
            loaded.remove(&word);
            let key = number(NFTA_META_KEY);
            loaded.extend(KEYS.iter().find(|(n, _)| Some(*n) == key).map(|(_, key)| (word, *key)));
        }
        "cmp" => {
            let Some(key) = number(NFTA_CMP_SREG).and_then(word).and_then(|word| loaded.get(&word)) else {
                return;
            };
            let value = attributes(find(NFTA_CMP_DATA).unwrap_or_default());
            let value = value.into_iter().find(|(kind, _)| *kind == NFTA_DATA_VALUE).map(|(_, value)| value);
            let with = value.and_then(|value| interface(key, value));
            seen.tests.extend(with.map(|with| Test { key, with }));
        }
        "lookup" => {
            let (Some(first), Some(set)) =
                (number(NFTA_LOOKUP_SREG).and_then(word), find(NFTA_LOOKUP_SET).and_then(text))
            else {
                return;
            };
            // A key of several parts lies in consecutive registers.
            let part = |(at, key): (&u32, &&'static str)| {
                let offset = at.checked_sub(first)? as usize * 4;
                Some(Lookup { key, set: set.clone(), offset })
            };
            seen.lookups.extend(loaded.iter().filter_map(part));
        }
        // These have their source first, and change it in place at most; of all others the first attribute is
        // the register that they write.
        "bitwise" | "byteorder" => drop(number(2).and_then(word).map(|word| loaded.remove(&word))),
        _ => drop(number(1).and_then(word).map(|word| loaded.remove(&word))),
    }
}

/// What an interface is compared with.
pub fn interface(key: &str, value: &[u8]) -> Option<Interface> {
    match key {
        "iif" | "oif" => Some(Interface::Index(u32_at(value, 0)?)),
        _ => Some(Interface::compared(value)),
    }
}

/// The word of 4 bytes where a register begins (`nft_parse_register`): 1 to 4 have 16 bytes each, and 8 to 23
/// are their words.
fn word(register: u32) -> Option<u32> {
    match register {
        1..=4 => Some((register - 1) * 4),
        8..=23 => Some(register - 8),
        _ => None,
    }
}
