//! Neighbours: learned from what is flooded, and answered for. In a program of its own, so that nothing else pays for it, and in functions
//! that are verified by themselves ([`crate::judge`]).

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST},
    helpers::{bpf_clone_redirect, bpf_skb_store_bytes},
    programs::TcContext,
};
use bridge_common::{
    Packet as _, PortFlags, PortId, Ports as _,
    capture::{Path, Sight},
    neigh::{
        ARP_ANSWER, Heard, NEIGHBOURS_OF_GUEST, NEIGHBOURS_OF_UPLINK, Neighbour, NeighbourKey, Outcome,
        advertisement, arp_answer, link_option, outcome,
    },
    vlan::Retag,
};

use crate::{
    account, atomic, capture,
    judge::sent,
    judged::Judged,
    maps::{HEARD, JUDGED, NEIGH_USED, NEIGHBOURS},
    packet::Copied,
    state::Tables,
    tag::aside,
    tc::{flood, no_port, route, set_tag},
};

/// Whether a copy is not for a port of this word, because it was answered, or asks nobody there.
#[inline(always)]
pub fn is_withheld(skb: *mut __sk_buff, port: PortFlags) -> bool {
    // SAFETY: the kernel's context; this word is ours between our programs.
    port.has(PortFlags::NEIGH_SUPPRESS) && unsafe { (*skb).cb[1] } != 0
}

/// A frame for many, on its way to the program that floods it.
#[inline(always)]
pub fn look(ctx: &TcContext) -> i32 {
    let (Some(judged), Some(heard)) = (JUDGED.get_ptr_mut(0), HEARD.get_ptr_mut(0)) else {
        return no_port(ctx);
    };
    // SAFETY: this CPU's own, which the program that called this one has written. Nothing of ours that decides runs before it is read again.
    let judged = unsafe { &mut *judged };
    let withheld = withhold(ctx, judged, heard);
    // SAFETY: as above.
    unsafe { (*ctx.skb.skb).cb[1] = withheld as u32 };
    flood(ctx, judged)
}

/// Learns from a frame and answers it. True if ports with `neigh_suppress` are to have no copy.
#[inline(always)]
fn withhold(ctx: &TcContext, judged: &mut Judged, heard: *mut Heard) -> bool {
    let skb = ctx.skb.skb;
    let bits = xbr_hear(skb, judged, heard);
    if bits & Heard::CLAIMS != 0 && judged.tells_where() {
        xbr_claim(heard, judged);
    }
    match if bits == 0 { FLOOD } else { xbr_outcome(heard, judged) } {
        FLOOD => false,
        WITHHOLD => true,
        // What could not be answered is asked for as ever.
        neighbour => xbr_answer(skb, heard, judged, neighbour) != 0,
    }
}

/// Reads what a frame says of neighbours, and returns its [`Heard::bits`]; 0 for nothing.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_hear(skb: *mut __sk_buff, judged: *mut Judged, heard: *mut Heard) -> u32 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    let (Some(judged), Some(heard), Some(tables)) =
        (unsafe { judged.as_ref() }, unsafe { heard.as_mut() }, Tables::open())
    else {
        return 0;
    };
    let (ctx, src) = (TcContext::new(skb), judged.frame().src.mac());
    match Heard::read(&Copied::of_buffer(skb), src, aside(&ctx).is_some(), tables.config().filters_vlans()) {
        Some(read) => {
            *heard = read;
            read.bits
        }
        None => 0,
    }
}

const FLOOD: u64 = 0;
const WITHHOLD: u64 = 1;

/// [`FLOOD`], [`WITHHOLD`], or [`Neighbour::place`] of the one to answer for, which is neither.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_outcome(heard: *mut Heard, judged: *mut Judged) -> u64 {
    // SAFETY: as above.
    let (Some(heard), Some(judged), Some(tables)) =
        (unsafe { heard.as_ref() }, unsafe { judged.as_ref() }, Tables::open())
    else {
        return FLOOD;
    };
    let (ingress, vlan) = (judged.ingress(), judged.vlan());
    let (from, now) = (judged.from(), judged.now());
    let known = known(NEIGHBOURS.get_ptr(heard.key(vlan, heard.target)));
    match outcome(heard, &known, (ingress, from), (vlan, now), tables.config(), &tables) {
        Outcome::Flood => FLOOD,
        Outcome::Withhold => WITHHOLD,
        Outcome::Answer => known.place,
    }
}

/// Each word once: an element may be freed and reused while we read.
#[inline(always)]
fn known(entry: Option<*const Neighbour>) -> Neighbour {
    match entry {
        // SAFETY: aligned words of an element.
        Some(entry) => unsafe {
            Neighbour {
                place: (&raw const (*entry).place).read_volatile(),
                last_seen: (&raw const (*entry).last_seen).read_volatile(),
                doubted: (&raw const (*entry).doubted).read_volatile(),
            }
        },
        None => Neighbour::NOBODY,
    }
}

/// Writes down that the sender says to have an address, if that is believed.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_claim(heard: *mut Heard, judged: *mut Judged) -> u32 {
    // SAFETY: as above.
    let (Some(heard), Some(judged)) = (unsafe { heard.as_ref() }, unsafe { judged.as_ref() }) else {
        return 0;
    };
    let Some(tables) = Tables::open() else { return 0 };
    let (port, vlan, now) = (judged.ingress(), judged.vlan(), judged.now());
    let key = heard.key(vlan, heard.sender);
    let entry = NEIGHBOURS.get_ptr_mut(key);
    let old = known(entry.map(|entry| entry.cast_const()));
    let alive = !old.is_nobody() && old.is_alive(vlan, now, tables.config(), &tables);
    let new = Neighbour::after_claim(if alive { old } else { Neighbour::NOBODY }, heard, port, now);
    if new.is_nobody() {
        return 0;
    }
    match entry {
        Some(entry) => overwrite(entry, &old, &new),
        None => insert(&key, &new),
    }
    0
}

