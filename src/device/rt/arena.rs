// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loader's allocator, which only the decoder of xz uses: a bump arena in mapped chunks.
//!
//! What is small is cut from a chunk; the allocation made last grows, shrinks and frees in place, and the chunk starts
//! over when nothing in it is alive. What is [`BIG_LEN`] or longer, a decoder's window, is a mapping of its own:
//! `mremap` grows it without a copy, and `munmap` gives it back. What is freed in another order is only lost until the
//! process, a child that decodes one module, ends.
//!
//! Refuses, by null: an alignment past a page, and whatever the kernel refuses. Not for threads: the loader has none.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// From here on an allocation is a mapping.
const BIG_LEN: usize = 1 << 16;
/// The smallest page of all machines; a mapping begins at a page.
const PAGE_LEN: usize = 4096;
/// Holds several allocations that are not big.
const CHUNK_LEN: usize = 1 << 18;

#[cfg(not(test))]
#[global_allocator]
static ARENA: Arena = Arena::new();

/// A chunk and where in it the next allocation may start.
struct Arena {
    chunk: Cell<*mut u8>,
    /// Offsets into the chunk: of the allocation made last, and of what is free behind it.
    last_off: Cell<usize>,
    free_off: Cell<usize>,
    /// The length of the chunk; zero before there is one.
    chunk_len: Cell<usize>,
    /// Allocations in this chunk that are not freed.
    live_count: Cell<usize>,
}

#[allow(unsafe_code, reason = "a static has to be Sync")]
// SAFETY: the loader never starts a thread; its workers are forked, each with an arena of its own. In tests each arena
// is a local value.
unsafe impl Sync for Arena {}

impl Arena {
    const fn new() -> Arena {
        Arena {
            chunk: Cell::new(null_mut()),
            last_off: Cell::new(0),
            free_off: Cell::new(0),
            chunk_len: Cell::new(0),
            live_count: Cell::new(0),
        }
    }

    /// Cuts `layout` from the chunk; `None` where it does not fit.
    fn cut(&self, layout: Layout) -> Option<*mut u8> {
        // A chunk begins at a page, so an offset is as aligned as its address, up to a page.
        let start = self.free_off.get().checked_next_multiple_of(layout.align())?;
        let end = start.checked_add(layout.size())?;
        if end > self.chunk_len.get() {
            return None;
        }
        self.last_off.set(start);
        self.free_off.set(end);
        self.live_count.set(self.live_count.get().saturating_add(1));
        Some(self.chunk.get().wrapping_add(start))
    }

    /// Returns the offset of `ptr` in the chunk; `None` if it is in an older chunk.
    fn offset_of(&self, ptr: *mut u8) -> Option<usize> {
        let off = ptr.addr().checked_sub(self.chunk.get().addr())?;
        (off < self.chunk_len.get()).then_some(off)
    }

    /// Makes the allocation at `ptr` `len` long where it is; false where it is not the last, or does not fit.
    fn resize(&self, ptr: *mut u8, len: usize) -> bool {
        let Some(off) = self.offset_of(ptr) else { return false };
        match off.checked_add(len) {
            Some(end) if off == self.last_off.get() && end <= self.chunk_len.get() => {
                self.free_off.set(end);
                true
            }
            _ => false,
        }
    }
}

#[allow(unsafe_code, reason = "an allocator")]
// SAFETY: what is handed out is mapped, writable, aligned as asked (up to a page, beyond which null), and disjoint from
// all that is alive: a mapping of its own, or a cut from the free end of the chunk. Nothing here unwinds.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > PAGE_LEN {
            return null_mut();
        }
        if layout.size() >= BIG_LEN {
            return map(layout.size());
        }
        if let Some(ptr) = self.cut(layout) {
            return ptr;
        }
        let chunk = map(CHUNK_LEN);
        if chunk.is_null() {
            return chunk;
        }
        // The rest of the previous chunk is lost.
        self.chunk.set(chunk);
        self.chunk_len.set(CHUNK_LEN);
        self.free_off.set(0);
        self.live_count.set(0);
        self.cut(layout).unwrap_or(null_mut())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about `layout` are those that `alloc` asks for.
        let ptr = unsafe { self.alloc(layout) };
        // A mapping is zero as it comes; a part of a chunk may have been in use.
        if !ptr.is_null() && layout.size() < BIG_LEN {
            // SAFETY: `alloc` returned that many writable bytes.
            unsafe { ptr.write_bytes(0, layout.size()) };
        }
        ptr
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if layout.size() >= BIG_LEN {
            // SAFETY: `alloc` or `realloc` mapped `ptr` with this size, and the caller uses it no more. A failure leaves
            // it mapped, which is harmless.
            let _ = unsafe { munmap(ptr.cast(), layout.size()) };
            return;
        }
        let Some(off) = self.offset_of(ptr) else { return };
        self.live_count.set(self.live_count.get().saturating_sub(1));
        if self.live_count.get() == 0 {
            self.free_off.set(0);
        } else if off == self.last_off.get() {
            self.free_off.set(off);
        }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_len: usize) -> *mut u8 {
        match (layout.size() >= BIG_LEN, new_len >= BIG_LEN) {
            (true, true) => {
                // SAFETY: `ptr` is a mapping of this size, and the caller uses it no more by its old address.
                let moved = unsafe { mremap(ptr.cast(), layout.size(), new_len, MremapFlags::MAYMOVE) };
                return moved.map_or(null_mut(), |moved| moved.cast());
            }
            (false, false) if self.resize(ptr, new_len) => return ptr,
            _ => {}
        }
        let Ok(new_layout) = Layout::from_size_align(new_len, layout.align()) else { return null_mut() };
        // SAFETY: the caller promises a `new_len` that is not zero.
        let new = unsafe { self.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: both are alive, thus disjoint, and at least as long as the shorter of their lengths.
            unsafe { new.copy_from_nonoverlapping(ptr, layout.size().min(new_len)) };
            // SAFETY: `ptr` came from here with `layout`, and the caller uses it no more.
            unsafe { self.dealloc(ptr, layout) };
        }
        new
    }
}

