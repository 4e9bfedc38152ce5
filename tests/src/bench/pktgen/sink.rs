//! Where frames arrive: counted by the device, and thrown away by the kernel since they are for nobody here.

use std::{thread, time::Duration};

use anyhow::Result;

use super::device::{Borrowed, Count};
use crate::{Mac, Namespace, RawPort};

/// Frames after which the switch gets a moment to learn.
const CHUNK: u32 = 64;

/// The receiving device.
pub struct Sink {
    ns: Namespace,
    device: String,
    /// Keeps the card from filtering, for as long as it is open.
    port: RawPort,
    borrowed: Borrowed,
}

impl Sink {
    /// Makes the device hear every frame.
    pub fn open(ns: &Namespace, device: &str) -> Result<Sink> {
        let borrowed = Borrowed::take(ns, device)?;
        let port = RawPort::try_open(ns, device, 0)?;
        port.promiscuous()?;
        Ok(Sink { ns: ns.clone(), device: device.into(), port, borrowed })
    }

    /// Waits for its carrier.
    pub fn wait_carrier(&self) -> Result<()> {
        self.borrowed.wait_carrier()
    }

    /// Has every station behind it say something to `to`, or the switch would flood what is for them.
    pub fn introduce(&self, (first, count): (Mac, u32), to: Mac) -> Result<()> {
        for number in 0..count {
            self.port.send(&greeting(first.plus(number), to))?;
            if number % CHUNK == CHUNK - 1 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        // A frame is learned when it has gone through a card's ring and back.
        thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    /// What it has received.
    pub fn count(&self) -> Result<Count> {
        Count::now(&self.ns, &self.device)
    }

    /// The same, once nothing comes any more; RFC 2544 waits two seconds.
    pub fn settled(&self) -> Result<Count> {
        let mut last = self.count()?;
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(100));
            let now = self.count()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }
}

/// The shortest frame, of a type for experiments (IEEE 802, 88-b5).
fn greeting(from: Mac, to: Mac) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As pktgen counts (`mod_cur_headers`), or the switch floods what is for the stations that were left out.
    #[test]
    fn stations_are_numbered_as_pktgen_does() {
        let first = Mac([2, 0x78, 0x62, 0xff, 0, 0]);
        assert_eq!(first.plus(1), Mac([2, 0x78, 0x62, 0xff, 0, 1]));
        assert_eq!(first.plus(0x1ff), Mac([2, 0x78, 0x62, 0xff, 1, 0xff]));
        assert_eq!(greeting(first, Mac::BROADCAST)[6..14], [2, 0x78, 0x62, 0xff, 0, 0, 0x88, 0xb5]);
    }
}