#[inline(always)]
fn overwrite(entry: *mut Neighbour, old: &Neighbour, new: &Neighbour) {
    if old.port() != new.port() {
        if !has_room(new.port()) {
            return;
        }
        count(old.port(), -1);
        count(new.port(), 1);
    }
    // SAFETY: aligned words of a live element; the place last, so that nobody sees it with another's times.
    unsafe {
        (&raw mut (*entry).doubted).write_volatile(new.doubted);
        (&raw mut (*entry).last_seen).write_volatile(new.last_seen);
        (&raw mut (*entry).place).write_volatile(new.place);
    }
}

#[inline(always)]
fn insert(key: &NeighbourKey, new: &Neighbour) {
    if has_room(new.port()) && NEIGHBOURS.insert(key, new, BPF_NOEXIST as u64).is_ok() {
        count(new.port(), 1);
    }
}

/// No guest takes the table from the others.
#[inline(always)]
fn has_room(port: PortId) -> bool {
    let most = if port.is_guest() { NEIGHBOURS_OF_GUEST } else { NEIGHBOURS_OF_UPLINK };
    NEIGH_USED.get(port.index()).is_some_and(|used| (*used as i64) < most as i64)
}

#[inline(always)]
fn count(port: PortId, change: i64) {
    if let Some(used) = NEIGH_USED.get_ptr_mut(port.index()) {
        // SAFETY: an aligned word of an array element.
        unsafe { atomic::add(used, change as u64) };
    }
}

/// Sends the answer back where the request came in: the request's own bytes, changed for as long as it takes to copy them. 1 if it left.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_answer(skb: *mut __sk_buff, heard: *mut Heard, judged: *mut Judged, place: u64) -> u32 {
    // SAFETY: as above.
    let (Some(heard), Some(judged)) = (unsafe { heard.as_ref() }, unsafe { judged.as_mut() }) else {
        return 0;
    };
    let neighbour = Neighbour { place, ..Neighbour::NOBODY };
    let Some(addresses) = Copied::of_buffer(skb).load::<12>(0) else { return 0 };
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (heard.mac.0, neighbour.mac().0);
    store(skb, 0, &[a, b, c, d, e, f, g, h, i, j, k, l]);
    let done = match heard.family {
        4 => by_arp(skb, heard, judged, &neighbour),
        _ => by_nd(skb, heard, judged, &neighbour),
    };
    store(skb, 0, &addresses);
    done as u32
}

#[inline(never)]
fn by_arp(skb: *mut __sk_buff, heard: &Heard, judged: &mut Judged, neighbour: &Neighbour) -> bool {
    // The operation.
    let at = heard.at + 6;
    let Some(asked) = Copied::of_buffer(skb).load::<ARP_ANSWER>(at) else { return false };
    store(skb, at, &arp_answer(heard, neighbour.mac()));
    let done = back(&TcContext::new(skb), judged, neighbour.port());
    store(skb, at, &asked);
    done
}

#[inline(never)]
fn by_nd(skb: *mut __sk_buff, heard: &Heard, judged: &mut Judged, neighbour: &Neighbour) -> bool {
    let (source, destination, head, option) = (heard.at + 8, heard.at + 24, heard.at + 40, heard.at + 64);
    let packet = Copied::of_buffer(skb);
    let (Some(group), Some(asked)) = (packet.load::<16>(destination), packet.load::<8>(head)) else {
        return false;
    };
    let told = link_option(neighbour.mac(), true);
    store(skb, source, &heard.target);
    store(skb, destination, &heard.sender);
    store(skb, head, &advertisement(heard, &told, neighbour.is_router()));
    store(skb, option, &told);
    let done = back(&TcContext::new(skb), judged, neighbour.port());
    store(skb, source, &heard.sender);
    store(skb, destination, &group);
    store(skb, head, &asked);
    store(skb, option, &link_option(heard.mac, false));
    done
}

#[inline(always)]
fn store<const N: usize>(skb: *mut __sk_buff, at: u32, bytes: &[u8; N]) {
    // SAFETY: the context is the kernel's, which checks the bounds, and the bytes are so many.
    unsafe { bpf_skb_store_bytes(skb.cast(), at, bytes.as_ptr().cast(), N as u32, 0) };
}

/// A copy to where the frame came in.
#[inline(never)]
fn back(ctx: &TcContext, judged: &mut Judged, neighbour: PortId) -> bool {
    let ingress = judged.ingress();
    let Some(port) = Tables::open().and_then(|tables| tables.port(ingress)) else { return false };
    let flags = route(ctx, ingress);
    // SAFETY: the context is the kernel's; no pointer into the frame is kept across the call.
    let done = unsafe { bpf_clone_redirect(ctx.skb.skb, port.ifindex, flags) } == 0;
    set_tag(ctx, 0);
    if done {
        account::answered(ingress);
        sent(judged, ingress, port.flags, Retag::Keep);
        capture::show_buffer(ctx, Sight::forwarded(neighbour, ingress, Path::Tc));
    }
    done
}
