//! Frames for groups: which ports they are for, and which of them the controller is shown. Off the path of every other frame.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_clone_redirect, programs::TcContext};
use bridge_common::{
    Groups, PortId, Ports as _,
    forward::Spread,
    multicast::{EVERYONE, GroupKey, Look, NOT_SHOWN, look as look_into},
    vlan::PortSet,
};

use crate::{
    judged::Judged,
    maps::{GROUP_SETS, GROUPS},
    packet::Copied,
    snoop::xbr_snoop,
    state::Tables,
    tc::{route, set_tag},
};

impl Groups for Tables {
    #[inline(always)]
    fn set(&self, key: &GroupKey) -> Option<u32> {
        // SAFETY: one aligned word of an element.
        GROUPS.get_ptr(key).map(|set| unsafe { set.read_volatile() })
    }

    #[inline(always)]
    fn has(&self, set: u32, port: PortId) -> bool {
        let (word, bit) = PortSet::place(port);
        let Some(set) = GROUP_SETS.get_ptr(set) else { return false };
        // SAFETY: an aligned word of an array element, and `word` is below 4.
        unsafe { (&raw const (*set).ports).cast::<u64>().add(word).read_volatile() & bit != 0 }
    }
}

/// The sets of ports that a frame for many is for. Shows the controller what that is to see.
#[inline(always)]
pub fn look(ctx: &TcContext, judged: &Judged, spread: Spread) -> u32 {
    let snoops = Tables::open().is_some_and(|tables| tables.config().snoops());
    if !snoops || !matches!(spread, Spread::Multicast) {
        return EVERYONE;
    }
    let (port, vlan) = (judged.ingress().index(), judged.vlan() as u32);
    let look = Look::from_word(xbr_look_for_group(ctx.skb.skb, port, vlan));
    if look.shown != NOT_SHOWN {
        xbr_snoop(ctx.skb.skb, port, vlan, look.shown, judged.now());
    }
    if look.own_query {
        ask_the_host(ctx);
    }
    look.sets
}

/// See [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xbr_look_for_group(skb: *mut __sk_buff, port: u32, vlan: u32) -> u64 {
    let Some(tables) = Tables::open() else { return (NOT_SHOWN as u64) << 32 };
    let packet = Copied::of_buffer(skb);
    look_into(&packet, PortId(port as u16), vlan as u16, tables.config().flags, &tables).to_word()
}

/// The bridge's own query leaves as a frame of the host, which would be the only one not to hear it.
#[inline(always)]
fn ask_the_host(ctx: &TcContext) {
    let Some(host) = Tables::open().and_then(|tables| tables.port(PortId::HOST)) else { return };
    let flags = route(ctx, PortId::HOST);
    // SAFETY: the context is the kernel's; no pointer into the frame is kept across the call. Should it fail, there is a next query.
    unsafe { bpf_clone_redirect(ctx.skb.skb, host.ifindex, flags) };
    set_tag(ctx, 0);
}
