//! Every participant at once: who hears which frame.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Node, RawPort, Segment, frames, wait_until};

/// How long a frame may be under way.
const LATEST: Duration = Duration::from_secs(3);
/// How long it stays silent before nothing more is expected. That something does **not** come, one can only wait for.
const SILENCE: Duration = Duration::from_millis(20);

/// What the host listens for, each by a socket of its own behind TC.
const PROTOCOLS: [u16; 10] = [
    0x0004, // what has a length for an EtherType, as spanning tree has
    0x0800,
    0x0806,
    0x8100,
    0x86dd,
    0x8808,
    0x8809,
    0x88a8,
    frames::EXPERIMENTAL,
    0x88cc,
];

struct Ear {
    name: String,
    /// Sends, and listens unless it is the host's.
    port: RawPort,
    /// The host's: its packet socket for everything hears at the uplink what is for others too, before TC decides.
    behind_tc: Vec<RawPort>,
}

impl Ear {
    fn now(&self) -> Result<Vec<Vec<u8>>> {
        let mut heard = Vec::new();
        let ports = if self.is_host() { &self.behind_tc[..] } else { std::slice::from_ref(&self.port) };
        for port in ports {
            heard.extend(port.drain()?.into_iter().map(|frame| frame.bytes));
        }
        // What a test sends may look like a loop, for which the controller then looks.
        heard.retain(|frame| !frames::is_probe(frame));
        Ok(heard)
    }

    fn is_host(&self) -> bool {
        !self.behind_tc.is_empty()
    }

    /// How these frames look here.
    fn wanted(&self, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut wanted = frames.to_vec();
        if self.is_host() {
            for frame in &mut wanted {
                let tagged = frame.get(12..14).is_some_and(|kind| kind == [0x81, 0] || kind == [0x88, 0xa8]);
                if tagged {
                    frame.drain(12..16);
                }
            }
        }
        wanted.sort();
        wanted
    }
}

/// A packet socket at the `eth0` of every participant of a segment. For [quiet](crate::SegmentBuilder::quiet) ones.
pub struct Ears(Vec<Ear>);

impl Segment {
    /// Opens a packet socket at every participant.
    #[track_caller]
    pub fn ears(&self) -> Ears {
        let open = |node: &Node| {
            let name = node.ns.name().to_owned();
            let protocols = if name == self.host.ns.name() { &PROTOCOLS[..] } else { &[] };
            let behind = |protocol: &u16| RawPort::open_protocol(&node.ns, "eth0", *protocol);
            Ear {
                name,
                port: RawPort::open(&node.ns, "eth0"),
                behind_tc: protocols.iter().map(behind).collect(),
            }
        };
        Ears(self.nodes().into_iter().map(open).collect())
    }
}

impl Ears {
    /// The packet socket by which a participant sends.
    pub fn of(&self, node: &Node) -> &RawPort {
        let found = self.0.iter().find(|ear| ear.name == node.ns.name());
        &found.unwrap_or_else(|| panic!("{node:?} takes no part")).port
    }

    /// Each of `hearers` hears these frames, each once, in any order, and nothing else; and nobody else hears anything.
    pub fn hear(&self, hearers: &[&Node], frames: &[Vec<u8>]) -> Result<()> {
        let each: Vec<_> = hearers.iter().map(|node| (*node, frames.to_vec())).collect();
        self.hear_each(&each)
    }

    /// Each of these hears its frames, each once, in any order, and nothing else; and nobody else hears anything.
    pub fn hear_each(&self, hearers: &[(&Node, Vec<Vec<u8>>)]) -> Result<()> {
        let wanted = |ear: &Ear| {
            let hearer = hearers.iter().find(|(node, _)| node.ns.name() == ear.name);
            hearer.map(|(_, frames)| ear.wanted(frames)).unwrap_or_default()
        };
        let mut heard = vec![Vec::new(); self.0.len()];
        for (ear, got) in self.0.iter().zip(&mut heard) {
            let (mut outcome, count) = (Ok(()), wanted(ear).len());
            wait_until(LATEST, || {
                outcome = ear.now().map(|more| got.extend(more));
                outcome.is_err() || got.len() >= count
            });
            outcome?;
        }
        std::thread::sleep(crate::patience(SILENCE));
        for (ear, mut got) in self.0.iter().zip(heard) {
            got.extend(ear.now()?);
            got.sort();
            let wanted = wanted(ear);
            ensure!(got == wanted, "{} hears {}, not {}", ear.name, brief(&got), brief(&wanted));
        }
        Ok(())
    }

    /// `from` sends a frame, and it reaches exactly `hearers`, unchanged.
    pub fn send(&self, from: &Node, frame: &[u8], hearers: &[&Node]) -> Result<()> {
        let sent = self.of(from).send(frame);
        // A drop on the way out is told to the sender, as ENOBUFS.
        if !hearers.is_empty() {
            sent?;
        }
        self.hear(hearers, &[frame.to_vec()])
    }

    /// Everyone says something, so that everyone is known.
    #[track_caller]
    pub fn introduce(&self, segment: &Segment) {
        for node in segment.nodes() {
            let others: Vec<_> = segment.nodes().into_iter().filter(|other| other.mac != node.mac).collect();
            self.send(node, &frames::frame(crate::Mac::BROADCAST, node.mac, 60), &others).unwrap();
        }
    }

    /// Forgets what anyone has heard, once it is silent.
    pub fn forget(&self) -> Result<()> {
        while {
            std::thread::sleep(crate::patience(SILENCE));
            let heard: Result<Vec<_>> = self.0.iter().map(Ear::now).collect();
            !heard?.iter().all(Vec::is_empty)
        } {}
        for ear in &self.0 {
            ear.port.drain()?;
        }
        Ok(())
    }
}

fn brief(frames: &[Vec<u8>]) -> String {
    let hex = |frame: &Vec<u8>| {
        let head: String = frame.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
        format!("{head} ({} bytes)", frame.len())
    };
    format!("{} frames: {}", frames.len(), frames.iter().take(4).map(hex).collect::<Vec<_>>().join(", "))
}
