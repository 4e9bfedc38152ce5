//! What will be done, checked before anything is.

use anyhow::Result;

use super::{
    args::{self, Args},
    device::Facts,
    generator,
    stream::{Stream, assign},
};
use crate::{Mac, Namespace, bench::Refusal};

/// Of Ethernet header and FCS, which an MTU does not count.
const AROUND: u32 = 18;

/// A measurement that nothing speaks against.
pub struct Plan {
    /// Ours, with the senders and the switch's ports.
    pub ns: Namespace,
    /// The sink's.
    pub sink_ns: Namespace,
    /// CPUs that send.
    pub cpus: Vec<usize>,
}

impl Plan {
    /// Refuses whatever can be refused.
    pub fn make(args: &Args) -> Result<Plan> {
        args.check()?;
        if !nix::unistd::geteuid().is_root() {
            return Err(Refusal::NotRoot.into());
        }
        generator::check(&[])?;
        let cpus = args.cpus.as_deref().map_or_else(|| Ok(generator::cpus()), args::cpus)?;
        generator::check(&cpus)?;
        let ns = Namespace::current()?;
        let sink_ns = match &args.sink_netns {
            Some(name) => Namespace::open(name).map_err(|_| Refusal::NoNamespace(name.clone()))?,
            None => ns.clone(),
        };
        let plan = Plan { ns, sink_ns, cpus };
        plan.check_devices(args)?;
        Ok(plan)
    }

    fn check_devices(&self, args: &Args) -> Result<()> {
        let longest = args.size.iter().copied().max().unwrap_or_default();
        let ours = args.dev.iter().chain(&args.ports).map(|device| (&self.ns, device));
        for (ns, device) in ours.chain([(&self.sink_ns, &args.sink)]) {
            let facts = Facts::of(ns, device)?;
            if let Some(why) = facts.used().filter(|_| !args.force) {
                return Err(Refusal::InUse { device: device.clone(), why }.into());
            }
            if longest > facts.mtu + AROUND {
                let (device, mtu) = (device.clone(), facts.mtu);
                return Err(Refusal::Mtu { device, size: longest, mtu }.into());
            }
        }
        Ok(())
    }

    /// Who sends what, in frames of this length.
    pub fn streams(&self, args: &Args, size: u32) -> Vec<Stream> {
        let (clone, burst) = if args.several_stations() { (0, 1) } else { (64, 8) };
        let stream = |(cpu, device): (usize, String)| {
            let number = args.dev.iter().position(|name| *name == device).unwrap_or_default();
            let (sources, destinations) = (sources(number, args), self.destinations(args));
            let (clone, burst) = (args.clone.unwrap_or(clone), args.burst.unwrap_or(burst));
            Stream { device, cpu, sources, destinations, size, clone, burst }
        };
        assign(&args.dev, &self.cpus).into_iter().map(stream).collect()
    }

    /// The stations behind the sink.
    pub fn destinations(&self, args: &Args) -> (Mac, u32) {
        (Mac([2, 0x78, 0x62, 0xff, 0, 0]), args.dst_macs)
    }
}

/// The stations behind sender number `device`: others than behind any other, or they would move from port to port.
pub fn sources(device: usize, args: &Args) -> (Mac, u32) {
    (Mac([2, 0x78, 0x62, device as u8, 0, 0]), args.src_macs)
}
