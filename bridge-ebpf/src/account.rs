//! Counting and reporting.

use bridge_common::{
    DropReason, FdbEvent, FdbEventKind, FdbKey, PortCounters, PortId, SlowReason, event::EVENTS_PER_SECOND,
    forward::Report, frame::Segments, vlan::VlanCounters,
};

use crate::maps::{COUNTERS, EVENT_BUDGET, EVENTS, VLAN_COUNTERS};

#[inline(always)]
fn counters(port: PortId) -> Option<&'static mut PortCounters> {
    // SAFETY: this CPU's own share, which no other CPU writes; BPF programs of one CPU do not nest here
    // except a clone's egress, which holds no reference across the call.
    COUNTERS.get_ptr_mut(port.index()).map(|counters| unsafe { &mut *counters })
}

/// A frame came in.
#[inline(always)]
pub fn received(port: PortId, frames: &Segments) {
    if let Some(counters) = counters(port) {
        counters.rx_packets += frames.packets;
        counters.rx_bytes += frames.bytes;
    }
}

/// A frame, or a copy of one, went out.
#[inline(always)]
pub fn sent(port: PortId, frames: &Segments) {
    if let Some(counters) = counters(port) {
        counters.tx_packets += frames.packets;
        counters.tx_bytes += frames.bytes;
    }
}

/// A frame, or a copy of one, went nowhere. Never inlined: it is called from many places, and its locals need not lie on every stack.
#[inline(never)]
pub fn dropped(port: PortId, reason: DropReason, frames: &Segments) {
    if let Some(drops) = counters(port).and_then(|counters| counters.drops.get_mut(reason as usize)) {
        *drops += frames.packets;
    }
}

#[inline(always)]
fn vlan_counters(vlan: u16) -> Option<&'static mut VlanCounters> {
    // SAFETY: as above.
    VLAN_COUNTERS.get_ptr_mut(vlan as u32).map(|counters| unsafe { &mut *counters })
}

/// A frame came in that is of this VLAN; 0 is none.
#[inline(always)]
pub fn received_in(vlan: u16, frames: &Segments) {
    if vlan != 0
        && let Some(counters) = vlan_counters(vlan)
    {
        counters.rx_packets += frames.packets;
        counters.rx_bytes += frames.bytes;
    }
}

/// A frame of this VLAN, or a copy of one, went out.
#[inline(always)]
pub fn sent_in(vlan: u16, frames: &Segments) {
    if vlan != 0
        && let Some(counters) = vlan_counters(vlan)
    {
        counters.tx_packets += frames.packets;
        counters.tx_bytes += frames.bytes;
    }
}

/// XDP leaves a frame to TC.
#[inline(always)]
pub fn slowed(port: PortId, reason: SlowReason) {
    if let Some(slow) = counters(port).and_then(|counters| counters.slow.get_mut(reason as usize)) {
        *slow += 1;
    }
}

/// A device did not take what XDP redirected to it.
#[inline(always)]
pub fn refused_by_device(port: PortId, frames: u64) {
    if let Some(counters) = counters(port) {
        counters.device_refused += frames;
    }
}

/// A request was answered for a neighbour.
#[inline(always)]
pub fn answered(port: PortId) {
    if let Some(counters) = counters(port) {
        counters.neigh_answered += 1;
    }
}

/// A station was learned, moved or refused.
#[inline(always)]
pub fn reported(report: &Report, key: &FdbKey, port: PortId, now: u64) {
    let Some(counters) = counters(port) else { return };
    match report.kind {
        FdbEventKind::Learned => counters.learned += 1,
        FdbEventKind::Moved => counters.moved += 1,
        FdbEventKind::RefusedFull => counters.refused_full += 1,
        FdbEventKind::RefusedStatic => counters.refused_static += 1,
        FdbEventKind::RefusedQuota => counters.refused_quota += 1,
        FdbEventKind::RefusedFlap => counters.refused_flap += 1,
        // A drop has its counter.
        FdbEventKind::Bpdu => {}
    }
    if !within_budget(port, report.kind, now) {
        counters.events_suppressed += 1;
        return;
    }
    let event = FdbEvent { time: now, key: *key, kind: report.kind as u32, port, from: report.from };
    if EVENTS.output::<FdbEvent>(&event, 0).is_err() {
        counters.events_lost += 1;
    }
}

/// Two CPUs may both take the last of a budget; it is a budget, not a promise.
#[inline(always)]
fn within_budget(port: PortId, kind: FdbEventKind, now: u64) -> bool {
    let Some(budget) = EVENT_BUDGET.get_ptr_mut(port.index()) else { return false };
    let second = now / 1_000_000_000;
    // SAFETY: aligned words of an array element.
    unsafe {
        if (*budget).second != second {
            (*budget).second = second;
            (*budget).used = 0;
            (*budget).refusals = 0;
        }
        if kind.is_refusal() {
            (*budget).refusals += 1;
            if (*budget).refusals > 1 {
                return false;
            }
        }
        (*budget).used += 1;
        (*budget).used <= EVENTS_PER_SECOND as u64
    }
}
