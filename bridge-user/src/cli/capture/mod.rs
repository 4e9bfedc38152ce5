//! `xbr capture`: what enters and leaves ports, by XDP and by TC alike, with what became of it.

mod sink;

use std::time::Duration;

use bridge_common::{Mac, capture::SNAPLEN_MAX, frame::ether};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::sink::Sink;
use super::{Common, controller, fdb, which};
use crate::{
    Error, Refusal, Result,
    capture::{Interfaces, Order},
    clock,
    control::{Frames, Reply, Request, client, protocol::CaptureOptions},
    datapath::{self, CaptureRings, CaptureSwitch},
    snapshot,
};

/// Records that were held back are looked at again after so long, and the rings at the latest.
const PAUSE: Duration = Duration::from_millis(5);
const LATEST: Duration = Duration::from_millis(200);

/// What to capture, and where it goes.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// The ports; host for the host
    #[arg(required = true, value_name = "PORT")]
    ports: Vec<String>,
    /// Write pcapng into this file, or to standard output with -; without it, print a line for each packet, with its time in UTC
    #[arg(short, long, value_name = "FILE")]
    write: Option<String>,
    /// End after so many packets
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Keep so many bytes of each packet
    #[arg(short, long, value_name = "BYTES", default_value_t = SNAPLEN_MAX,
        value_parser = clap::value_parser!(u32).range(14..=i64::from(SNAPLEN_MAX)))]
    snaplen: u32,
    /// Only packets from or to this address
    #[arg(long)]
    mac: Option<Mac>,
    /// Only packets whose outermost tag has this VLAN; 0 for untagged
    #[arg(long, value_name = "VID", value_parser = fdb::vlan)]
    vlan: Option<u16>,
    /// Only packets of this EtherType, behind tags: arp, ipv4, ipv6, lldp, or a number such as 0x88cc
    #[arg(long, value_name = "TYPE", value_parser = ether_type)]
    ethertype: Option<u16>,
}

fn ether_type(text: &str) -> Result<u16, String> {
    let number = match text {
        "ip" | "ipv4" => Some(ether::IPV4),
        "arp" => Some(ether::ARP),
        "ip6" | "ipv6" => Some(ether::IPV6),
        "lldp" => Some(0x88cc),
        text => match text.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
    };
    number.ok_or_else(|| "an EtherType is arp, ipv4, ipv6, lldp, or a number such as 0x88cc".into())
}

/// How a capture ended.
enum End {
    /// As it was to.
    Wanted,
    /// The controller hung up, or had something to say.
    Controller(Option<Reply>),
}

/// Captures until told to stop.
pub fn run(common: &Common, args: &CaptureArgs) -> Result<()> {
    sink::check(args)?;
    let bridge = which::bridge(common.bridge.as_ref())?;
    controller::block_on(async {
        // First of all: a signal that comes while the capture begins ends it well too.
        let mut signals = Signals::open()?;
        let mut frames =
            client::ask(bridge.name(), &Request::Capture(options(args))).await.map_err(no_controller)?;
        let talk =
            |source| controller::explain(client::Error::Talk { bridge: bridge.name().clone(), source });
        match frames.read::<Reply>().await.map_err(talk)? {
            Some(reply) => drop(controller::done(reply)?),
            None => return Err(gone(&bridge)),
        }
        let mut camera = Camera::open(common, args, &bridge)?;
        eprintln!("capturing on {}", args.ports.join(", "));
        let end = camera.film(&mut frames, &mut signals).await;
        let lost = camera.lost()?;
        eprintln!("{} packets captured, {lost} lost", camera.count);
        match end? {
            End::Wanted => Ok(()),
            End::Controller(Some(reply)) => controller::done(reply).map(drop),
            End::Controller(None) => Err(gone(&bridge)),
        }
    })
}

fn options(args: &CaptureArgs) -> CaptureOptions {
    CaptureOptions {
        ports: args.ports.clone(),
        snaplen: args.snaplen,
        mac: args.mac.map(|mac| mac.to_string()),
        vlan: args.vlan,
        ether_type: args.ethertype,
    }
}

/// Who asks for a capture has to be told that it takes a controller, where other verbs that only read take none.
fn no_controller(error: client::Error) -> Error {
    match &error {
        client::Error::NoController { bridge, source, .. }
            if source.kind() != std::io::ErrorKind::PermissionDenied =>
        {
            let message = format!("no controller is running for bridge {bridge}, and a capture takes one");
            Refusal::new(message, "start it with xbr run; it adopts the bridge without losing a frame").into()
        }
        _ => controller::explain(error),
    }
}

