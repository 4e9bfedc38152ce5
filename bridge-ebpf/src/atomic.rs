//! Additions that no other CPU can tear. This target's `AtomicU64` has none: it lacks compare-and-swap, and the standard library
//! asks for that before it offers any.

use core::arch::asm;

/// Adds to a word, wrapping around.
///
/// # Safety
///
/// `word` is aligned and points into a map's element.
#[inline(always)]
pub unsafe fn add(word: *mut u64, value: u64) {
    // SAFETY: one instruction (`BPF_ATOMIC | BPF_ADD`), which touches this word only.
    unsafe { asm!("lock *(u64 *)({word} + 0) += {value}", word = in(reg) word, value = in(reg) value) };
}
