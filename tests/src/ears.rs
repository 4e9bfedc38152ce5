//! Every participant at once: who hears which frame.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Node, RawPort, Segment};

/// How long a frame may be under way.
const LATEST: Duration = Duration::from_secs(3);
/// How long it stays silent before nothing more is expected.
const SILENCE: Duration = Duration::from_millis(30);

/// A packet socket at the `eth0` of every participant of a segment. For [quiet](crate::SegmentBuilder::quiet) ones.
pub struct Ears(Vec<(String, RawPort)>);

impl Segment {
    /// Opens a packet socket at every participant.
    #[track_caller]
    pub fn ears(&self) -> Ears {
        let open = |node: &Node| (node.ns.name().to_owned(), RawPort::open(&node.ns, "eth0"));
        Ears(self.nodes().into_iter().map(open).collect())
    }
}

impl Ears {
    /// The packet socket of a participant.
    pub fn of(&self, node: &Node) -> &RawPort {
        let found = self.0.iter().find(|(name, _)| name == node.ns.name());
        &found.unwrap_or_else(|| panic!("{node:?} takes no part")).1
    }

    /// Each of `hearers` hears these frames, each once, in any order, and nothing else; and nobody else hears anything.
    pub fn hear(&self, hearers: &[&Node], frames: &[Vec<u8>]) -> Result<()> {
        let mut wanted = frames.to_vec();
        wanted.sort();
        let hears = |name: &str| hearers.iter().any(|node| node.ns.name() == name);
        let mut heard = Vec::new();
        for (name, ear) in self.0.iter().filter(|(name, _)| hears(name)) {
            let mut got = Vec::new();
            while got.len() < wanted.len() {
                let Some(frame) = ear.recv(LATEST)? else { break };
                got.push(frame.bytes);
            }
            heard.push((name, got));
        }
        // Whoever heard all may hear more, and those who shall hear nothing may have to wait for it.
        for (index, (name, ear)) in self.0.iter().enumerate() {
            let more: Vec<_> = ear.collect(if index == 0 { SILENCE } else { Duration::ZERO })?;
            let before = heard.iter_mut().find(|(hearer, _)| *hearer == name);
            match before {
                Some((_, got)) => got.extend(more.into_iter().map(|frame| frame.bytes)),
                None => ensure!(more.is_empty(), "{name} hears {} frames, such as {:?}", more.len(), more[0]),
            }
        }
        for (name, mut got) in heard {
            got.sort();
            ensure!(got == wanted, "{name} hears {}, not {}", brief(&got), brief(&wanted));
        }
        Ok(())
    }

    /// `from` sends a frame, and it reaches exactly `hearers`, unchanged.
    pub fn send(&self, from: &Node, frame: &[u8], hearers: &[&Node]) -> Result<()> {
        self.of(from).send(frame)?;
        self.hear(hearers, &[frame.to_vec()])
    }
}

fn brief(frames: &[Vec<u8>]) -> String {
    let hex = |frame: &Vec<u8>| {
        let head: String = frame.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
        format!("{head} ({} bytes)", frame.len())
    };
    format!("{} frames: {}", frames.len(), frames.iter().take(4).map(hex).collect::<Vec<_>>().join(", "))
}
