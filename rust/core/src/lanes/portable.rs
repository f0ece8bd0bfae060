//! Plain arrays: the instruction set of any machine.

use super::Simd;

/// Arrays of four `f64` and eight `f32`.
#[derive(Clone, Copy, Debug)]
pub struct Portable;