/// Maps `len` zero bytes; null if mmap fails.
#[allow(unsafe_code, reason = "an allocator")]
fn map(len: usize) -> *mut u8 {
    // SAFETY: a new private anonymous mapping at an address of the kernel's choice touches no existing memory.
    let base = unsafe { mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    base.map_or(null_mut(), |base| base.cast())
}

#[cfg(test)]
#[allow(unsafe_code, reason = "calls an allocator")]
mod tests {
    use super::*;

    fn layout(len: usize, align: usize) -> Layout {
        Layout::from_size_align(len, align).unwrap()
    }

    #[test]
    fn the_last_allocation_grows_in_place_and_others_move() {
        let arena = Arena::new();
        unsafe {
            let first = arena.alloc(layout(100, 8));
            first.write_bytes(7, 100);
            assert_eq!(arena.realloc(first, layout(100, 8), 5000), first);
            let second = arena.alloc(layout(16, 16));
            assert_eq!(second.addr() % 16, 0);
            let moved = arena.realloc(first, layout(5000, 8), 6000);
            assert_ne!(moved, first);
            assert_eq!(*moved.add(99), 7);
            arena.dealloc(second, layout(16, 16));
            arena.dealloc(moved, layout(6000, 8));
            assert_eq!(arena.free_off.get(), 0, "nothing alive: the chunk starts over");
        }
    }

    #[test]
    fn big_allocations_keep_their_content_across_sizes() {
        let arena = Arena::new();
        unsafe {
            let small = arena.alloc_zeroed(layout(1000, 1));
            small.write_bytes(1, 1000);
            let big = arena.realloc(small, layout(1000, 1), 10 << 20);
            big.add(1000).write_bytes(2, (10 << 20) - 1000);
            let bigger = arena.realloc(big, layout(10 << 20, 1), 40 << 20);
            assert_eq!((*bigger, *bigger.add((10 << 20) - 1), *bigger.add((40 << 20) - 1)), (1, 2, 0));
            let small = arena.realloc(bigger, layout(40 << 20, 1), 1001);
            assert_eq!((*small, *small.add(1000)), (1, 2));
            arena.dealloc(small, layout(1001, 1));
        }
    }

    #[test]
    fn what_is_freed_in_any_order_never_overlaps_what_is_alive() {
        let arena = Arena::new();
        let mut alive: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut random = 1u32;
        for step in 0..20_000u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pick = (random >> 8) as usize;
            unsafe {
                if step % 3 == 2 && !alive.is_empty() {
                    let (ptr, layout, mark) = alive.swap_remove(pick % alive.len());
                    assert!(core::slice::from_raw_parts(ptr, layout.size()).iter().all(|&byte| byte == mark));
                    arena.dealloc(ptr, layout);
                } else if alive.len() < 100 {
                    let layout = layout(1 + pick % 3000, 1 << (pick % 6));
                    let (ptr, mark) = (arena.alloc(layout), step as u8);
                    assert_eq!(ptr.addr() % layout.align(), 0);
                    ptr.write_bytes(mark, layout.size());
                    alive.push((ptr, layout, mark));
                }
            }
        }
    }

    #[test]
    fn what_can_not_be_had_is_null() {
        let arena = Arena::new();
        unsafe {
            assert!(arena.alloc(layout(1, 8192)).is_null(), "aligned past a page");
            assert!(arena.alloc(layout(isize::MAX as usize - 4096, 1)).is_null(), "past the address space");
        }
    }
}
