//! What a frame says of groups: IGMP v1 to v3 (RFC 1112, 2236, 3376) and MLD v1 and v2 (RFC 2710, 3810), told alike.
//!
//! Pure and total: every frame is a [`Message`] or a reason why it is none. What cannot be right is refused, as hosts do.

use std::net::IpAddr;

use super::bytes::{add, array, from, sum, two, up_to, v4, v6};

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A host is in groups, or is not any more.
    Report(Vec<Record>),
    /// Somebody asks who is in groups.
    Query(Query),
    /// A multicast router says that it is there (PIM, RFC 7761).
    Hello,
}

/// What a report says of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What of it.
    pub kind: RecordKind,
    /// Said in the words of IGMPv1, IGMPv2 or MLDv1, which know no sources.
    pub old: Option<Old>,
    /// The group.
    pub group: IpAddr,
    /// Sources that it is about.
    pub sources: Vec<IpAddr>,
}

/// Which old words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Old {
    /// IGMPv1, in which nobody leaves.
    First,
    /// IGMPv2 or MLDv1.
    Second,
}

/// The kinds of records (RFC 3376, section 4.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Wants these sources only.
    IsIn,
    /// Wants all but these.
    IsEx,
    /// Wants these only, from now on.
    ToIn,
    /// Wants all but these, from now on.
    ToEx,
    /// Wants these too.
    Allow,
    /// Does not want these any more.
    Block,
}

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Who asks; the unspecified address for a switch that is no router.
    pub from: IpAddr,
    /// About this group only.
    pub group: Option<IpAddr>,
    /// About these sources of it only.
    pub sources: Vec<IpAddr>,
    /// Hosts answer within so many milliseconds.
    pub response: u32,
    /// Who hears it is not to expect that what nobody answers for has ended (the S flag).
    pub suppressed: bool,
}

/// Why a frame says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends too early, or not all of it was kept.
    #[error("the frame ends in the middle of a header")]
    Short,
    /// A header contradicts itself.
    #[error("a header cannot be right")]
    Header,
    /// A sum is wrong.
    #[error("a checksum is wrong")]
    Checksum,
    /// A fragment.
    #[error("the packet is in fragments")]
    Fragment,
    /// The sender, or the hop limit, cannot be those of a neighbour.
    #[error("the packet does not come from this link")]
    Sender,
    /// A group that is none.
    #[error("the group is no group's address")]
    Group,
    /// Something else.
    #[error("the packet is about something else")]
    Other,
}

pub(super) type Result<T> = std::result::Result<T, Malformed>;

const IGMP: u8 = 2;
const ICMPV6: u8 = 58;
const PIM: u8 = 103;

/// Reads a frame, from its destination address on, with at most two tags.
pub fn parse(frame: &[u8]) -> Result<Message> {
    let mut at = 12;
    for _ in 0..3 {
        match two(frame, at)? {
            0x8100 | 0x88a8 => at += 4,
            0x0800 => return ipv4(from(frame, at + 2)?),
            0x86dd => return ipv6(from(frame, at + 2)?),
            _ => return Err(Malformed::Other),
        }
    }
    Err(Malformed::Other)
}

fn ipv4(packet: &[u8]) -> Result<Message> {
    let [first, ..] = array::<20>(packet, 0)?;
    let (header, total) = (usize::from(first & 0x0f) * 4, usize::from(two(packet, 2)?));
    if first >> 4 != 4 || header < 20 || total < header {
        return Err(Malformed::Header);
    }
    let packet = up_to(packet, total)?;
    if sum(up_to(packet, header)?) != 0xffff {
        return Err(Malformed::Checksum);
    }
    if two(packet, 6)? & 0x3fff != 0 {
        return Err(Malformed::Fragment);
    }
    let [protocol] = array(packet, 9)?;
    let payload = from(packet, header)?;
    match protocol {
        IGMP => igmp(v4(packet, 12)?, payload),
        PIM => hello(payload),
        _ => Err(Malformed::Other),
    }
}

/// PIM version 2, hello. Its sum is not looked at: over IPv6 it is another one, and there is nothing in it that is read.
fn hello(payload: &[u8]) -> Result<Message> {
    let [kind] = array(payload, 0)?;
    if kind == 0x20 { Ok(Message::Hello) } else { Err(Malformed::Other) }
}

fn igmp(sender: IpAddr, message: &[u8]) -> Result<Message> {
    let [kind, code, ..] = array::<8>(message, 0)?;
    if sum(message) != 0xffff {
        return Err(Malformed::Checksum);
    }
    let group = v4(message, 4)?;
    let old = |kind, old| {
        let record = Record { kind, old: Some(old), group, sources: Vec::new() };
        if group.is_multicast() { Ok(Message::Report(vec![record])) } else { Err(Malformed::Group) }
    };
    match kind {
        0x12 => old(RecordKind::IsEx, Old::First),
        0x16 => old(RecordKind::IsEx, Old::Second),
        0x17 => old(RecordKind::ToIn, Old::Second),
        0x22 => records(message, 4, v4).map(Message::Report),
        0x11 => {
            // Version 1 says nothing of the time, and means ten seconds.
            let tenths = if code == 0 { 100 } else { floating(code.into(), 4, 0x80) };
            let tail = match message.len() {
                8 => Tail::default(),
                _ => tail(message, 8, 4, v4)?,
            };
            query(sender, group, tail, tenths.saturating_mul(100))
        }
        _ => Err(Malformed::Other),
    }
}

