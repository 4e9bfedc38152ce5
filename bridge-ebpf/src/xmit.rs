//! Losses behind the devmap: a device that nobody has open, or whose ring is full, drops what XDP redirected
//! to it, and the tracepoint is the only witness (`bq_xmit_all`).

use core::ffi::c_void;

use aya_ebpf::{helpers::bpf_probe_read_kernel, programs::RawTracePointContext};

use crate::{account, maps::NET_OFFSETS, state::Tables};

/// Counts the frames that `to_dev` did not take. The tracepoint is the machine's, so devices of other network
/// namespaces, whose indexes may equal ours, are passed over.
#[inline(always)]
pub fn count_lost(ctx: &RawTracePointContext) {
    // TP_PROTO(from_dev, to_dev, sent, drops, err)
    let device: *const c_void = ctx.arg(1);
    let drops: i32 = ctx.arg(3);
    let offsets = NET_OFFSETS.load();
    if drops <= 0 || offsets.namespace == 0 {
        return;
    }
    let Some(namespace) = read::<*const c_void>(device, offsets.device_net)
        .and_then(|net| read::<u64>(net, offsets.net_cookie))
    else {
        return;
    };
    if namespace != offsets.namespace {
        return;
    }
    let Some(ifindex) = read::<u32>(device, offsets.device_ifindex) else { return };
    if let Some((port, _)) = Tables::open().and_then(|tables| tables.came_in(ifindex)) {
        account::refused_by_device(port, drops as u64);
    }
}

/// Reads a member of a kernel structure.
#[inline(always)]
fn read<T>(base: *const c_void, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address and fails where there is nothing.
    unsafe { bpf_probe_read_kernel(base.cast::<u8>().wrapping_add(offset as usize).cast()) }.ok()
}
