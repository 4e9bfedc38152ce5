//! The maps of what ports are allowed, as the decision asks them.

use bridge_common::{
    Address, Policies, PortId,
    policy::{Guards, Meter, Policy, Rate, Source, SourceKind},
};

use crate::{
    atomic,
    maps::{FORGOTTEN, LEARNED, METERS, POLICIES, SOURCES},
    state::Tables,
};

#[inline(always)]
fn policy(id: PortId) -> Option<&'static Policy> {
    POLICIES.get(id.index())
}

/// A port's limit and its bucket.
#[inline(always)]
fn bucket(id: PortId, meter: u32) -> Option<(&'static Rate, *mut u64)> {
    let meter = meter as usize;
    let rate = policy(id)?.rates.get(meter)?;
    let level = METERS.get_ptr_mut(id.index())?.cast::<u64>();
    // SAFETY: `meter` is below the number of them.
    rate.is_limit().then_some((rate, unsafe { level.add(meter) }))
}

impl Policies for Tables {
    #[inline(always)]
    fn guards(&self, id: PortId) -> Guards {
        policy(id).map_or(Guards::default(), |policy| policy.guards)
    }

    #[inline(always)]
    fn allows(&self, source: &Source) -> bool {
        SOURCES.get_ptr(source).is_some()
    }

    #[inline(always)]
    fn allows_mac(&self, id: PortId, mac: Address) -> bool {
        policy(id).is_some_and(|policy| policy.is_first_mac(mac))
            || xbr_is_listed(id.index(), SourceKind::Mac as u32, mac.word() >> 16) != 0
    }

    #[inline(always)]
    fn allows_v4(&self, id: PortId, address: u32) -> bool {
        policy(id).is_some_and(|policy| policy.is_first_v4(address))
            || xbr_is_listed(id.index(), SourceKind::V4 as u32, address.into()) != 0
    }

    #[inline(always)]
    fn has_room(&self, id: PortId) -> bool {
        xbr_has_room(id.index()) != 0
    }

    #[inline(always)]
    fn may(&self, id: PortId, meter: Meter, now: u64, units: u64) -> bool {
        xbr_may(id.index(), meter as u32, now, units) != 0
    }

    #[inline(always)]
    fn charge(&mut self, id: PortId, meter: Meter, now: u64, units: u64) {
        xbr_charge(id.index(), meter as u32, now, units);
    }
}

/// Whether a port may use an address of at most eight bytes. See [`crate::judge`] for why it is so; and an address that lay on the stack of
/// [`crate::looking`] would be zeroed there byte by byte, in aya's `memset`, for frames that need none of it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_is_listed(port: u32, kind: u32, address: u64) -> u32 {
    let [a, b, c, d, e, f, g, h] = address.to_ne_bytes();
    let address = [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0];
    SOURCES.get_ptr(Source { port: port as u16, kind: kind as u16, address }).is_some() as u32
}

// Never inlined, these: the frames of ports without limits are not to step over them. And of external linkage (see [`crate::judge`]): what they
// say is one unknown number to the verifier, where static ones were walked two hundred times, and what follows once for each of their ends.

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_has_room(port: u32) -> u32 {
    let (Some(policy), Some(learned), Some(forgotten)) =
        (POLICIES.get(port), LEARNED.get(port), FORGOTTEN.get(port))
    else {
        return 0;
    };
    // A station may be forgotten before its learning was counted: less than nothing is nothing.
    let count = learned.wrapping_sub(*forgotten) as i64;
    (count < policy.stations_max as i64) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_may(port: u32, meter: u32, now: u64, units: u64) -> u32 {
    match bucket(PortId(port as u16), meter) {
        // SAFETY: an aligned word of an array element.
        Some((rate, level)) => rate.after(unsafe { level.read_volatile() }, now, units).is_some() as u32,
        None => 1,
    }
}

/// Two CPUs that find a bucket full at the same time both start it anew, and one cost is lost: the limit is exact to a
/// frame for each CPU.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_charge(port: u32, meter: u32, now: u64, units: u64) -> u32 {
    let Some((rate, level)) = bucket(PortId(port as u16), meter) else { return 0 };
    let cost = rate.cost(units);
    // SAFETY: as above.
    unsafe {
        if level.read_volatile() > now {
            atomic::add(level, cost);
        } else {
            level.write_volatile(now.wrapping_add(cost));
        }
    }
    0
}
