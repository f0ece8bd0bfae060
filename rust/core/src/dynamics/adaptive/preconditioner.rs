//! `D = 1 / (sqrt(u(v)) + ε)` with `u(v) = max(v, floor)`: what a second moment divides an update by.

use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// The preconditioner of one coordinate on lanes of paths.
#[derive(Clone, Copy)]
pub(super) struct Preconditioner<V> {
    floor: V,
    eps: V,
}

impl<V: Vector> Preconditioner<V> {
    #[inline(always)]
    pub fn new(floor: f64, eps: f64) -> Self {
        Self { floor: V::constant(floor), eps: V::constant(eps) }
    }

    /// `numerator · D(v)`.
    #[inline(always)]
    pub fn divide(self, numerator: V, v: V) -> V {
        numerator / (v.choose_lt(self.floor, self.floor, v).sqrt() + self.eps)
    }

    /// `D(v)` and `D'(v) = -u' D² / (2 sqrt(u))`, where `u' = 1` above the floor and 0 below.
    #[inline(always)]
    pub fn with_slope(self, v: V) -> (V, V) {
        let root = v.choose_lt(self.floor, self.floor, v).sqrt();
        let d = V::constant(1.0) / (root + self.eps);
        let slope = V::constant(-0.5) * d * d / root;
        (d, self.floor.choose_lt(v, slope, V::constant(0.0)))
    }
}

/// A number of each coordinate: the same on all paths, or a row of the paths'.
#[derive(Clone, Copy)]
pub(super) enum Quantity<'a, T> {
    Constant(&'a [f64]),
    Rows(&'a [T]),
}

/// One coordinate of a [`Quantity`].
#[derive(Clone, Copy)]
pub(super) struct Coordinate<V, T> {
    constant: V,
    row: Option<*const T>,
}

impl<T: Real> Quantity<'_, T> {
    /// Fails where there are fewer than `d` of them.
    pub fn check(&self, d: usize, width: usize) {
        match self {
            Quantity::Constant(c) => assert!(c.len() >= d),
            Quantity::Rows(rows) => assert!(rows.len() >= d * width),
        }
    }

    #[inline(always)]
    pub fn of<V: Vector<Elem = T>>(self, i: usize, width: usize) -> Coordinate<V, T> {
        match self {
            Quantity::Constant(c) => Coordinate { constant: V::constant(c[i]), row: None },
            Quantity::Rows(rows) => {
                Coordinate { constant: V::constant(0.0), row: Some(rows.as_ptr().wrapping_add(i * width)) }
            }
        }
    }
}

impl<V: Vector> Coordinate<V, V::Elem> {
    /// The vector at lane `p`.
    ///
    /// # Safety
    /// The quantity must have been checked, and `p` and the vector must lie within its row.
    #[inline(always)]
    pub unsafe fn at(self, p: usize) -> V {
        match self.row {
            // SAFETY: the caller's.
            Some(row) => unsafe { V::load(row.add(p)) },
            None => self.constant,
        }
    }
}

/// `out_i = scale u_i D(v_i) y_i`, for rows of `v` in the unit of `floor` and `eps`, times `unit`.
pub(super) struct Precondition<'a, T> {
    pub scale: f64,
    pub relative: Option<&'a [f64]>,
    pub floor: &'a [f64],
    pub eps: f64,
    pub unit: f64,
    pub v: &'a [T],
    pub y: &'a [T],
    pub out: &'a mut [T],
    pub width: usize,
}

impl<T: Real> Precondition<'_, T> {
    pub fn apply(self) {
        let len = self.floor.len() * self.width;
        assert!(self.v.len() >= len && self.y.len() >= len && self.out.len() >= len);
        dispatch(self);
    }
}

impl<T: Real> Kernel for Precondition<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let lanes = <T::V<S> as Vector>::LANES;
        let unit = <T::V<S>>::constant(self.unit);
        for (i, floor) in self.floor.iter().enumerate() {
            let by = Preconditioner::<T::V<S>>::new(*floor, self.eps);
            let scale = <T::V<S>>::constant(self.scale * self.relative.map_or(1.0, |u| u[i]));
            for p in (i * self.width..(i + 1) * self.width).step_by(lanes) {
                // SAFETY: `apply` checked the rows; the width is a multiple of the lanes.
                unsafe {
                    let v = unit * <T::V<S>>::load(self.v.as_ptr().add(p));
                    let y = <T::V<S>>::load(self.y.as_ptr().add(p));
                    (by.divide(scale, v) * y).store(self.out.as_mut_ptr().add(p));
                }
            }
        }
    }
}
