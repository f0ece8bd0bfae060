//! What must not allocate, under an allocator that counts.

mod networks;
mod passages;
mod time_loop;

use optsde_core::error::Result;
use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations so far.
fn made() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// In the environment of the process that counts.
const ALONE: &str = "OPTSDE_TEST_ALONE";

// Allocations of other tests would be counted too: this one runs in a process of its own.
#[test]
fn loops_and_losses_allocate_nothing() -> Result<()> {
    if std::env::var_os(ALONE).is_none() {
        let mut alone = Command::new(std::env::current_exe().unwrap());
        // With one thread of tests the harness says nothing, and allocates nothing, of a test that takes a minute.
        alone.args(["--exact", "allocation::loops_and_losses_allocate_nothing", "--nocapture", "--test-threads=1"]);
        assert!(alone.env(ALONE, "1").status().unwrap().success());
        return Ok(());
    }
    // The thread that started this one has a few left to make before it waits.
    std::thread::sleep(std::time::Duration::from_millis(500));
    networks::allocate_nothing_from_the_second_call_on()?;
    passages::allocate_nothing()?;
    time_loop::allocates_nothing()
}
