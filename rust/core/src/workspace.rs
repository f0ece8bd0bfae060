//! Working memory for kernels whose interface hands them none: a buffer a thread keeps, so that steps allocate nothing.

use std::any::Any;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    /// Buffers not in use. A kernel that calls another takes one more.
    static IDLE: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` with `len` numbers of any value. What it writes is lost afterwards.
pub fn with_workspace<T: Copy + Default + 'static, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    f(&mut Scratch::take(len, T::default()))
}

/// A buffer of elements of any type, such as lanes or dual numbers, which goes back to its thread when dropped. It is
/// for kernels: a closure handed to [`with_workspace`] would leave the instruction set they were entered for.
pub struct Scratch<E: Copy + 'static> {
    /// In a box of its own, so that coming and going moves one pointer. Present until dropped.
    #[allow(clippy::box_collection)]
    buffer: Option<Box<Vec<E>>>,
    len: usize,
}

impl<E: Copy + 'static> Scratch<E> {
    /// Takes `len` elements of any value; `filler` is that of those that are new.
    #[inline(never)]
    pub fn take(len: usize, filler: E) -> Self {
        let idle = IDLE.with_borrow_mut(|idle| {
            let found = idle.iter().rposition(|buffer| buffer.is::<Vec<E>>())?;
            idle.swap_remove(found).downcast::<Vec<E>>().ok()
        });
        let mut buffer = idle.unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, filler);
        }
        Self { buffer: Some(buffer), len }
    }
}

impl<E: Copy + 'static> Drop for Scratch<E> {
    #[inline(never)]
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            IDLE.with_borrow_mut(|idle| idle.push(buffer));
        }
    }
}

impl<E: Copy + 'static> Deref for Scratch<E> {
    type Target = [E];
    #[inline(always)]
    fn deref(&self) -> &[E] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer[..self.len])
    }
}

impl<E: Copy + 'static> DerefMut for Scratch<E> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [E] {
        self.buffer.as_mut().map_or(&mut [], |buffer| &mut buffer[..self.len])
    }
}
