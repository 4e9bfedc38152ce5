//! One netlink socket: a request goes out, its answers come back.
//!
//! Only what xbr needs is read of an answer, attribute by attribute, so an attribute of a newer kernel or an odd
//! driver cannot make the answer unreadable, and no answer is waited for that was thrown away undecoded.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::Reason;
use super::socket::NetlinkSocket;

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;

const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
const NLMSG_MIN_TYPE: u16 = libc::NLMSG_MIN_TYPE as u16;

/// How often a listing that changed under our hands is asked for again.
const ATTEMPTS: usize = 16;

/// A request: a message type, flags and a body.
pub struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Request {
    /// A request with an acknowledgement, which has this fixed part.
    pub fn new(kind: u16, fixed: &[u8]) -> Self {
        Self { kind, flags: (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16, body: fixed.to_vec() }
    }

    /// Asks for all there are instead.
    pub fn dump(mut self) -> Self {
        self.flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
        self
    }

    /// Asks to make what must not be there yet.
    pub fn create(mut self) -> Self {
        self.flags |= (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
        self
    }

    /// Appends an attribute, padded to four bytes.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = 4 + value.len() as u16;
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    /// Appends an attribute that holds a text, with its closing zero.
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// The attributes so far, to nest them in another request.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    fn encode(&self, sequence: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend(((HEADER + self.body.len()) as u32).to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(&self.body);
        bytes
    }
}

/// A message from the kernel, within the datagram that it came in.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The message type, such as `RTM_NEWLINK`.
    pub kind: u16,
    flags: u16,
    sequence: u32,
    /// All that follows the netlink header.
    pub body: &'a [u8],
}

/// The messages of a datagram. One that is cut short comes as `None` and is the last.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Option<Message<'_>>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = first_message(rest);
        let length = message.map_or(rest.len(), |message| (HEADER + message.body.len()).next_multiple_of(4));
        rest = rest.get(length..).unwrap_or_default();
        Some(message)
    })
}

fn first_message(bytes: &[u8]) -> Option<Message<'_>> {
    let length = u32_at(bytes, 0)? as usize;
    Some(Message {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        sequence: u32_at(bytes, 8)?,
        body: bytes.get(HEADER..length)?,
    })
}

/// The attributes of a message after its fixed part, or those within a nested attribute: (type, value).
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Flags in the type: nested, network byte order.
    const FLAGS: u16 = 0xc000;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u16_at(rest, 0)? as usize;
        let kind = u16_at(rest, 2)? & !FLAGS;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The number at this offset, in the byte order of the machine.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u16::from_ne_bytes(*chunk))
}

/// The number at this offset, in the byte order of the machine.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|chunk| u32::from_ne_bytes(*chunk))
}

/// The text of an attribute, without its closing zero.
pub fn text(value: &[u8]) -> Option<String> {
    let text = value.strip_suffix(&[0]).unwrap_or(value);
    String::from_utf8(text.to_vec()).ok()
}

/// A netlink socket for requests.
pub struct Channel {
    /// Held for the length of a request, so that two threads do not take each other's answers.
    inner: Mutex<Inner>,
}

struct Inner {
    socket: NetlinkSocket,
    sequence: u32,
}

impl Channel {
    /// Opens a channel to a part of the kernel, in the network namespace of the calling thread.
    pub fn open(protocol: SockProtocol) -> Result<Self, Reason> {
        let socket = NetlinkSocket::for_requests(protocol)?;
        Ok(Self { inner: Mutex::new(Inner { socket, sequence: 0 }) })
    }

    /// Sends a request and gives each message of its answer to `take`.
    pub fn ask(&self, request: &Request, mut take: impl FnMut(Message<'_>)) -> Result<(), Reason> {
        self.lock().exchange(request, &mut take).map(|_interrupted| ())
    }

    /// Sends a request for a listing, and makes a list of its answer with `make`.
    ///
    /// The kernel lists in several steps and says so when something changed in between (NLM_F_DUMP_INTR):
    /// then the list may lack what was there all the time, and is made anew.
    pub fn list<T>(
        &self,
        request: &Request,
        make: impl Fn(Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Reason> {
        for _attempt in 0..ATTEMPTS {
            let mut list = Vec::new();
            let interrupted = self.lock().exchange(request, &mut |message| list.extend(make(message)))?;
            if !interrupted {
                return Ok(list);
            }
        }
        Err(Reason::Answer("the list changes faster than it can be read"))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic within a request leaves at most unread answers, which the sequence number tells apart.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// One request and its answer; whether the answer is a listing that changed while it was made.
    fn exchange(&mut self, request: &Request, take: &mut dyn FnMut(Message<'_>)) -> Result<bool, Reason> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&request.encode(self.sequence))?;
        let mut interrupted = false;
        loop {
            for message in messages(self.socket.receive()?) {
                let message = message.ok_or(Reason::Answer("the kernel's answer was cut short"))?;
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= i32::from(message.flags) & libc::NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_ERROR | NLMSG_DONE => return verdict(message).map(|()| interrupted),
                    NLMSG_MIN_TYPE.. => take(message),
                    _ => {}
                }
            }
        }
    }
}

/// What the closing message of an answer says: a negative error number, or 0 and more for success.
fn verdict(message: Message<'_>) -> Result<(), Reason> {
    /// `struct nlmsgerr`: error number, header of the request.
    const ERROR: usize = 4 + HEADER;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let code = u32_at(message.body, 0).map_or(0, |code| code as i32);
    if code >= 0 {
        return Ok(());
    }
    // A closing NLMSG_DONE has its attributes right after the number (netlink_dump_done).
    let start = if message.kind == NLMSG_ERROR { ERROR } else { 4 };
    let has_words = i32::from(message.flags) & libc::NLM_F_ACK_TLVS != 0;
    let tail = if has_words { message.body.get(start..).unwrap_or_default() } else { &[] };
    let words =
        attributes(tail).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG).and_then(|(_, value)| text(value));
    let words = words.map(|words| words.trim_end_matches('.').to_string());
    Err(Reason::Kernel { errno: Errno::from_raw(-code), words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let request = Request::new(16, &[]).text(3, "eth0").attribute(4, &7u32.to_ne_bytes());
        let read: Vec<_> = attributes(&request.body).collect();
        assert_eq!(read, [(3, b"eth0\0".as_slice()), (4, &7u32.to_ne_bytes())]);
        assert_eq!(request.body.len(), 12 + 8);
    }

    #[test]
    fn a_datagram_falls_into_its_messages() {
        let one = Request::new(16, &[1, 2, 3, 4]).encode(7);
        let datagram = [one.clone(), one.clone()].concat();
        let read: Vec<_> =
            messages(&datagram).map(|message| message.map(|found| (found.kind, found.body))).collect();
        assert_eq!(read, [Some((16, [1, 2, 3, 4].as_slice())), Some((16, &[1, 2, 3, 4]))]);
        assert!(messages(&datagram[..datagram.len() - 1]).last().unwrap().is_none());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // A poor man's fuzzer: every prefix of nonsense, with every length field.
        for length in 0..64u8 {
            for fill in 0..=255u8 {
                let bytes: Vec<u8> = (0..length).map(|at| if at % 4 == 0 { fill } else { at & 1 }).collect();
                messages(&bytes).flatten().for_each(|message| drop(verdict(message)));
                assert!(attributes(&bytes).count() <= 16);
            }
        }
    }
}
