//! Reading frames: the bounds checks that the verifier wants to see.

use aya_ebpf::programs::{TcContext, XdpContext};
use bridge_common::Packet;

/// The part of a frame that lies between two pointers of a context.
pub struct Window {
    start: usize,
    end: usize,
}

impl Window {
    pub fn of_xdp(ctx: &XdpContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }

    pub fn length(&self) -> u32 {
        (self.end - self.start) as u32
    }

    /// Where the `N` bytes at `offset` are, if the frame has them.
    #[inline(always)]
    pub fn at<const N: usize>(&self, offset: u32) -> Option<*mut [u8; N]> {
        const { assert!(N >= 2) };
        // Below the verifier's MAX_PACKET_OFF, or it loses track of the pointer.
        if offset > 0x3fff {
            return None;
        }
        let at = self.start + offset as usize;
        if at + N > self.end { None } else { Some(at as *mut [u8; N]) }
    }
}

impl Packet for Window {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        // SAFETY: within the frame, and an array of bytes has no alignment.
        self.at(offset).map(|bytes| unsafe { bytes.read() })
    }
}

/// A socket buffer. Its linear part may be shorter than the headers, so what is not there is copied.
pub struct Buffer<'a> {
    ctx: &'a TcContext,
    window: Window,
}

impl<'a> Buffer<'a> {
    pub fn new(ctx: &'a TcContext) -> Self {
        Self { ctx, window: Window { start: ctx.data(), end: ctx.data_end() } }
    }
}

impl Packet for Buffer<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        match self.window.load(offset) {
            Some(bytes) => Some(bytes),
            None => self.ctx.load(offset as usize).ok(),
        }
    }
}
