//! The elements of nftables' sets.

use super::{Interface, registers};
use crate::link::channel::{attributes, u32_at};

// <linux/netfilter/nf_tables.h>.
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
const NFTA_DATA_VALUE: u16 = 1;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;

/// An element: a key, or the end of the interval that the greatest smaller key begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    key: Vec<u8>,
    /// The last key, where parts of the key are ranges.
    through: Option<Vec<u8>>,
    ends_interval: bool,
}

/// The elements in one message.
pub fn elements(body: &[u8]) -> Vec<Element> {
    let list = attributes(body).find(|(kind, _)| *kind == NFTA_SET_ELEM_LIST_ELEMENTS);
    attributes(list.map_or(&[][..], |(_, list)| list)).filter_map(|(_, value)| element(value)).collect()
}

fn element(body: &[u8]) -> Option<Element> {
    let find = |wanted: u16| attributes(body).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let data = |wanted: u16| {
        let nested = find(wanted)?;
        attributes(nested).find(|(kind, _)| *kind == NFTA_DATA_VALUE).map(|(_, value)| value.to_vec())
    };
    let flags = find(NFTA_SET_ELEM_FLAGS).and_then(|value| u32_at(value, 0)).map_or(0, u32::from_be);
    Some(Element {
        // What catches all that is in no other element has no key.
        key: data(NFTA_SET_ELEM_KEY)?,
        through: data(NFTA_SET_ELEM_KEY_END),
        ends_interval: flags & NFT_SET_ELEM_INTERVAL_END != 0,
    })
}

/// The interfaces at this offset of the elements' keys.
pub fn interfaces(elements: &[Element], offset: usize, key: &str) -> Vec<Interface> {
    if elements.iter().any(|element| element.ends_interval) && key.ends_with("name") {
        return intervals(elements, offset);
    }
    let interface = |element: &Element| match &element.through {
        Some(through) if key.ends_with("name") => {
            Some(Interface::Through(name(&element.key, offset)?, name(through, offset)?))
        }
        _ => registers::interface(key, element.key.get(offset..)?.get(..size(key))?),
    };
    elements.iter().filter_map(interface).collect()
}

fn size(key: &str) -> usize {
    if key.ends_with("name") { 16 } else { 4 }
}

fn name(key: &[u8], offset: usize) -> Option<[u8; 16]> {
    key.get(offset..)?.first_chunk().copied()
}

/// Intervals come in any order, each as its first key and as the first key that is not in it any more.
fn intervals(elements: &[Element], offset: usize) -> Vec<Interface> {
    let edge = |element: &Element| Some((name(&element.key, offset)?, !element.ends_interval));
    let mut edges: Vec<_> = elements.iter().filter_map(edge).collect();
    // Where one ends and another begins, the end first.
    edges.sort_unstable();
    let ends = edges.iter().skip(1).map(|(key, _)| Some(*key)).chain([None]);
    let interval = |((from, begins), to): (&([u8; 16], bool), Option<[u8; 16]>)| {
        begins.then_some(Interface::Before(*from, to))
    };
    edges.iter().zip(ends).filter_map(interval).collect()
}
