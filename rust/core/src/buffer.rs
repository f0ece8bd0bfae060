//! Working memory of a block, aligned to cache lines: a wide load that straddles two lines costs two.

use crate::lanes::Real;
use std::ops::{Deref, DerefMut};

const LINE: usize = 64;

/// A slice of zeros whose first element begins a cache line.
#[derive(Debug)]
pub struct Buffer<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Real> Buffer<T> {
    /// Zeros.
    pub fn new(len: usize) -> Self {
        let data = vec![T::default(); len + LINE / T::BYTES];
        // The offset stays right: the vector is never grown, and moving it does not move what it holds.
        let start = data.as_ptr().align_offset(LINE).min(LINE / T::BYTES);
        Self { data, start, len }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
}
