//! Memory has a limit while a target runs: a length that was believed before it was checked shows as
//! a huge allocation, which must not end in a dead machine.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all of one process may have allocated at once.
const LIMIT: usize = 512 << 20;

/// Bytes that are allocated now.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
/// [`LIMIT`] while a target runs, and none otherwise.
static ALLOWED: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The target and input that run.
static RUNNING: Mutex<(&str, Vec<u8>)> = Mutex::new(("", Vec::new()));

struct Limited;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// Limits memory from here on; `input` is what is to blame.
pub fn watch(target: &'static str, input: &[u8]) {
    if let Ok(mut running) = RUNNING.lock() {
        running.0 = target;
        running.1.clear();
        running.1.extend_from_slice(input);
    }
    ALLOWED.store(LIMIT, Ordering::Relaxed);
}

/// Lifts the limit.
pub fn rest() {
    ALLOWED.store(usize::MAX, Ordering::Relaxed);
}

fn count(bytes: usize) {
    let allocated = ALLOCATED.fetch_add(bytes, Ordering::Relaxed) + bytes;
    if allocated > ALLOWED.load(Ordering::Relaxed) {
        rest();
        // An allocator must not unwind, so this is the end.
        if let Ok(running) = RUNNING.try_lock() {
            let path = crate::keep(running.0, &running.1);
            eprintln!(
                "{}: an input allocates {bytes} more bytes, {allocated} in all; it is in {}",
                running.0,
                path.display()
            );
        }
        std::process::abort();
    }
}

// SAFETY: it is the system's allocator, which is counted.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        count(size);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