fn ipv6(packet: &[u8]) -> Result<Message> {
    let [first, ..] = array::<40>(packet, 0)?;
    if first >> 4 != 6 {
        return Err(Malformed::Header);
    }
    let ([next, hops], length) = (array(packet, 6)?, usize::from(two(packet, 4)?));
    let sender = v6(packet, 8)?;
    let payload = up_to(from(packet, 40)?, length)?;
    match next {
        0 => {
            let [next, words] = array(payload, 0)?;
            let message = from(payload, usize::from(words) * 8 + 8)?;
            match next {
                ICMPV6 if hops == 1 => mld(sender, array(packet, 8)?, message),
                ICMPV6 => Err(Malformed::Sender),
                _ => Err(Malformed::Other),
            }
        }
        PIM => hello(payload),
        _ => Err(Malformed::Other),
    }
}

fn mld(sender: IpAddr, addresses: [u8; 32], message: &[u8]) -> Result<Message> {
    let [kind, ..] = array::<8>(message, 0)?;
    let length = u32::try_from(message.len()).map_err(|_| Malformed::Short)?.to_be_bytes();
    let pseudo = add(sum(&addresses), add(sum(&length), ICMPV6.into()));
    if add(pseudo, sum(message)) != 0xffff {
        return Err(Malformed::Checksum);
    }
    let near = matches!(sender, IpAddr::V6(v6) if v6.is_unicast_link_local());
    // Who has no address yet reports from none (RFC 3590), and nobody asks so.
    if !(near || sender.is_unspecified() && kind != 130) {
        return Err(Malformed::Sender);
    }
    let old = |kind| {
        let group = v6(message, 8)?;
        let record = Record { kind, old: Some(Old::Second), group, sources: Vec::new() };
        if group.is_multicast() { Ok(Message::Report(vec![record])) } else { Err(Malformed::Group) }
    };
    match kind {
        131 => old(RecordKind::IsEx),
        132 => old(RecordKind::ToIn),
        143 => records(message, 16, v6).map(Message::Report),
        130 => {
            let (group, code) = (v6(message, 8)?, two(message, 4)?);
            let (response, tail) = match message.len() {
                24 => (code.into(), Tail::default()),
                _ => (floating(code.into(), 12, 0x8000), tail(message, 24, 16, v6)?),
            };
            query(sender, group, tail, response)
        }
        _ => Err(Malformed::Other),
    }
}

/// A code that beyond a limit is a floating-point number: `bits` of mantissa behind a hidden one, and three of exponent.
fn floating(code: u32, bits: u32, limit: u32) -> u32 {
    if code < limit {
        return code;
    }
    let mantissa = (code & ((1 << bits) - 1)) | 1 << bits;
    mantissa << ((code >> bits & 7) + 3)
}

/// What queries have had behind the group since IGMPv3 and MLDv2.
#[derive(Default)]
struct Tail {
    suppressed: bool,
    sources: Vec<IpAddr>,
}

/// Reads it. A query of a length between those of two versions is none (RFC 3376, section 7.1; RFC 3810, section 8.1).
fn tail(message: &[u8], at: usize, size: usize, address: fn(&[u8], usize) -> Result<IpAddr>) -> Result<Tail> {
    let [flags, _, high, low] = array(message, at)?;
    let sources = sources(message, at + 4, u16::from_be_bytes([high, low]), size, address)?;
    Ok(Tail { suppressed: flags & 8 != 0, sources })
}

fn query(from: IpAddr, group: IpAddr, tail: Tail, response: u32) -> Result<Message> {
    let Tail { suppressed, sources } = tail;
    let group = (!group.is_unspecified()).then_some(group);
    match group {
        Some(group) if !group.is_multicast() => Err(Malformed::Group),
        None if !sources.is_empty() => Err(Malformed::Group),
        _ => Ok(Message::Query(Query { from, group, sources, response, suppressed })),
    }
}

fn sources(
    message: &[u8],
    at: usize,
    count: u16,
    size: usize,
    address: fn(&[u8], usize) -> Result<IpAddr>,
) -> Result<Vec<IpAddr>> {
    // Before anything is made room for: a count is a claim.
    let bytes = up_to(from(message, at)?, usize::from(count) * size)?;
    (0..usize::from(count)).map(|number| address(bytes, number * size)).collect()
}

/// The records of IGMPv3 and MLDv2, which differ in the size of addresses only.
fn records(message: &[u8], size: usize, address: fn(&[u8], usize) -> Result<IpAddr>) -> Result<Vec<Record>> {
    let (mut found, mut at) = (Vec::new(), 8);
    for _ in 0..two(message, 6)? {
        let [kind, words] = array(message, at)?;
        let (count, group) = (two(message, at + 2)?, address(message, at + 4)?);
        let mut listed = sources(message, at + 4 + size, count, size, address)?;
        listed.retain(can_send);
        at += 4 + size * (1 + usize::from(count)) + usize::from(words) * 4;
        let kind = match kind {
            1 => RecordKind::IsIn,
            2 => RecordKind::IsEx,
            3 => RecordKind::ToIn,
            4 => RecordKind::ToEx,
            5 => RecordKind::Allow,
            6 => RecordKind::Block,
            // To be passed over (RFC 3376, section 4.2.12).
            _ => continue,
        };
        if !group.is_multicast() {
            return Err(Malformed::Group);
        }
        found.push(Record { kind, old: None, group, sources: listed });
    }
    Ok(found)
}

/// Whether an address can be that of a source; others are passed over, as in the Linux bridge (`br_multicast_new_group_src`).
fn can_send(source: &IpAddr) -> bool {
    let nobody = match source {
        IpAddr::V4(v4) => v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unspecified(),
    };
    !nobody && !source.is_multicast()
}
