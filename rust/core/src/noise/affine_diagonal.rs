//! `Σ_ii(x) = base_i + slope_i (x_i - center_i)²`: the noise of label and input noise together (Student-t stationary laws).

use super::{Noise, NoiseKind};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::{Kernel, Real, Simd, Vector, dispatch};

/// Variances affine in the squared distance from a centre.
#[derive(Clone, Debug)]
pub struct AffineDiagonal {
    base: Vec<f64>,
    slope: Vec<f64>,
    center: Vec<f64>,
}

impl AffineDiagonal {
    /// Three vectors of equal length; base and slope not negative.
    pub fn new(base: Vec<f64>, slope: Vec<f64>, center: Vec<f64>) -> Self {
        debug_assert!(base.len() == slope.len() && base.len() == center.len());
        Self { base, slope, center }
    }
}

/// The deviation of one coordinate on lanes of paths.
#[derive(Clone, Copy)]
pub struct Deviation<V> {
    base: V,
    slope: V,
    center: V,
    scale: V,
    /// `scale² slope`.
    slope2: V,
}

impl<V: Vector> Deviation<V> {
    /// The deviation `b` at `x`, and `b ∂b/∂x`: by the formula `scale² slope (x - center)`, no root or division.
    #[inline(always)]
    pub fn at(self, x: V) -> (V, V) {
        let from_center = x - self.center;
        let variance = (self.slope * from_center).mul_add(from_center, self.base);
        (self.scale * variance.sqrt(), self.slope2 * from_center)
    }
}

impl AffineDiagonal {
    /// Coordinates.
    pub fn coordinates(&self) -> usize {
        self.base.len()
    }

    /// The deviation of coordinate `i`, times `scale`.
    #[inline(always)]
    pub fn deviation<V: Vector>(&self, i: usize, scale: V) -> Deviation<V> {
        let slope = V::constant(self.slope[i]);
        Deviation {
            base: V::constant(self.base[i]),
            slope,
            center: V::constant(self.center[i]),
            scale,
            slope2: slope * scale * scale,
        }
    }
}

struct Deviations<'a, T> {
    noise: &'a AffineDiagonal,
    x: &'a [T],
    scale: T,
    b: &'a mut [T],
    /// Where `b ∂b/∂x` is asked for.
    bdb: Option<&'a mut [T]>,
    width: usize,
}

impl<T: Real> Kernel for Deviations<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { noise, x, scale, b, mut bdb, width } = self;
        let lanes = <T::V<S> as Vector>::LANES;
        let scale = <T::V<S>>::splat(scale);
        for (i, row) in x.chunks_exact(width).enumerate() {
            let deviation = noise.deviation(i, scale);
            let b = &mut b[i * width..(i + 1) * width];
            for p in (0..width).step_by(lanes) {
                // SAFETY: rows hold `width` elements, a multiple of the lanes.
                let (deviation, slope) = deviation.at(unsafe { <T::V<S>>::load(row.as_ptr().add(p)) });
                // SAFETY: as above.
                unsafe { deviation.store(b.as_mut_ptr().add(p)) };
                if let Some(bdb) = bdb.as_deref_mut() {
                    let row = &mut bdb[i * width..(i + 1) * width];
                    // SAFETY: as above.
                    unsafe { slope.store(row.as_mut_ptr().add(p)) };
                }
            }
        }
    }
}

impl<T: Real> Noise<T> for AffineDiagonal {
    fn dim(&self) -> usize {
        self.base.len()
    }
    fn n_wiener(&self) -> usize {
        self.base.len()
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::Diagonal
    }
    fn affine(&self) -> Option<&AffineDiagonal> {
        Some(self)
    }
    fn has_jacobian(&self) -> bool {
        true
    }
    fn diagonal(&self, x: &[T], scale: T, b: &mut [T], span: Span) -> Result<()> {
        dispatch(Deviations { noise: self, x, scale, b, bdb: None, width: span.width });
        Ok(())
    }
    fn diagonal_milstein(&self, x: &[T], scale: T, b: &mut [T], bdb: &mut [T], span: Span) -> Result<()> {
        dispatch(Deviations { noise: self, x, scale, b, bdb: Some(bdb), width: span.width });
        Ok(())
    }
}
