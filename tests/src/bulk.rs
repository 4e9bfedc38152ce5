//! Bulk TCP over two connections by turns, which both stay: a turn is a fraction of a second, so that whatever the machine does besides
//! meets both alike.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::{Enough, Ratio, ratios};

/// How long a turn is, about.
const TURN: Duration = Duration::from_millis(300);
const MIB: u64 = 1 << 20;

/// What was found.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Bulk {
    /// How the second connection is to the first.
    pub ratio: Ratio,
    /// What the first one carries, in bits a second, before anything is compared.
    pub first: f64,
}

/// Takes in what [`bulk`] sends, on any number of connections, for ever.
pub fn serve_bulk(listener: &TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        std::thread::spawn(move || serve(stream));
    }
}

/// After a number of bytes, and that many bytes, one comes back.
pub(crate) fn serve(mut stream: TcpStream) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let mut head = [0; 8];
        match stream.read_exact(&mut head) {
            // Between two turns is where a connection ends.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let mut left = u64::from_be_bytes(head);
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            let count = stream.read(&mut buffer[..most])?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            left -= count as u64;
        }
        stream.write_all(&[0])?;
    }
}

/// The bits a second at which so many bytes have arrived.
pub(crate) fn send(mut to: &TcpStream, bytes: u64) -> Result<f64> {
    let buffer = vec![0x5a; 256 << 10];
    let began = Instant::now();
    to.write_all(&bytes.to_be_bytes())?;
    let mut left = bytes;
    while left > 0 {
        let most = left.min(buffer.len() as u64) as usize;
        to.write_all(&buffer[..most])?;
        left -= most as u64;
    }
    to.read_exact(&mut [0])?;
    Ok((bytes * 8) as f64 / began.elapsed().as_secs_f64())
}

/// Has each of these connections find its pace, and gives how many bytes a turn of so long has, and what they carried in bits a second. From here on
/// a turn that hangs for 20 seconds is an error.
pub(crate) fn warm(streams: &[&TcpStream], turn: Duration) -> Result<(u64, Vec<f64>)> {
    let mut rates = vec![0.0; streams.len()];
    for stream in streams {
        stream.set_read_timeout(Some(crate::patience(Duration::from_secs(20))))?;
        stream.set_write_timeout(Some(crate::patience(Duration::from_secs(20))))?;
        stream.set_nodelay(true)?;
    }
    for bytes in [4 * MIB, 16 * MIB] {
        for (rate, stream) in rates.iter_mut().zip(streams) {
            *rate = send(stream, bytes)?;
        }
    }
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    Ok(((mean / 8.0 * turn.as_secs_f64()) as u64, rates))
}

/// How much the second connection carries, to the first. Both lead to [`serve_bulk`].
pub fn bulk(first: &TcpStream, second: &TcpStream, enough: Enough) -> Result<Bulk> {
    for stream in [first, second] {
        stream.set_read_timeout(Some(crate::patience(Duration::from_secs(20))))?;
        stream.set_write_timeout(Some(crate::patience(Duration::from_secs(20))))?;
        stream.set_nodelay(true)?;
    }
    // Slow start, and how many bytes a turn makes.
    let mut rates = [0.0; 2];
    for bytes in [4 * MIB, 16 * MIB] {
        rates = [send(first, bytes)?, send(second, bytes)?];
    }
    let bytes = ((rates[0] + rates[1]) / 16.0 * TURN.as_secs_f64()) as u64;
    let mut failure = None;
    let mut turn = |stream| {
        // After one error every turn ends at once.
        let rate = if failure.is_none() { send(stream, bytes) } else { Ok(f64::NAN) };
        [rate.unwrap_or_else(|error| {
            failure = Some(error);
            f64::NAN
        })]
    };
    let turn = std::cell::RefCell::new(&mut turn);
    let [ratio] = ratios(enough, || turn.borrow_mut()(first), || turn.borrow_mut()(second));
    failure.map_or(Ok(Bulk { ratio, first: rates[0] }), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_connections_to_one_place_are_equal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve_bulk(&listener));
        let [first, second] = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        let found = bulk(&first, &second, Enough { least: 3, most: 3, error: 0.0 }).unwrap();
        assert!(found.first > 1e6 && (0.3..3.0).contains(&found.ratio.middle), "{found:?}");
    }

    #[test]
    fn a_connection_that_ends_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let [first, second] = [(); 2].map(|()| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        drop(listener);
        assert!(bulk(&first, &second, Enough { least: 1, most: 1, error: 0.0 }).is_err());
    }
}
