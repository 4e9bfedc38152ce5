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

/// As above, and no CPU sees it before what was written here earlier: with `BPF_FETCH` it is a full barrier, where without it is none
/// (Documentation/atomic_t.txt; arm64 makes it `ldaddal`).
///
/// # Safety
///
/// As above.
#[inline(always)]
pub unsafe fn add_last(word: *mut u64, value: u64) {
    // SAFETY: as above; the register gets what the word was.
    unsafe {
        asm!("{value} = atomic_fetch_add((u64 *)({word} + 0), {value})", word = in(reg) word, value = inout(reg) value => _);
    }
}

/// The same word, as something that follows from `before`: what is read at a place that depends on it is read after `before` was, which machines that
/// keep the order of loads otherwise (x86) need not be told.
#[inline(always)]
pub fn after(word: u64, before: u64) -> u64 {
    let mut word = word;
    // SAFETY: arithmetic.
    unsafe {
        asm!("{word} ^= {before}", "{word} ^= {before}", word = inout(reg) word, before = in(reg) before)
    };
    word
}
