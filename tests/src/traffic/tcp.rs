//! TCP transfers whose content is compared.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};

use super::{Noise, PATIENCE};
use crate::{Namespace, wait_until};

/// The slowest transfer that still counts as one, in bytes a second.
const SLOWEST: u64 = 2_000_000;

/// Sends `bytes` from a client in `from` to a server at `addr` in `to`, then as many the other way over the same connection, and
/// compares the SHA-256 of what was sent with that of what arrived. Returns how long the two took together.
///
/// A path that is silent for 3 seconds, or slower than 2 MB/s over all, is an error.
pub fn tcp_transfer(
    from: &Namespace,
    to: &Namespace,
    addr: impl Into<IpAddr>,
    bytes: u64,
) -> Result<Duration> {
    let addr = addr.into();
    transfer(from, to, addr, bytes).with_context(|| format!("TCP {} → {} ({addr})", from.name(), to.name()))
}

fn transfer(from: &Namespace, to: &Namespace, addr: IpAddr, bytes: u64) -> Result<Duration> {
    let listener = to.run(|| TcpListener::bind(SocketAddr::new(addr, 0))).context("listen")?;
    let address = listener.local_addr()?;
    let start = Instant::now();
    let end = start + PATIENCE + Duration::from_secs(2 * bytes / SLOWEST);
    let client = from.run(|| TcpStream::connect_timeout(&address, PATIENCE)).context("connect")?;
    let server = accept(&listener)?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    one_way(&client, &server, bytes, 1, end).context("client → server")?;
    one_way(&server, &client, bytes, 2, end).context("server → client")?;
    Ok(start.elapsed())
}

/// The client's connect has returned, so the connection is here or its last ACK got lost.
fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let mut accepted = Err(anyhow!("the client is connected, the server never heard of it"));
    wait_until(PATIENCE, || match listener.accept() {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => false,
        other => {
            accepted = other.map_err(Into::into);
            true
        }
    });
    let (stream, _) = accepted?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn one_way(from: &TcpStream, to: &TcpStream, bytes: u64, seed: u64, end: Instant) -> Result<()> {
    let (sent, received) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(from, bytes, seed, end));
        let received = receive(to, bytes, end);
        (sender.join().expect("the sender does not panic"), received)
    });
    // What the receiver saw says more than that the sender got stuck.
    let (received, sent) = (received.context("receive")?, sent.context("send")?);
    ensure!(sent == received, "{bytes} bytes arrived, and they are not those that were sent");
    Ok(())
}

fn send(mut to: &TcpStream, bytes: u64, seed: u64, end: Instant) -> Result<[u8; 32]> {
    let (mut noise, mut hash) = (Noise::seeded(seed), Sha256::new());
    let mut buffer = vec![0; 256 << 10];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(buffer.len() as u64) as usize;
        noise.fill(&mut buffer[..length]);
        hash.update(&buffer[..length]);
        to.write_all(&buffer[..length])
            .with_context(|| format!("stuck with {left} of {bytes} bytes unsent"))?;
        left -= length as u64;
        ensure!(Instant::now() < end, "too slow: {left} of {bytes} bytes unsent");
    }
    to.shutdown(Shutdown::Write)?;
    Ok(hash.finalize().into())
}

fn receive(mut from: &TcpStream, bytes: u64, end: Instant) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut received = 0;
    loop {
        let length =
            from.read(&mut buffer).with_context(|| format!("silent after {received} of {bytes} bytes"));
        let length = length.inspect_err(|_| {
            // Wakes a sender that would otherwise wait for its own timeout.
            let _ = from.shutdown(Shutdown::Both);
        })?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
        received += length as u64;
        if Instant::now() >= end {
            let _ = from.shutdown(Shutdown::Both);
            bail!("too slow: {received} of {bytes} bytes received");
        }
    }
    ensure!(received == bytes, "the connection ended after {received} of {bytes} bytes");
    Ok(hash.finalize().into())
}
