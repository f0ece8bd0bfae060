//! The shape of a block of paths: component `i` of lane `p` is at `[i * width + p]`.

use crate::error::{Error, Result};
use crate::lanes::LANE_MULTIPLE;

/// How many lanes of a block are paths (the rest is padding), and the stride between components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Lanes that are paths. Kernels may also compute, and write, padding lanes up to `width`.
    pub n: usize,
    /// Lanes of a row, a multiple of [`LANE_MULTIPLE`].
    pub width: usize,
}

impl Span {
    /// The span of `n` paths in rows as short as can be.
    pub fn of(n: usize) -> Self {
        Self { n, width: n.next_multiple_of(LANE_MULTIPLE) }
    }

    /// Fails unless the span is well formed and `buffer` holds `rows` rows of it. Kernels read without further checks.
    pub fn check<T>(self, buffer: &[T], rows: usize, name: &str) -> Result<()> {
        if self.n > self.width || !self.width.is_multiple_of(LANE_MULTIPLE) {
            let message =
                format!("{} paths in rows of {} lanes, not a multiple of {LANE_MULTIPLE}", self.n, self.width);
            return Err(Error::invalid("span", message));
        }
        match rows.checked_mul(self.width) {
            Some(needed) if needed <= buffer.len() => Ok(()),
            _ => {
                let message = format!("{} elements, fewer than {rows} rows of {} lanes", buffer.len(), self.width);
                Err(Error::invalid(name, message))
            }
        }
    }
}
