//! Bytes of a frame, and the sums over them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parse::{Malformed, Result};

pub(super) fn from(bytes: &[u8], at: usize) -> Result<&[u8]> {
    bytes.get(at..).ok_or(Malformed::Short)
}

pub(super) fn up_to(bytes: &[u8], length: usize) -> Result<&[u8]> {
    bytes.get(..length).ok_or(Malformed::Short)
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N).ok_or(Malformed::Short)?;
    bytes.get(at..end).and_then(|bytes| bytes.try_into().ok()).ok_or(Malformed::Short)
}

pub(super) fn two(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_be_bytes(array(bytes, at)?))
}

pub(super) fn v4(bytes: &[u8], at: usize) -> Result<IpAddr> {
    Ok(Ipv4Addr::from(array::<4>(bytes, at)?).into())
}

pub(super) fn v6(bytes: &[u8], at: usize) -> Result<IpAddr> {
    Ok(Ipv6Addr::from(array::<16>(bytes, at)?).into())
}

/// The Internet checksum's sum of these bytes, folded. Whole and right, it is 0xffff.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Sums of parts make the whole's, since each part but the last has an even number of bytes.
pub(super) fn add(a: u16, b: u16) -> u16 {
    let sum = u32::from(a) + u32::from(b);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
