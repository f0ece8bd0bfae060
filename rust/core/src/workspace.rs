//! Working memory for kernels whose interface hands them none: a buffer a thread keeps, so that steps allocate nothing.

use crate::lanes::Real;
use std::any::Any;
use std::cell::RefCell;

thread_local! {
    /// Buffers not in use. A kernel that calls another takes one more.
    static IDLE: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` with `len` numbers of any value. What it writes is lost afterwards.
pub fn with_workspace<T: Real, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    let idle = IDLE.with_borrow_mut(|idle| {
        let found = idle.iter().rposition(|buffer| buffer.is::<Vec<T>>())?;
        idle.swap_remove(found).downcast::<Vec<T>>().ok()
    });
    let mut buffer = idle.unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    let result = f(&mut buffer[..len]);
    IDLE.with_borrow_mut(|idle| idle.push(buffer));
    result
}
