//! DHCP, with a client as strict about checksums as `dhclient` is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice, VlanId};
use nix::sys::socket::{setsockopt, sockopt};

use crate::{Frame, Mac, Namespace, Node, RawPort};

/// A DHCP server that offers each station one address of a range, always the same. It stops when dropped.
///
/// It answers as ordinary servers do: to everyone where the client asks for that, else to the address that the client is about to have.
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves from the node's address; offers addresses from `first` on.
    #[track_caller]
    pub fn start(node: &Node, first: Ipv4Addr) -> Server {
        Self::at(&node.ns, &node.device(), node.v4, first)
    }

    /// The same at any device of a namespace, with the address that is its own there.
    #[track_caller]
    pub fn at(ns: &Namespace, dev: &str, own: Ipv4Addr, first: Ipv4Addr) -> Server {
        let (ns, dev) = (ns.clone(), dev.to_owned());
        let socket = ns.run(|| server_socket(&dev)).unwrap_or_else(|e| panic!("DHCP server on {dev}: {e:#}"));
        Self::spawn(move |stop| serve(&ns, &dev, own, first, &socket, stop))
    }

    /// Serves a VLAN from the node's `eth0`, whose tag it reads and puts on itself, where the kernel has no devices for VLANs.
    #[track_caller]
    pub fn in_vlan(node: &Node, vid: u16, first: Ipv4Addr) -> Server {
        let (port, node) = (RawPort::open(&node.ns, "eth0"), node.clone());
        Self::spawn(move |stop| serve_vlan(&node, vid, first, &port, stop))
    }

    fn spawn(serve: impl FnOnce(&AtomicBool) + Send + 'static) -> Server {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let stop = stop.clone();
            std::thread::spawn(move || serve(&stop))
        };
        Server { stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn server_socket(dev: &str) -> Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:67")?;
    setsockopt(&socket, sockopt::BindToDevice, &dev.into())?;
    socket.set_broadcast(true)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(socket)
}

fn serve(ns: &Namespace, dev: &str, own: Ipv4Addr, first: Ipv4Addr, socket: &UdpSocket, stop: &AtomicBool) {
    let mut leases = Leases { first, given: HashMap::new() };
    let mut buffer = [0; 1500];
    while !stop.load(Relaxed) {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let Ok(request) = Message::decode(&mut Decoder::new(&buffer[..length])) else { continue };
        let Some((reply, lease)) = leases.reply(&request, own) else { continue };
        let to = if request.flags().broadcast() {
            Ipv4Addr::BROADCAST
        } else {
            // The client cannot answer ARP yet, so its address is entered by hand.
            let mac: String = request.chaddr().iter().map(|byte| format!(":{byte:02x}")).collect();
            let (lease, mac) = (lease.to_string(), mac.trim_start_matches(':').to_owned());
            let entry = ["neigh", "replace", &lease, "lladdr", &mac, "dev", dev];
            let _ = ns.command("ip", entry).output();
            lease.parse().expect("an address")
        };
        // Lost or refused, the client will ask again or complain.
        if let Ok(bytes) = reply.to_vec() {
            let _ = socket.send_to(&bytes, SocketAddr::new(IpAddr::V4(to), 68));
        }
    }
}

struct Leases {
    first: Ipv4Addr,
    given: HashMap<Vec<u8>, Ipv4Addr>,
}

impl Leases {
    /// What a server with this address answers, and the address that it gives.
    fn reply(&mut self, request: &Message, own: Ipv4Addr) -> Option<(Message, Ipv4Addr)> {
        let kind = match request.opts().msg_type() {
            Some(MessageType::Discover) => MessageType::Offer,
            Some(MessageType::Request) => MessageType::Ack,
            _ => return None,
        };
        let next = Ipv4Addr::from(u32::from(self.first) + self.given.len() as u32);
        let lease = *self.given.entry(request.chaddr().to_vec()).or_insert(next);
        let mut reply = Message::default();
        reply.set_opcode(Opcode::BootReply).set_xid(request.xid()).set_flags(request.flags());
        reply.set_yiaddr(lease).set_siaddr(own).set_chaddr(request.chaddr());
        let options = reply.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier(own));
        options.insert(DhcpOption::AddressLeaseTime(3600));
        options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)));
        Some((reply, lease))
    }
}

fn serve_vlan(node: &Node, vid: u16, first: Ipv4Addr, port: &RawPort, stop: &AtomicBool) {
    let mut leases = Leases { first, given: HashMap::new() };
    while !stop.load(Relaxed) {
        let Ok(Some(frame)) = port.recv(Duration::from_millis(20)) else { continue };
        let Some(request) = request_in(&frame, vid) else { continue };
        let Some((reply, lease)) = leases.reply(&request, node.v4) else { continue };
        let (_, client) = frame.addresses();
        let (mac, address) =
            if request.flags().broadcast() { (Mac::BROADCAST, Ipv4Addr::BROADCAST) } else { (client, lease) };
        let vid = VlanId::try_new(vid).expect("a VLAN");
        let packet = PacketBuilder::ethernet2(node.mac.0, mac.0).single_vlan(vid);
        let packet = packet.ipv4(node.v4.octets(), address.octets(), 64).udp(67, 68);
        let mut frame = Vec::new();
        if reply.to_vec().is_ok_and(|payload| packet.write(&mut frame, &payload).is_ok()) {
            // Lost or refused, the client will ask again or complain.
            let _ = port.send(&frame);
        }
    }
}

