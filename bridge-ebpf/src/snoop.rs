//! Showing frames whole to the controller: see `bridge_common::snoop`.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_skb_load_bytes};
use bridge_common::{
    PortId,
    frame::HEADER,
    snoop::{KEPT, SNOOPS_PER_SECOND, Snoop, SnoopBudget, SnoopHead, budget},
};

use crate::{
    atomic,
    maps::{SNOOP_BUDGET, SNOOPED},
};

/// Shows a frame to the controller, within its port's budget. Never inlined; see [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_snoop(skb: *mut __sk_buff, port: u32, vlan: u32, kind: u32, now: u64) -> u32 {
    let Some(budget) = SNOOP_BUDGET.get_ptr_mut(budget(PortId(port as u16), kind)) else { return 0 };
    if !spend(budget, now) {
        return 0;
    }
    // SAFETY: an aligned word of an array element; the kernel's context is valid for the length of the program.
    let (lost, length) = unsafe { (&raw mut (*budget).lost, (*skb).len) };
    let Some(mut place) = SNOOPED.reserve::<Snoop>(0) else {
        // SAFETY: as above.
        unsafe { atomic::add(lost, 1) };
        return 0;
    };
    let head =
        SnoopHead { time: now, length, kind, port: PortId(port as u16), vlan: vlan as u16, padding: 0 };
    let record = place.as_mut_ptr();
    let kept = if length > KEPT as u32 { KEPT as u32 } else { length };
    // The verifier wants to see that there is something, and the ring wants to be told in any case.
    // SAFETY: the place is as long as its type, and so are the bytes.
    let failed = kept < HEADER
        || unsafe {
            (&raw mut (*record).head).write(head);
            bpf_skb_load_bytes(skb.cast(), 0, (&raw mut (*record).bytes).cast(), kept) != 0
        };
    if failed {
        place.discard(0);
        // SAFETY: as above.
        unsafe { atomic::add(lost, 1) };
        return 0;
    }
    place.submit(0);
    // SAFETY: as above.
    unsafe { atomic::add(&raw mut (*budget).shown, 1) };
    0
}

/// Whether the port may have one more shown in this second. Two CPUs may both take the last; it is a budget, not a promise.
#[inline(always)]
fn spend(budget: *mut SnoopBudget, now: u64) -> bool {
    let second = now / 1_000_000_000;
    // SAFETY: aligned words of an array element.
    unsafe {
        if (*budget).second != second {
            (*budget).second = second;
            (*budget).used = 0;
        }
        (*budget).used += 1;
        if (*budget).used <= SNOOPS_PER_SECOND {
            return true;
        }
        atomic::add(&raw mut (*budget).suppressed, 1);
        false
    }
}
