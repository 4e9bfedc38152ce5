//! How much memory something takes.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    /// Bytes that this thread has now, less those that it had when somebody asked, and the most of them so far.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(change: isize) {
    // A thread that ends has nobody who asks.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + change);
        MOST.with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: each call goes to the system's allocator as it comes, and the counting beside allocates nothing. (`realloc` is the trait's own: a
// new place, a copy, and the old place back, so that both are counted.)
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above, and the place came from there.
        unsafe { System.dealloc(place, layout) }
    }
}

/// The most bytes that this thread had at once meanwhile, beside those that it had before.
pub fn most_while(work: impl FnOnce()) -> usize {
    NOW.set(0);
    MOST.set(0);
    work();
    MOST.get().unsigned_abs()
}
