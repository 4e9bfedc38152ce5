//! The answers for a neighbour, as they are written over the requests.

use super::heard::{DISCOVERY, Heard, NEIGHBOUR_ADVERTISEMENT, REPLY, SOURCE_LINK, TARGET_LINK};
use crate::{Mac, frame::protocol};

/// Bytes of an ARP answer from its operation on, 6 bytes behind the ARP header's beginning.
pub const ARP_ANSWER: usize = 22;
/// The ARP answer to a request.
#[inline(always)]
pub fn arp_answer(heard: &Heard, neighbour: Mac) -> [u8; ARP_ANSWER] {
    let ([a, b, c, d, ..], [e, f, g, h, ..]) = (heard.target, heard.sender);
    let ([m, n, o, p, q, r], [s, t, u, v, w, x]) = (neighbour.0, heard.mac.0);
    [0, REPLY, m, n, o, p, q, r, a, b, c, d, s, t, u, v, w, x, e, f, g, h]
}

/// The first 8 bytes of the advertisement that answers a solicitation, which has the target behind it and then [`link_option`], and goes from
/// the target to the sender: solicited, and without the override flag, as is right for who speaks for others (RFC 4861, section 7.2.8).
#[inline(always)]
pub fn advertisement(heard: &Heard, option: &[u8; 8], router: bool) -> [u8; 8] {
    let flags = if router { 0xc0 } else { 0x40 };
    // The target is there twice: as the source, in the sum's pseudo-header, and as what is told of.
    let addresses = 2 * words(&heard.target) + words(&heard.sender);
    let rest =
        DISCOVERY as u32 + protocol::ICMPV6 as u32 + ((NEIGHBOUR_ADVERTISEMENT as u32) << 8) + (flags << 8);
    let sum = addresses + rest + words(option);
    let sum = (sum & 0xffff) + (sum >> 16);
    let [high, low] = (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes();
    [NEIGHBOUR_ADVERTISEMENT, 0, high, low, flags as u8, 0, 0, 0]
}

/// The option of a solicitation that tells its sender's address, or of an advertisement that tells its target's.
#[inline(always)]
pub const fn link_option(mac: Mac, target: bool) -> [u8; 8] {
    let [m, n, o, p, q, r] = mac.0;
    [if target { TARGET_LINK } else { SOURCE_LINK }, 1, m, n, o, p, q, r]
}

/// The sum of the words of an address or an option, for a checksum.
#[inline(always)]
fn words<const N: usize>(bytes: &[u8; N]) -> u32 {
    let mut sum = 0;
    for pair in bytes.chunks_exact(2) {
        if let [a, b] = pair {
            sum += (*a as u32) << 8 | *b as u32;
        }
    }
    sum
}
