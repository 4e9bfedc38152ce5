//! Changing a frame's tag.

use aya_ebpf::{
    helpers::{bpf_skb_vlan_pop, bpf_skb_vlan_push, bpf_xdp_adjust_head},
    programs::{TcContext, XdpContext},
};
use bridge_common::{Packet as _, frame::ether, vlan::Retag};

use crate::packet::{Buffer, Window};

/// A tag as it is: protocol in bits 16 to 31, TCI below. 0 is none.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Whole(u32);

impl Whole {
    pub const NONE: Self = Self(0);

    const fn new(protocol: u16, tci: u16) -> Self {
        Self((protocol as u32) << 16 | tci as u32)
    }

    /// The outermost tag of a frame, beside its bytes or in them.
    #[inline(always)]
    pub fn of(ctx: &TcContext) -> Self {
        if let Some(tci) = aside(ctx) {
            // SAFETY: the kernel's context is valid for the length of the program.
            let protocol = unsafe { (*ctx.skb.skb).vlan_proto } as u16;
            return Self::new(u16::from_be(protocol), tci);
        }
        match Buffer::new(ctx).load::<4>(12) {
            Some([p0, p1, t0, t1]) if ether::is_tag(u16::from_be_bytes([p0, p1])) => {
                Self::new(u16::from_be_bytes([p0, p1]), u16::from_be_bytes([t0, t1]))
            }
            _ => Self::NONE,
        }
    }

    /// What it is to become.
    #[inline(always)]
    pub const fn after(self, retag: Retag, vlan: u16) -> Self {
        match retag {
            Retag::Keep => self,
            Retag::Pop => Self::NONE,
            Retag::Push => Self::new(ether::VLAN, vlan),
            Retag::Rewrite => Self(self.0 & !0xfff | vlan as u32),
        }
    }

    /// Gives a frame that has `self` the tag `wanted`. False if the kernel did not.
    #[inline(always)]
    pub fn become_(self, wanted: Self, ctx: &TcContext) -> bool {
        self == wanted || (self == Self::NONE || pop(ctx)) && (wanted == Self::NONE || wanted.push(ctx))
    }

    #[inline(always)]
    fn push(self, ctx: &TcContext) -> bool {
        let protocol = ((self.0 >> 16) as u16).to_be();
        // SAFETY: the context is the kernel's; no pointer into the frame is kept across the call.
        unsafe { bpf_skb_vlan_push(ctx.skb.skb, protocol, self.0 as u16) == 0 }
    }
}

/// The TCI of a tag that the kernel keeps beside the frame's bytes.
#[inline(always)]
pub fn aside(ctx: &TcContext) -> Option<u16> {
    // SAFETY: as above.
    let (present, tci) = unsafe { ((*ctx.skb.skb).vlan_present, (*ctx.skb.skb).vlan_tci) };
    (present != 0).then_some(tci as u16)
}

/// Takes off the outermost tag. One behind it may then be beside the bytes.
#[inline(always)]
fn pop(ctx: &TcContext) -> bool {
    // SAFETY: as above.
    let (beside, protocol) = unsafe { ((*ctx.skb.skb).vlan_present != 0, (*ctx.skb.skb).protocol as u16) };
    // `skb_vlan_pop` goes by `skb->protocol`, which a packet socket's sender may have got wrong, and then does nothing with success.
    if !beside && !ether::is_tag(u16::from_be(protocol)) {
        return false;
    }
    // SAFETY: as above.
    unsafe { bpf_skb_vlan_pop(ctx.skb.skb) == 0 }
}

/// The same in XDP. False, and the frame as it was, if there is no room.
#[inline(always)]
pub fn retag_xdp(ctx: &XdpContext, retag: Retag, vlan: u16) -> bool {
    let Some(addresses) = Window::of_xdp(ctx).load::<12>(0) else { return false };
    let [v0, v1] = vlan.to_be_bytes();
    match retag {
        Retag::Keep => true,
        Retag::Rewrite => match Window::of_xdp(ctx).at::<2>(14) {
            Some(tci) => {
                // SAFETY: two bytes within the frame.
                unsafe { *tci = [(*tci)[0] & 0xf0 | v0, v1] };
                true
            }
            None => false,
        },
        Retag::Push => {
            let [p0, p1] = ether::VLAN.to_be_bytes();
            move_head(ctx, -4) && put(ctx, 0, addresses) && put(ctx, 12, [p0, p1, v0, v1])
        }
        Retag::Pop => move_head(ctx, 4) && put(ctx, 0, addresses),
    }
}

#[inline(always)]
fn move_head(ctx: &XdpContext, bytes: i32) -> bool {
    // SAFETY: the context is the kernel's; pointers into the frame are taken anew after it.
    unsafe { bpf_xdp_adjust_head(ctx.ctx, bytes) == 0 }
}

#[inline(always)]
fn put<const N: usize>(ctx: &XdpContext, offset: u32, bytes: [u8; N]) -> bool {
    match Window::of_xdp(ctx).at::<N>(offset) {
        Some(place) => {
            // SAFETY: `N` bytes within the frame.
            unsafe { *place = bytes };
            true
        }
        None => false,
    }
}