/// What a client asks in a frame with the tag of this VLAN.
fn request_in(frame: &Frame, vid: u16) -> Option<Message> {
    if frame.bytes.get(12..16)? != [[0x81, 0], vid.to_be_bytes()].concat() {
        return None;
    }
    let packet = SlicedPacket::from_ethernet(&frame.bytes).ok()?;
    let Some(TransportSlice::Udp(udp)) = packet.transport else { return None };
    (udp.destination_port() == 67).then(|| Message::decode(&mut Decoder::new(udp.payload())).ok())?
}

/// How the client wants its answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replies {
    /// To 255.255.255.255.
    Broadcast,
    /// To the address it is about to have.
    Unicast,
}

/// Gets an address for `eth0` of a node: discover, offer, request, acknowledgement. The interface is not changed.
///
/// The client reads raw frames, as `dhclient` must since it has no address yet. An answer whose UDP
/// checksum is wrong is an error, unless the kernel itself says that it is still to be computed.
pub fn acquire(node: &Node, replies: Replies) -> Result<Ipv4Addr> {
    dialogue(node, replies).with_context(|| format!("DHCP for {} ({replies:?})", node.ns.name()))
}

fn dialogue(node: &Node, replies: Replies) -> Result<Ipv4Addr> {
    let port = RawPort::open(&node.ns, "eth0");
    let xid = 0x7877_0000 | u32::from(node.mac.0[5]);
    port.send(&request(node.mac, xid, replies, MessageType::Discover, &[])?)?;
    let offer = answer(&port, node.mac, xid, MessageType::Offer)?;
    let Some(server) = offer.opts().get(OptionCode::ServerIdentifier) else { bail!("an offer by nobody") };
    let wanted = [DhcpOption::RequestedIpAddress(offer.yiaddr()), server.clone()];
    port.send(&request(node.mac, xid, replies, MessageType::Request, &wanted)?)?;
    let ack = answer(&port, node.mac, xid, MessageType::Ack)?;
    ensure!(ack.yiaddr() == offer.yiaddr(), "{} was offered, {} was given", offer.yiaddr(), ack.yiaddr());
    Ok(ack.yiaddr())
}

fn request(mac: Mac, xid: u32, replies: Replies, kind: MessageType, more: &[DhcpOption]) -> Result<Vec<u8>> {
    let mut message = Message::default();
    message.set_xid(xid).set_chaddr(&mac.0);
    if replies == Replies::Broadcast {
        message.set_flags(Flags::default().set_broadcast());
    }
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in more {
        message.opts_mut().insert(option.clone());
    }
    let payload = message.to_vec()?;
    let packet = PacketBuilder::ethernet2(mac.0, Mac::BROADCAST.0).ipv4([0; 4], [255; 4], 64).udp(68, 67);
    let mut frame = Vec::with_capacity(packet.size(payload.len()));
    packet.write(&mut frame, &payload)?;
    Ok(frame)
}

fn answer(port: &RawPort, mac: Mac, xid: u32, kind: MessageType) -> Result<Message> {
    let end = Instant::now() + crate::patience(Duration::from_secs(3));
    while let Some(frame) = port.recv(end.saturating_duration_since(Instant::now()))? {
        let Some(message) = reply_in(&frame, mac)? else { continue };
        if message.xid() == xid && message.opts().msg_type() == Some(kind) {
            return Ok(message);
        }
    }
    bail!("no {kind:?} came")
}

/// The DHCP reply in a frame for this station, if it is one; an error when its checksum is wrong.
fn reply_in(frame: &Frame, mac: Mac) -> Result<Option<Message>> {
    let (to, _) = frame.addresses();
    let Ok(packet) = SlicedPacket::from_ethernet(&frame.bytes) else { return Ok(None) };
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport) else {
        return Ok(None);
    };
    if udp.destination_port() != 68 || (to != mac && to != Mac::BROADCAST) {
        return Ok(None);
    }
    let (header, payload) = (udp.to_header(), udp.payload());
    let right = header.calc_checksum_ipv4(&ip.header().to_header(), payload)?;
    let fine = frame.unfinished || header.checksum == 0 || header.checksum == right;
    ensure!(fine, "a reply with UDP checksum {:#06x} instead of {right:#06x}: {frame:?}", header.checksum);
    Ok(Some(Message::decode(&mut Decoder::new(payload))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_checksum_is_an_error_unless_the_kernel_owns_up_to_it() {
        let mac = Mac::numbered(11);
        let packet =
            PacketBuilder::ethernet2([2; 6], mac.0).ipv4([10, 77, 0, 2], [10, 77, 0, 11], 64).udp(67, 68);
        let mut bytes = Vec::new();
        packet.write(&mut bytes, &Message::default().to_vec().unwrap()).unwrap();
        let whole = Frame { bytes, unfinished: false };
        assert!(reply_in(&whole, mac).unwrap().is_some());
        assert!(reply_in(&whole, Mac::numbered(12)).unwrap().is_none(), "for another station");
        let mut changed = whole.clone();
        *changed.bytes.last_mut().unwrap() ^= 1;
        assert!(reply_in(&changed, mac).is_err());
        changed.unfinished = true;
        assert!(reply_in(&changed, mac).unwrap().is_some());
    }
}
