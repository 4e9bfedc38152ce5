//! Packets as a pcapng stream: an interface for each port, and the verdict as the packet's comment.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use bridge_common::capture::Direction;
use pcap_file::{
    DataLink, Endianness, PcapError, PcapResult,
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use super::Packet;

/// Nanoseconds, as `if_tsresol` says it: the negative power of ten.
const NANOSECONDS: u8 = 9;

/// A pcapng stream that is being written.
pub struct PcapNg<W: Write> {
    writer: PcapNgWriter<W>,
}

impl<W: Write> PcapNg<W> {
    /// Writes the heads: the section's, and each port's in the order of [`Packet::interface`].
    pub fn begin(to: W, ports: &[String], snaplen: u32) -> io::Result<Self> {
        let application = format!("xbr {}", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![SectionHeaderOption::UserApplication(application.into())],
            ..SectionHeaderBlock::default()
        };
        let mut writer = io(PcapNgWriter::with_section_header(to, section))?;
        for port in ports {
            let options = vec![
                InterfaceDescriptionOption::IfName(port.into()),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ];
            let block = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen, options };
            io(writer.write_pcapng_block(block))?;
        }
        Ok(Self { writer })
    }

    /// Writes one packet.
    pub fn write(&mut self, packet: &Packet) -> io::Result<()> {
        let direction = match packet.direction {
            Direction::In => 1,
            Direction::Out => 2,
        };
        let comment = Cow::Borrowed(packet.verdict.as_str());
        let options = vec![EnhancedPacketOption::Comment(comment), EnhancedPacketOption::Flags(direction)];
        let block = EnhancedPacketBlock {
            interface_id: packet.interface,
            timestamp: packet.time,
            original_len: packet.length,
            data: Cow::Borrowed(&packet.bytes),
            options,
        };
        io(self.writer.write_pcapng_block(block)).map(drop)
    }

    /// Hands on what was written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.get_mut().flush()
    }
}

/// The kernel's own words, which the crate keeps as the cause.
fn io<T>(outcome: PcapResult<T>) -> io::Result<T> {
    outcome.map_err(|error| match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::packet::tests::{EPOCH, interfaces, record};
    use bridge_common::{
        DropReason, PortId,
        capture::{Path, Sight},
    };
    use pcap_file::pcapng::{Block, PcapNgReader};
    use std::time::Duration;

    #[test]
    fn what_is_written_is_read_back() {
        let ports = ["vm1".to_string(), "host".to_string()];
        let interfaces = interfaces(&["vm1", "host"]);
        let (vm1, host) = (PortId(2), PortId::HOST);
        let mut long = record(Sight::forwarded(vm1, host, Path::Tc).at_peer(), &[3; 61]);
        (long.sighting.length, long.sighting.gso_size) = (65_226, 1448);
        let records = [record(Sight::dropped(vm1, vm1, Path::Xdp, DropReason::LinkLocal), &[1; 60]), long];
        let packets = records.map(|record| interfaces.packet(record, EPOCH).unwrap());
        let mut bytes = Vec::new();
        let mut file = PcapNg::begin(&mut bytes, &ports, 96).unwrap();
        packets.iter().for_each(|packet| file.write(packet).unwrap());
        file.flush().unwrap();

        let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
        let mut read = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(block) = block.unwrap() {
                read.push(block.into_owned());
            }
        }
        for (interface, name) in reader.interfaces().iter().zip(["vm1", "host"]) {
            assert_eq!((interface.linktype, interface.snaplen), (DataLink::ETHERNET, 96));
            assert!(interface.options.contains(&InterfaceDescriptionOption::IfName(name.into())));
            assert!(interface.options.contains(&InterfaceDescriptionOption::IfTsResol(9)));
        }
        let expected = [
            (0, 60, 60, "dropped: link_local (xdp)", 1),
            (1, 61, 65_226, "forwarded from vm1 (tc), 1 segments of 1448 bytes", 2),
        ];
        assert_eq!(read.len(), expected.len());
        for (block, (interface, kept, length, comment, direction)) in read.iter().zip(expected) {
            assert_eq!((block.interface_id, block.data.len(), block.original_len), (interface, kept, length));
            assert_eq!(block.timestamp, EPOCH + Duration::from_nanos(5));
            let options =
                [EnhancedPacketOption::Comment(comment.into()), EnhancedPacketOption::Flags(direction)];
            assert_eq!(block.options, options);
        }
    }

    #[test]
    fn a_full_disk_is_said_in_the_kernels_words() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = PcapNg::begin(full, &[], 96).err().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    }
}
