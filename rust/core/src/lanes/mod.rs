//! SIMD lanes: one lane is one path. Kernels are written once over [`Simd`] and run on the best instruction set.
//!
//! Every operation here is an exact integer operation or a single correctly rounded IEEE operation, so that AVX-512,
//! AVX2 and the portable arrays give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod math;
mod number;
mod portable;

pub use dispatch::{Isa, Kernel, available, dispatch, isa, with_isa};
pub use number::{Dual, Number};
pub use portable::Portable;

/// Lanes in the widest vector of the narrowest element: every block width is a multiple of it.
pub const LANE_MULTIPLE: usize = 16;

/// An element type of states: `f64` or `f32`.
pub trait Real: Copy + Send + Sync + PartialOrd + Default + std::fmt::Debug + 'static {
    /// The vector of this element on instruction set `S`.
    type V<S: Simd>: Vector<Elem = Self>;
    /// Bytes of one element.
    const BYTES: usize;
    /// Rounds to this type.
    fn from_f64(x: f64) -> Self;
    /// Widens exactly.
    fn to_f64(self) -> f64;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

/// A register of floating-point lanes.
pub trait Vector: Number {
    /// What one lane holds.
    type Elem: Real;
    /// How many lanes.
    const LANES: usize;
    /// The same value in every lane.
    fn splat(x: Self::Elem) -> Self;
    /// Loads the first `LANES` elements of `x` (checked in debug builds only).
    ///
    /// # Safety
    /// `x` must be valid for reading `LANES` elements; no alignment is needed.
    unsafe fn load(x: *const Self::Elem) -> Self;
    /// Stores the lanes.
    ///
    /// # Safety
    /// `x` must be valid for writing `LANES` elements; no alignment is needed.
    unsafe fn store(self, x: *mut Self::Elem);
    /// Lane-wise absolute value.
    fn abs(self) -> Self;
    /// Per lane: `a` where `self < b`, else `c` (NaN in the comparison selects `c`).
    fn select_lt(self, b: Self, a: Self, c: Self) -> Self;
}

/// An instruction set: its vectors. `F64` has `N` lanes, `F32` has `2 N` lanes.
pub trait Simd: Copy + Send + Sync + 'static {
    /// Lanes of `f64`.
    type F64: Vector<Elem = f64>;
    /// Lanes of `f32`, twice as many.
    type F32: Vector<Elem = f32>;
}

impl Real for f64 {
    type V<S: Simd> = S::F64;
    const BYTES: usize = 8;
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}

impl Real for f32 {
    type V<S: Simd> = S::F32;
    const BYTES: usize = 4;
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}
