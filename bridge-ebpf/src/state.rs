//! The bridge's row: see [`bridge_common::state`].

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use bridge_common::{
    Config, Port, PortId, Ports,
    capture::Capture,
    state::{Device, State, place_of},
};

use crate::{
    atomic,
    maps::{CLOCK, PORT_OF, PORTS, STATE},
};

/// The BPF maps, as the tables that the decision asks. It has the row at hand, which is looked up when it is made.
#[derive(Clone, Copy)]
pub struct Tables(*mut State);

/// The moment of a frame.
#[derive(Clone, Copy)]
pub struct Moment {
    /// In nanoseconds of the FDB's clock.
    pub now: u64,
    /// The generation of the FDB: see [`bridge_common::recent`].
    pub generation: u64,
}

impl Tables {
    /// `None` never comes: an array has its elements.
    #[inline(always)]
    pub fn open() -> Option<Self> {
        STATE.get_ptr_mut(0).map(Self)
    }

    /// The settings.
    #[inline(always)]
    pub fn config(&self) -> &'static Config {
        // SAFETY: part of an array's element, which is there for as long as the programs are. Each word is read by itself.
        unsafe { &(*self.0).config }
    }

    /// Whose frames are shown.
    #[inline(always)]
    pub fn capture(&self) -> &'static Capture {
        // SAFETY: as above.
        unsafe { &(*self.0).capture }
    }

    /// The FDB's clock. Coarse: it costs a read where the fine one asks the hardware, and ages are in seconds. It only moves on with the
    /// kernel's tick, which is a word that costs no call (`do_misc_fixups` puts the load in place of `bpf_jiffies64`), so it is asked once for each.
    #[inline(always)]
    pub fn moment(&self) -> Moment {
        let state = self.0;
        // SAFETY: aligned words of an array element. Of two CPUs that write, both write the same time, or one a tick more.
        unsafe {
            let generation = (&raw const (*state).generation).read_volatile();
            let (fixed, tick) = (CLOCK.load(), bpf_jiffies64());
            if fixed != 0 {
                return Moment { now: fixed, generation };
            }
            if (&raw const (*state).tick).read_volatile() == tick {
                return Moment { now: (&raw const (*state).now).read_volatile(), generation };
            }
            let now = bpf_ktime_get_coarse_ns();
            (&raw mut (*state).now).write_volatile(now);
            (&raw mut (*state).tick).write_volatile(tick);
            Moment { now, generation }
        }
    }

    /// Ends the generation, after an entry was changed.
    #[inline(always)]
    pub fn end_generation(&self) {
        // SAFETY: as above.
        unsafe { atomic::add_last(&raw mut (*self.0).generation, 1) };
    }

    /// The port of a device, and what is true of it.
    #[inline(always)]
    pub fn came_in(&self, ifindex: u32) -> Option<(PortId, Port)> {
        // SAFETY: there are so many places, and these are aligned words of an array element.
        let (mut device, again) = unsafe {
            let place = (&raw const (*self.0).devices).cast::<Device>().add(place_of(ifindex));
            let (whose, facts) = (&raw const (*place).whose, &raw const (*place).facts);
            let device = Device { whose: whose.read_volatile(), facts: facts.read_volatile() };
            (device, whose.read_volatile())
        };
        if !device.is(ifindex) || again != device.whose {
            let whose = xbr_whose(ifindex);
            device = Device { whose, facts: xbr_facts(whose) };
        }
        if device.whose == 0 { None } else { Some((device.id(), device.port())) }
    }
}

/// [`Device::whose`], of a device without a place, or 0. A function by itself, as is the next: what it returns is any number to the verifier, as
/// is what a place says, and it need not walk all that follows for each. See [`crate::judge`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_whose(ifindex: u32) -> u64 {
    // SAFETY: one aligned word of an element.
    match unsafe { PORT_OF.get(ifindex) } {
        Some(number) => Device::of(PortId(*number as u16), &Port { ifindex, ..Port::NONE }).whose,
        None => 0,
    }
}

/// [`Device::facts`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_facts(whose: u64) -> u64 {
    let id = Device { whose, facts: 0 }.id();
    PORTS.get(id.index()).map_or(0, |port| Device::of(id, port).facts)
}

impl Ports for Tables {
    /// By a look-up, where the row could have them too: to read a place that depends on a number, the verifier wants to know that number on
    /// each way there (`mark_chain_precision`), of which there are many by then, and 6.1 would walk twice as much.
    #[inline(always)]
    fn port(&self, id: PortId) -> Option<Port> {
        PORTS.get(id.index()).copied()
    }
}
