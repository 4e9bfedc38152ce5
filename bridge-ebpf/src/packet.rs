//! Reading frames: the bounds checks that the verifier wants to see.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::{bpf_skb_load_bytes, bpf_xdp_load_bytes},
    programs::{TcContext, XdpContext},
};
use bridge_common::{
    Address, Packet,
    frame::{Header, Ipv4, ether},
};

/// The part of a frame that lies between two pointers of a context.
pub struct Window {
    start: usize,
    end: usize,
}

impl Window {
    pub fn of_xdp(ctx: &XdpContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }

    /// What of a buffer is linear.
    pub fn of_buffer(ctx: &TcContext) -> Self {
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
        self.at(offset).map(|bytes| words(bytes))
    }

    /// In loads as below.
    #[inline(always)]
    fn ipv4(&self) -> Option<Ipv4> {
        let start: *mut [u8; 38] = self.at(0)?;
        let start = start.cast::<u8>().cast_const();
        // SAFETY: 38 bytes were checked.
        unsafe {
            let word = |at: usize| start.add(at).cast::<u32>().read_volatile();
            let half = |at: usize| u16::from_be(start.add(at).cast::<u16>().read_volatile());
            if half(12) != ether::IPV4 || start.add(14).read_volatile() != 0x45 {
                return None;
            }
            Some(Ipv4 {
                total: half(16),
                fragment: half(20),
                next: start.add(23).read_volatile(),
                source: word(26),
                destination: word(30),
                rest: u32::from_be(word(34)),
            })
        }
    }

    /// Each address in one load, which need not be aligned: neither machine nor verifier minds, where the kernel says that loads need not be
    /// (`HAVE_EFFICIENT_UNALIGNED_ACCESS`, in `check_pkt_ptr_alignment`), as those of x86, ARM and POWER of 64 bits do.
    #[inline(always)]
    fn header(&self) -> Option<Header> {
        let start: *mut [u8; 14] = self.at(0)?;
        let start = start.cast::<u8>().cast_const();
        // SAFETY: 14 bytes were checked; the loads are this target's, which has no other way to say that they may be unaligned.
        unsafe {
            let dst = start.cast::<u64>().read_volatile();
            let src = start.add(4).cast::<u64>().read_volatile();
            let kind = start.add(12).cast::<u16>().read_volatile();
            Some(Header {
                dst: Address::from_word(u64::from_le(dst) << 16),
                src: Address::from_word(u64::from_le(src)),
                kind: u16::from_be(kind),
            })
        }
    }
}

/// Bytes of a frame, two at a time. Headers begin at even addresses (`NET_IP_ALIGN`); where one does not, the machine does not care,
/// or the verifier would (`check_pkt_ptr_alignment`), and LLVM for this target only knows loads that are aligned.
#[inline(always)]
fn words<const N: usize>(from: *const [u8; N]) -> [u8; N] {
    #[repr(align(8))]
    struct Aligned<const N: usize>(MaybeUninit<[u8; N]>);
    let mut to = Aligned::<N>(MaybeUninit::uninit());
    let (source, target) = (from.cast::<u16>(), (&raw mut to.0).cast::<u16>());
    // SAFETY: the caller has checked `N` bytes, and all of them are written.
    unsafe {
        let mut word = 0;
        while word < N / 2 {
            target.add(word).write(source.add(word).read());
            word += 1;
        }
        if N % 2 == 1 {
            target.cast::<u8>().add(N - 1).write(from.cast::<u8>().add(N - 1).read());
        }
        to.0.assume_init()
    }
}

/// A socket buffer. Its linear part may be shorter than the headers, so what is not there is copied.
pub struct Buffer<'a> {
    ctx: &'a TcContext,
    window: Window,
}

impl<'a> Buffer<'a> {
    pub fn new(ctx: &'a TcContext) -> Self {
        Self { ctx, window: Window::of_buffer(ctx) }
    }
}

impl Packet for Buffer<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        // Not from the window first: the verifier would walk all that follows for each of two ways, and this is asked for tags only.
        Copied::of_buffer(self.ctx.skb.skb).load(offset)
    }

    /// The kernel's receive paths have pulled it; where another program has made a buffer whose header is elsewhere, it is read slowly.
    #[inline(always)]
    fn header(&self) -> Option<Header> {
        match self.window.header() {
            Some(header) => Some(header),
            None => Copied::of_buffer(self.ctx.skb.skb).header(),
        }
    }
}

/// A frame whose headers are read by copying ([`Copied`]), but for what most frames have at one place.
pub struct Mostly<P> {
    window: Window,
    copied: P,
}

impl<P> Mostly<P> {
    pub const fn of(window: Window, copied: P) -> Self {
        Self { window, copied }
    }
}

impl<P: Packet> Packet for Mostly<P> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.copied.load(offset)
    }

    #[inline(always)]
    fn ipv4(&self) -> Option<Ipv4> {
        self.window.ipv4()
    }
}

/// A frame that is read by copying, wherever its bytes lie. To the verifier an offset into one is any number: it walks a loop over headers
/// once, where with pointers into the frame it would walk it for every range of every offset.
pub struct Copied<F>(F);

impl Copied<()> {
    #[inline(always)]
    pub fn of_buffer(skb: *mut __sk_buff) -> Copied<impl Fn(u32, *mut c_void, u32) -> i64> {
        // SAFETY: the context is the kernel's, and the place has so many bytes.
        Copied(move |at, to, bytes| unsafe { bpf_skb_load_bytes(skb.cast(), at, to, bytes) })
    }

    #[inline(always)]
    pub fn of_window(xdp: *mut xdp_md) -> Copied<impl Fn(u32, *mut c_void, u32) -> i64> {
        // SAFETY: as above.
        Copied(move |at, to, bytes| unsafe { bpf_xdp_load_bytes(xdp, at, to, bytes) })
    }
}

impl<F: Fn(u32, *mut c_void, u32) -> i64> Packet for Copied<F> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        let failed = (self.0)(offset, bytes.as_mut_ptr().cast(), N as u32) != 0;
        // SAFETY: the helper has written all of them.
        if failed { None } else { Some(unsafe { bytes.assume_init() }) }
    }
}
