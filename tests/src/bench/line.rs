//! Stations that talk TCP through one of several switches that stand at once.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::{
    Options,
    subject::{Running, Subject},
};
use crate::{GuestKind, Node, Segment, bulk, on_processor, processors};

/// Who sends to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// Guest 1 to guest 2.
    Guests,
    /// Guest 1 to the host.
    ToHost,
    /// The host to guest 1.
    FromHost,
}

/// What each part of a transfer has a processor of its own for, where there are so many: both ends, and what stands for their vhost.
/// Where there are two, each end has one with its relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Who sends, and what carries its frames from the socket to the switch and on to the other's device or relay.
    Sender,
    /// Who receives.
    Receiver,
    SendersRelay,
    ReceiversRelay,
}

impl Part {
    /// Its processor.
    pub fn processor(self) -> usize {
        let all = processors();
        all[self as usize % all.len()]
    }
}

/// A segment of its own with a switch, which stays.
pub struct Line {
    segment: Segment,
    running: Running,
    ends: Ends,
}

impl Line {
    /// Two guests of a kind, the host and the outside.
    #[track_caller]
    pub fn set(options: &Options, subject: &Subject, kind: GuestKind, ends: Ends) -> Self {
        let mut segment = Segment::builder().guests(2, kind).build();
        segment.make_taps();
        segment
            .host()
            .ns
            .ip_batch(&segment.taps().map(|tap| format!("link set {tap} up")).collect::<Vec<_>>());
        let relays = if ends == Ends::FromHost {
            [Part::ReceiversRelay, Part::SendersRelay]
        } else {
            [Part::SendersRelay, Part::ReceiversRelay]
        };
        for (number, relay) in (1..).zip(relays) {
            on_processor(relay.processor(), || segment.plug(number));
        }
        segment.settle();
        for node in segment.nodes() {
            // A connection that had to wait for its turn goes on as it was.
            node.ns.sysctl("net/ipv4/tcp_slow_start_after_idle", "0");
        }
        let running = subject.start(&options.xbr, &segment);
        Self { segment, running, ends }
    }

    fn nodes(&self) -> [&Node; 2] {
        let (host, one, two) = (self.segment.host(), self.segment.guest(1), self.segment.guest(2));
        match self.ends {
            Ends::Guests => [one, two],
            Ends::ToHost => [one, host],
            Ends::FromHost => [host, one],
        }
    }

    /// From the one end to the other.
    pub fn connect(&self) -> io::Result<Connection> {
        let [from, to] = self.nodes();
        let listener = to.ns.run(|| TcpListener::bind((to.v4, 0)))?;
        let address = listener.local_addr()?;
        let stream = from.ns.run(|| TcpStream::connect(address))?;
        let (accepted, _) = listener.accept()?;
        let serving =
            on_processor(Part::Receiver.processor(), || std::thread::spawn(move || bulk::serve(accepted)));
        Ok(Connection { stream: Some(stream), serving: Some(serving) })
    }

    /// Bytes that the switch says it has taken in from the sender and given out to the receiver, the lesser of both.
    #[track_caller]
    pub fn carried(&self) -> u64 {
        let host = &self.segment.host().ns;
        let (from, to) = match self.ends {
            Ends::Guests => ("vm1", "vm2"),
            Ends::ToHost => ("vm1", "host"),
            Ends::FromHost => ("host", "vm1"),
        };
        let [[came, _], [_, went]] = [from, to].map(|port| self.running.bytes(host, port));
        came.min(went)
    }

    /// Ends the switch.
    #[track_caller]
    pub fn stop(self) {
        self.running.stop();
    }
}

/// Ends with what serves it when dropped.
pub struct Connection {
    stream: Option<TcpStream>,
    serving: Option<JoinHandle<io::Result<()>>>,
}

impl Connection {
    /// The sender's end.
    pub fn stream(&self) -> &TcpStream {
        self.stream.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stream = None;
        // What went wrong there, the sender's end has told.
        let _ = self.serving.take().map(JoinHandle::join);
    }
}
