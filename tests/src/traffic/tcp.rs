//! TCP transfers whose content is compared.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::{Noise, longest_silence};
use crate::{Namespace, patience, wait_until};

/// The slowest transfer that still counts as one, in bytes a second.
const SLOWEST: u64 = 2_000_000;

/// How long a connection that the client has may take to be the server's too.
const SOON: Duration = Duration::from_secs(3);

const BLOCK: u64 = 256 << 10;

/// Sends `bytes` from a client in `from` to a server at `addr` in `to`, then as many the other way over the same connection, and
/// compares every byte, which costs less than a checksum in a build without optimisation, and says where. Returns how long the two took together.
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
    let end = start + longest_silence() + patience(Duration::from_secs(2 * bytes / SLOWEST));
    let client = from.run(|| TcpStream::connect_timeout(&address, longest_silence())).context("connect")?;
    let server = accept(&listener)?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(longest_silence()))?;
        stream.set_write_timeout(Some(longest_silence()))?;
    }
    one_way(&client, &server, bytes, 1, end).context("client → server")?;
    one_way(&server, &client, bytes, 2, end).context("server → client")?;
    Ok(start.elapsed())
}

/// The client's connect has returned, so the connection is here or its last ACK got lost.
fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let mut accepted = Err(anyhow!("the client is connected, the server never heard of it"));
    wait_until(SOON, || match listener.accept() {
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
        let received = receive(to, bytes, seed, end);
        if received.is_err() {
            // Wakes a sender that would otherwise wait for its own timeout.
            let _ = from.shutdown(Shutdown::Both);
        }
        (sender.join().expect("the sender does not panic"), received)
    });
    // What the receiver saw says more than that the sender got stuck.
    received.context("receive")?;
    sent.context("send")
}

/// The lengths of the blocks that make up a transfer.
fn blocks(bytes: u64) -> impl Iterator<Item = usize> {
    (0..bytes.div_ceil(BLOCK)).map(move |block| (bytes - block * BLOCK).min(BLOCK) as usize)
}

fn send(mut to: &TcpStream, bytes: u64, seed: u64, end: Instant) -> Result<()> {
    let mut noise = Noise::seeded(seed);
    let mut buffer = vec![0; BLOCK as usize];
    for length in blocks(bytes) {
        noise.fill(&mut buffer[..length]);
        to.write_all(&buffer[..length])?;
        ensure!(Instant::now() < end, "too slow");
    }
    to.shutdown(Shutdown::Write)?;
    Ok(())
}

fn receive(mut from: &TcpStream, bytes: u64, seed: u64, end: Instant) -> Result<()> {
    let mut noise = Noise::seeded(seed);
    let (mut wanted, mut buffer) = (vec![0; BLOCK as usize], vec![0; BLOCK as usize]);
    let mut received = 0;
    for length in blocks(bytes) {
        let mut filled = 0;
        while filled < length {
            let more = from.read(&mut buffer[filled..length]);
            let more = more.with_context(|| format!("silent after {received} of {bytes} bytes"))?;
            ensure!(more > 0, "the connection ended after {received} of {bytes} bytes");
            ensure!(Instant::now() < end, "too slow: {received} of {bytes} bytes received");
            filled += more;
            received += more as u64;
        }
        noise.fill(&mut wanted[..length]);
        ensure!(
            buffer[..length] == wanted[..length],
            "other bytes arrive than were sent, before byte {received}"
        );
    }
    ensure!(from.read(&mut buffer).context("no end")? == 0, "more than {bytes} bytes arrive");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_and_a_missing_one_are_noticed() {
        for (spoil, says) in [(0, "other bytes"), (1, "ended after")] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let receiver = listener.accept().unwrap().0;
            let mut bytes = Noise::seeded(1).bytes(5000);
            if spoil == 0 {
                bytes[4321] ^= 1;
            } else {
                bytes.pop();
            }
            sender.write_all(&bytes).unwrap();
            drop(sender);
            let error = receive(&receiver, 5000, 1, Instant::now() + longest_silence()).unwrap_err();
            assert!(error.to_string().contains(says), "{error:#}");
        }
    }
}
