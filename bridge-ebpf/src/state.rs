//! The bridge's row: see [`bridge_common::state`].

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use bridge_common::{
    Config, Port, PortId, Ports,
    capture::Capture,
    port::MAX_PORTS,
    state::{State, is_at_place, place_of, port_at_place},
};

use crate::{
    atomic,
    maps::{CLOCK, PORT_OF, STATE},
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

    /// The port of a device. A number that is always written, until the end: see [`bridge_common::Verdict::Flood`].
    #[inline(always)]
    pub fn port_of(&self, ifindex: u32) -> Option<PortId> {
        const NONE: u32 = u32::MAX;
        let mut port = NONE;
        // SAFETY: one aligned word of an array element, and there are so many places.
        let word =
            unsafe { (&raw const (*self.0).port_at).cast::<u64>().add(place_of(ifindex)).read_volatile() };
        if is_at_place(word, ifindex) {
            port = port_at_place(word);
        // SAFETY: one aligned word of an element.
        } else if let Some(number) = unsafe { PORT_OF.get(ifindex) } {
            port = *number;
        }
        if port == NONE { None } else { Some(PortId(port as u16)) }
    }
}

impl Ports for Tables {
    /// By the number's low byte, which is all of it ([`MAX_PORTS`]): what LLVM learned from a comparison with the end of the array, the verifier
    /// would not know of a copy of the number.
    #[inline(always)]
    fn port(&self, id: PortId) -> Option<Port> {
        const { assert!(MAX_PORTS == 256) };
        // SAFETY: plain numbers in an array element, and there are so many ports. A port's word is read at once.
        Some(unsafe { (&raw const (*self.0).ports).cast::<Port>().add((id.0 & 0xff) as usize).read() })
    }
}
