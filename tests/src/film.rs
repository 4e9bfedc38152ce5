//! `xbr capture` at work, and what it wrote.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};

use crate::{Process, Xbr, unique_name, wait_until};

const SOON: Duration = Duration::from_secs(10);

/// A capture under way, into a file that goes with it.
pub struct Film {
    /// `xbr capture`.
    pub process: Process,
    /// What it writes into.
    pub file: PathBuf,
}

/// One packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shot {
    /// The interface's name in the file: the port's.
    pub port: String,
    /// 1 for in, 2 for out: the low bits of `epb_flags`.
    pub direction: u32,
    /// The packet's comment.
    pub verdict: String,
    /// When, since 1970.
    pub time: Duration,
    /// Bytes that it had.
    pub length: usize,
    /// Those that were kept.
    pub bytes: Vec<u8>,
}

impl Xbr {
    /// Whether the programs show anything to anybody, as the map has it.
    #[track_caller]
    pub fn captures(&self) -> bool {
        let pins = bridge_user::datapath::PinDir::of(&self.name.parse().expect("a name")).expect("bpffs");
        let switch = bridge_user::datapath::CaptureSwitch::open(&pins).expect("the maps are pinned");
        switch.get().wanted.0 != 0
    }

    /// Begins to capture with these words, ports first, and returns when it is on.
    #[track_caller]
    pub fn film(&self, words: &str) -> Film {
        let file = std::env::temp_dir().join(format!("{}.pcapng", unique_name()));
        let path = file.display().to_string();
        let words =
            ["capture", "--bridge", &self.name, "-w", &path].into_iter().chain(words.split_whitespace());
        let process = Process::spawn(self.ns.command(&self.program, words));
        let film = Film { process, file };
        let on = wait_until(SOON, || film.process.stderr_text().contains("capturing on"));
        assert!(on, "the capture does not begin: {}", film.process);
        film
    }
}

impl Film {
    /// Ends it with SIGINT and gives what was captured; nothing may be lost.
    #[track_caller]
    pub fn cut(&self) -> Vec<Shot> {
        self.process.signal(Signal::SIGINT);
        self.ended()
    }

    /// Waits for its good end and gives what was captured; nothing may be lost.
    #[track_caller]
    pub fn ended(&self) -> Vec<Shot> {
        let status = self.process.wait(SOON);
        assert!(status.success(), "{}", self.process);
        let shots = self.shots();
        let summary = format!("{} packets captured, 0 lost", shots.len());
        assert!(self.process.stderr_text().contains(&summary), "not {summary:?}: {}", self.process);
        shots
    }

    /// Reads the file.
    #[track_caller]
    pub fn shots(&self) -> Vec<Shot> {
        read(&std::fs::read(&self.file).expect("the file is there"))
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Reads pcapng as a stranger would.
#[track_caller]
pub fn read(bytes: &[u8]) -> Vec<Shot> {
    let mut reader = PcapNgReader::new(bytes).expect("pcapng");
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.expect("a whole block") {
            packets.push(packet.into_owned());
        }
    }
    let names: Vec<String> = reader
        .interfaces()
        .iter()
        .map(|interface| {
            assert!(interface.options.contains(&InterfaceDescriptionOption::IfTsResol(9)));
            let name = interface.options.iter().find_map(|option| match option {
                InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                _ => None,
            });
            name.expect("an interface has a name")
        })
        .collect();
    let shot = |packet: pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock<'_>| {
        let (mut verdict, mut direction) = (String::new(), 0);
        for option in &packet.options {
            match option {
                EnhancedPacketOption::Comment(text) => verdict = text.to_string(),
                EnhancedPacketOption::Flags(flags) => direction = flags & 3,
                _ => {}
            }
        }
        Shot {
            port: names[packet.interface_id as usize].clone(),
            direction,
            verdict,
            time: packet.timestamp,
            length: packet.original_len as usize,
            bytes: packet.data.into_owned(),
        }
    };
    packets.into_iter().map(shot).collect()
}