fn gone(bridge: &which::Bridge) -> Error {
    Error::Controller(format!("the controller of bridge {} is gone, and the capture with it", bridge.name()))
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn open() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(Error::io("watch for SIGINT"))?,
            terminate: signal(SignalKind::terminate()).map_err(Error::io("watch for SIGTERM"))?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// From the rings to the sink.
struct Camera<'a> {
    bridge: &'a which::Bridge,
    switch: CaptureSwitch,
    lost_before: u64,
    rings: CaptureRings,
    order: Order,
    interfaces: Interfaces,
    /// From the programs' clock to the time of day.
    epoch: Duration,
    sink: Sink,
    count: u64,
    most: u64,
}

impl<'a> Camera<'a> {
    fn open(common: &Common, args: &CaptureArgs, bridge: &'a which::Bridge) -> Result<Self> {
        let switch = CaptureSwitch::open(&bridge.pins)?;
        let lost_before = switch.unseen()?;
        let rings = CaptureRings::open(&bridge.pins).map_err(explain)?;
        let interfaces = Interfaces::new(args.ports.clone(), snapshot::names(&bridge.tables)?);
        // Last: a file that exists is not overwritten for nothing.
        let sink = Sink::open(args, common.json)?;
        let (order, epoch) = (Order::default(), clock::epoch());
        let most = args.count.unwrap_or(u64::MAX);
        Ok(Self { bridge, switch, lost_before, rings, order, interfaces, epoch, sink, count: 0, most })
    }

    async fn film(&mut self, frames: &mut Frames, signals: &mut Signals) -> Result<End> {
        loop {
            let patience = if self.order.is_holding() { PAUSE } else { LATEST };
            let end = tokio::select! {
                () = signals.any() => Some(End::Wanted),
                said = frames.read::<Reply>() => Some(End::Controller(said.ok().flatten())),
                ready = tokio::time::timeout(patience, self.rings.ready()) => match ready {
                    Ok(Err(error)) => return Err(Error::io("read the rings of the capture")(error)),
                    _ => None,
                },
            };
            self.develop(end.is_some())?;
            match end {
                Some(end) => return Ok(end),
                None if self.count >= self.most => return Ok(End::Wanted),
                None => {}
            }
        }
    }

    /// Empties the rings, and writes what is due.
    fn develop(&mut self, last: bool) -> Result<()> {
        let began = clock::monotonic();
        self.rings.take(self.order.held());
        let due = if last { self.order.release_all() } else { self.order.release(began) };
        for record in due {
            if self.count >= self.most {
                break;
            }
            if !self.interfaces.knows(&record) {
                self.interfaces.learn(snapshot::names(&self.bridge.tables)?);
            }
            if let Some(packet) = self.interfaces.packet(record, self.epoch) {
                self.sink.write(&packet)?;
                self.count += 1;
            }
        }
        self.sink.flush()
    }

    fn lost(&self) -> Result<u64> {
        Ok(self.switch.unseen()?.saturating_sub(self.lost_before))
    }
}

fn explain(error: datapath::Error) -> Error {
    match &error {
        datapath::Error::CaptureRings { errno: Some(libc::EACCES | libc::EPERM), .. } => {
            let hint = "it takes CAP_PERFMON, and CAP_IPC_LOCK for memory of this size: try again with sudo";
            Refusal::new(error.to_string(), hint).into()
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ether_types_by_name_and_number() {
        for (text, number) in
            [("arp", 0x0806), ("ip", 0x0800), ("ip6", 0x86dd), ("0x88CC", 0x88cc), ("2048", 0x0800)]
        {
            assert_eq!(ether_type(text), Ok(number), "{text}");
        }
        for text in ["", "0x", "70000", "-1", "ipx", "0x12345"] {
            assert!(ether_type(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_missing_controller_is_bad_input() {
        let source = std::io::ErrorKind::NotFound.into();
        let bridge = "xbr0".parse().unwrap();
        let error =
            no_controller(client::Error::NoController { bridge, path: "/run/xbr/xbr0.sock".into(), source });
        insta::assert_snapshot!(error, @r"
        no controller is running for bridge xbr0, and a capture takes one
        hint: start it with xbr run; it adopts the bridge without losing a frame
        ");
        assert_eq!(error.exit_code(), 2);
    }
}
