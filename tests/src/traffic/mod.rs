//! Traffic that ends: with a result when the path works, and with a clear error within seconds when it does not.

pub(crate) mod group;
pub(crate) mod ping;
pub(crate) mod stream;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Namespace;

/// How long a path may stay silent before it counts as broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// A UDP socket inside a namespace.
pub(crate) fn udp_socket(ns: &Namespace, addr: impl Into<IpAddr>, port: u16) -> Result<UdpSocket> {
    let addr = SocketAddr::new(addr.into(), port);
    ns.run(|| UdpSocket::bind(addr)).with_context(|| format!("{}: bind {addr}", ns.name()))
}

/// Any address of the family of `addr`.
pub(crate) fn unspecified(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Bytes that look random and are the same in every run.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn seeded(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            // xorshift64: fast without optimisation too, and no two segments of a transfer are alike.
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}
