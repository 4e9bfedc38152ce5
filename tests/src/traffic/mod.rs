//! Traffic that ends: with a result when the path works, and with a clear error within seconds when it does not.

pub(crate) mod everyone;
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
pub(crate) fn longest_silence() -> Duration {
    crate::patience(Duration::from_secs(3))
}

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
pub(crate) struct Noise {
    state: u64,
    table: Box<[u8; TABLE]>,
}

const TABLE: usize = 8192;
const STRETCH: usize = 1024;

impl Noise {
    pub(crate) fn seeded(seed: u64) -> Noise {
        let mut noise =
            Noise { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, table: Box::new([0; TABLE]) };
        for at in (0..TABLE).step_by(8) {
            let word = noise.step();
            noise.table[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        noise
    }

    /// xorshift64.
    fn step(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// Stretches from random places of the table, each begun with a word of its own: no two are alike, and it is
    /// fast without optimisation too, so that a transfer tests the path and not the generator.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        for stretch in buffer.chunks_mut(STRETCH) {
            let word = self.step();
            let at = word as usize % (TABLE - STRETCH);
            stretch.copy_from_slice(&self.table[at..at + stretch.len()]);
            let head = stretch.len().min(8);
            stretch[..head].copy_from_slice(&word.to_le_bytes()[..head]);
        }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }
}
