//! UDP, there and back.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{setsockopt, sockopt};

use super::{Noise, longest_silence, udp_socket, unspecified};
use crate::{Namespace, kernel::cuts_datagrams_without_checksum_offload};

/// Datagrams of many lengths, each sent to `addr` in `to` and back again, one after the other, none repeated. Among them
/// some that travel in fragments at an MTU of 1500. Each must arrive whole, and once.
pub fn udp_exchange(from: &Namespace, to: &Namespace, addr: impl Into<IpAddr>) -> Result<()> {
    let addr = addr.into();
    exchange(from, to, addr).with_context(|| format!("UDP {} → {} ({addr})", from.name(), to.name()))
}

fn exchange(from: &Namespace, to: &Namespace, addr: IpAddr) -> Result<()> {
    let server = udp_socket(to, addr, 0)?;
    let client = udp_socket(from, unspecified(addr), 0)?;
    client.connect(server.local_addr()?)?;
    let mut noise = Noise::seeded(7);
    // Empty and odd lengths; the longest that fits a frame in IPv6 and IPv4; fragments.
    for length in [0, 1, 17, 18, 512, 1452, 1472, 1473, 4001, 20_000] {
        let payload = noise.bytes(length);
        client.send(&payload).context("send")?;
        let (there, sender) = receive(&server).with_context(|| format!("{length} bytes, there"))?;
        ensure!(there == payload, "{length} bytes arrived as {}, or changed", there.len());
        server.send_to(&payload, sender).context("send back")?;
        let (back, _) = receive(&client).with_context(|| format!("{length} bytes, back"))?;
        ensure!(back == payload, "{length} bytes came back as {}, or changed", back.len());
    }
    for socket in [&server, &client] {
        socket.set_nonblocking(true)?;
        ensure!(socket.recv(&mut [0]).is_err(), "a datagram came twice");
    }
    Ok(())
}

fn receive(socket: &UdpSocket) -> Result<(Vec<u8>, SocketAddr)> {
    socket.set_read_timeout(Some(longest_silence()))?;
    let mut buffer = vec![0; 65536];
    let (length, sender) = socket.recv_from(&mut buffer).context("nothing came")?;
    buffer.truncate(length);
    Ok((buffer, sender))
}

/// `count` datagrams of `size` bytes that leave the sender as one segmentation-offload frame (`UDP_SEGMENT`, as QUIC does). Each must
/// arrive as itself. (An older kernel cannot where the sender has its checksum offload off; then nothing is sent.)
pub fn udp_segments(
    from: &Namespace,
    to: &Namespace,
    addr: impl Into<IpAddr>,
    size: u16,
    count: usize,
) -> Result<()> {
    let addr = addr.into();
    segments(from, to, addr, size, count)
        .with_context(|| format!("UDP segments {} → {} ({addr})", from.name(), to.name()))
}

fn segments(from: &Namespace, to: &Namespace, addr: IpAddr, size: u16, count: usize) -> Result<()> {
    let server = udp_socket(to, addr, 0)?;
    let client = udp_socket(from, unspecified(addr), 0)?;
    client.connect(server.local_addr()?)?;
    setsockopt(&client, sockopt::UdpGsoSegment, &i32::from(size)).context("UDP_SEGMENT")?;
    let all = Noise::seeded(9).bytes(usize::from(size) * count);
    match client.send(&all) {
        // The sender's own kernel knows of no such frame: there is nothing that a switch could get wrong.
        Err(error)
            if error.raw_os_error() == Some(libc::EIO) && !cuts_datagrams_without_checksum_offload() =>
        {
            return Ok(());
        }
        sent => sent.context("send")?,
    };
    for (number, wanted) in all.chunks(size.into()).enumerate() {
        let (got, _) = receive(&server).with_context(|| format!("datagram {number} of {count}"))?;
        ensure!(got == wanted, "datagram {number} of {count} has {} bytes, or changed", got.len());
    }
    Ok(())
}
