//! Probes for loops: sending them, and noting where one came back. An array's element and no event: a storm that has used up the events of its port hides nothing.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::bpf_clone_redirect,
    programs::TcContext,
};
use bridge_common::{Packet, PortId, Ports as _, maps::OWN_TAG, probe};

use crate::{
    judged::Judged,
    maps::{PROBE, PROBED},
    packet::Copied,
    state::Tables,
    tc::{came_in, set_tag},
};

/// To be called for what was refused because its source is the host. See [`crate::judge`] for why it is so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_probed_buffer(skb: *mut __sk_buff, judged: *mut Judged) -> u32 {
    note(&Copied::of_buffer(skb), judged)
}

/// As above, in XDP.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn xbr_probed_window(xdp: *mut xdp_md, judged: *mut Judged) -> u32 {
    note(&Copied::of_window(xdp), judged)
}

#[inline(always)]
fn note(packet: &impl Packet, judged: *mut Judged) -> u32 {
    // SAFETY: the verifier sees to it that a pointer that is not null points to as many bytes as its type has.
    let (Some(judged), Some(tables), Some(&wanted)) =
        (unsafe { judged.as_ref() }, Tables::open(), PROBE.get(0))
    else {
        return 0;
    };
    if wanted == 0 {
        return 0;
    }
    let ingress = judged.ingress();
    let vlan = if tables.config().filters_vlans() { own_vlan(&tables, judged, ingress) } else { 0 };
    if probe::nonce(packet, vlan) == Some(wanted)
        && let Some(seen) = PROBED.get_ptr_mut(ingress.index())
    {
        // SAFETY: an aligned word of an array element.
        unsafe { seen.write_volatile(wanted) };
    }
    0
}

/// The VLAN that the frame would have been of.
#[inline(always)]
fn own_vlan(tables: &Tables, judged: &Judged, ingress: PortId) -> u16 {
    match judged.frame().tag.vid() {
        0 => tables.port(ingress).map_or(0, |port| port.flags.pvid()),
        vid => vid,
    }
}

/// Sends the frame out of the context's device, as if it were bridged there: the controller runs it by `BPF_PROG_TEST_RUN`, which takes no
/// privilege beyond those that loading it took. 0 if the device took the frame.
#[inline(always)]
pub fn send(ctx: &TcContext) -> i32 {
    // What the host's program is to let through: the frame is no flood of the host's, and stays out of its VLANs and limits.
    let port = came_in(ctx);
    set_tag(ctx, if port.is_some_and(|(id, _)| id == PortId::UPLINK) { OWN_TAG } else { 0 });
    // SAFETY: the kernel's context is valid for the length of the program, and no pointer into the frame is kept.
    unsafe { bpf_clone_redirect(ctx.skb.skb, (*ctx.skb.skb).ifindex, 0) as i32 }
}
