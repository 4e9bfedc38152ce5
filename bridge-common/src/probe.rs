//! Probes for loops: frames that the controller sends out of each port, and that nobody should bring back.
//!
//! A probe has the host's address as its source, so the decision refuses one that comes in anywhere, and the programs look for it among
//! what they refuse for that reason only.

use crate::{Packet, frame::ether};

/// The EtherType of probes: IEEE 802's second local experimental one.
pub const ETHER_TYPE: u16 = 0x88b6;

/// What a probe carries behind its EtherType: a number that is new each time, so that none can be kept and sent again later, and the VLAN
/// in which it was sent, so that a guest that carries frames from one VLAN to another is not taken for a loop. 0 while VLANs are not
/// filtered.
#[inline(always)]
pub const fn payload(nonce: u64, vlan: u16) -> [u8; 10] {
    let [a, b, c, d, e, f, g, h] = nonce.to_be_bytes();
    let [i, j] = vlan.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j]
}

/// The number of a probe that came back in the VLAN where it was sent; `None` for any other frame.
#[inline(always)]
pub fn nonce(packet: &impl Packet, vlan: u16) -> Option<u64> {
    let (kind, at) = ether::network(packet)?;
    if kind != ETHER_TYPE {
        return None;
    }
    let [a, b, c, d, e, f, g, h, i, j] = packet.load(at)?;
    (u16::from_be_bytes([i, j]) == vlan).then_some(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn frame(tags: &[u8], payload: &[u8]) -> Vec<u8> {
        [&[0xff; 6][..], &[2; 6], tags, &ETHER_TYPE.to_be_bytes(), payload].concat()
    }

    #[test]
    fn a_probe_is_known_by_its_type_and_counts_in_its_vlan() {
        let sent = payload(0x0102_0304_0506_0708, 10);
        for tags in [&[][..], &[0x81, 0, 0, 10]] {
            let frame = frame(tags, &sent);
            assert_eq!(nonce(&&frame[..], 10), Some(0x0102_0304_0506_0708));
            assert_eq!(nonce(&&frame[..], 11), None, "carried into another VLAN");
            assert_eq!(nonce(&&frame[..frame.len() - 1], 10), None, "cut short");
        }
        let mut other = frame(&[], &sent);
        other[12] = 0x08;
        assert_eq!(nonce(&&other[..], 10), None);
    }
}
