//! The examples that a group of paths has drawn, as rows of `X`: their dot products with parameters, and their sums.
//!
//! A dot product has a partial sum for each element of a line of the cache: one order of additions, whatever the length of
//! vectors.

use crate::lanes::{Real, Vector};

/// Paths that are turned at a time, as [`Vector::transpose8`] does.
pub(super) const GROUP: usize = 8;

/// Evaluates a call with the number of vectors of a row as a constant, `H` a line; it is 0 for more than four lines, which
/// do not stay in registers.
macro_rules! by_length {
    ($h:expr, $vectors:expr, $w:ident => $call:expr) => {
        $crate::loss::linear_model::drawn::by_length!(@ $h, $vectors, $w => $call,
            1 1, 1 2, 1 3, 1 4, 2 1, 2 2, 2 3, 2 4, 2 5, 2 6, 2 7, 2 8)
    };
    (@ $h:expr, $vectors:expr, $w:ident => $call:expr, $($line:literal $count:literal),*) => {
        match ($h, $vectors) {
            $(($line, $count) => {
                const $w: usize = $count;
                $call
            })*
            _ => {
                const $w: usize = 0;
                $call
            }
        }
    };
}
pub(super) use by_length;

/// The examples that the paths of a group have drawn in a step.
#[derive(Clone, Copy)]
pub(super) struct Drawn<T> {
    /// Of path 0; those of the other paths follow, and the next draws are `width` on.
    pub(super) indices: *const u32,
    pub(super) width: usize,
    pub(super) rows: *const T,
    pub(super) stride: usize,
}

impl<T: Copy> Drawn<T> {
    /// The row of the example that path `q` has drawn.
    ///
    /// # Safety
    /// There must be so many draws and paths.
    #[inline(always)]
    pub(super) unsafe fn row(self, b: usize, q: usize) -> *const T {
        // SAFETY: the caller's.
        unsafe { self.rows.add(*self.indices.add(b * self.width + q) as usize * self.stride) }
    }

    /// The draws from that of path `q` on.
    ///
    /// # Safety
    /// There must be so many paths.
    #[inline(always)]
    pub(super) unsafe fn of_path(self, q: usize) -> Self {
        // SAFETY: the caller's.
        Self { indices: unsafe { self.indices.add(q) }, ..self }
    }

    /// The rows of the next `J` draws of the first path, which are left behind.
    ///
    /// # Safety
    /// There must be so many draws.
    #[inline(always)]
    unsafe fn next<const J: usize>(&mut self) -> [*const T; J] {
        // SAFETY: the caller's.
        unsafe {
            let mut rows = [self.rows; J];
            for (j, row) in rows.iter_mut().enumerate() {
                *row = self.row(j, 0);
            }
            // behind the last draws of a path there may be nothing
            self.indices = self.indices.wrapping_add(J * self.width);
            rows
        }
    }
}

impl<T: Real> Drawn<T> {
    /// Dot products of `batch` draws of each path of a group with the path's row of parameters, the first of them here and
    /// the others so far apart.
    ///
    /// # Safety
    /// As for [`Drawn::row`]; there must be rows of parameters, and room for as many numbers in `z`.
    #[inline(always)]
    pub(super) unsafe fn dot_products<V: Vector<Elem = T>, const H: usize, const J: usize, const W: usize>(
        self,
        batch: usize,
        (theta, apart): (*const T, usize),
        z: *mut T,
    ) {
        // SAFETY: the caller's.
        unsafe {
            for q in 0..GROUP {
                let theta = Row::<V, W>::read(theta.add(q * apart));
                let (mut drawn, mut z) = (self.of_path(q), z.add(q * batch));
                for _ in 0..batch / J {
                    z = drawn.lot::<V, H, J, W>(&theta, z);
                }
                if J > 4 && batch & 4 != 0 {
                    z = drawn.lot::<V, H, 4, W>(&theta, z);
                }
                if batch & 2 != 0 {
                    z = drawn.lot::<V, H, 2, W>(&theta, z);
                }
                if batch & 1 != 0 {
                    drawn.lot::<V, H, 1, W>(&theta, z);
                }
            }
        }
    }

    /// Writes those of the next `J` draws of the first path, which are left behind, and says where the next ones go.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn lot<V: Vector<Elem = T>, const H: usize, const J: usize, const W: usize>(
        &mut self,
        theta: &Row<V, W>,
        z: *mut T,
    ) -> *mut T {
        // SAFETY: the caller's.
        unsafe {
            let mut lot = [[V::constant(0.0); H]; J];
            for (line, row) in lot.iter_mut().zip(self.next::<J>()) {
                *line = theta.times(row, self.stride);
            }
            V::sum_lines::<H, J>(lot, z);
            z.add(J)
        }
    }

    /// Adds the next `J` rows times their residuals to the sums, and says where the next residuals are.
    ///
    /// # Safety
    /// As for [`Drawn::row`]; there must be so many residuals, and vectors of a row.
    #[inline(always)]
    pub(super) unsafe fn add<V: Vector<Elem = T>, const J: usize, const W: usize>(
        &mut self,
        residuals: *const T,
        sums: &mut [V; W],
    ) -> *const T {
        // SAFETY: the caller's.
        unsafe {
            for (j, row) in self.next::<J>().into_iter().enumerate() {
                let residual = V::splat(*residuals.add(j));
                for (w, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(row.add(w * V::LANES)).mul_add(residual, *sum);
                }
            }
            residuals.add(J)
        }
    }
}

/// Reads vectors.
///
/// # Safety
/// They must be there.
#[inline(always)]
pub(super) unsafe fn load<V: Vector, const N: usize>(at: *const V::Elem) -> [V; N] {
    let mut vectors = [V::constant(0.0); N];
    for (i, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *vector = unsafe { V::load(at.add(i * V::LANES)) };
    }
    vectors
}

/// A row of parameters: `W` vectors in registers, or in memory.
struct Row<V: Vector, const W: usize>([V; W], *const V::Elem);

impl<V: Vector, const W: usize> Row<V, W> {
    /// # Safety
    /// `W` vectors must be there, and where that is 0, as many as [`Row::times`] is told of, for as long as this is used.
    #[inline(always)]
    unsafe fn read(at: *const V::Elem) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { load(at) }, at)
    }

    /// The products with a row, but for the sum along a line of `H` vectors; where `W` is 0 it has `stride` elements.
    ///
    /// # Safety
    /// The row must be there.
    #[inline(always)]
    unsafe fn times<const H: usize>(&self, row: *const V::Elem, stride: usize) -> [V; H] {
        let mut line = [V::constant(0.0); H];
        for first in (0..if W > 0 { W } else { stride / V::LANES }).step_by(H) {
            for (h, sum) in line.iter_mut().enumerate() {
                if W > 0 && first + h >= W {
                    break;
                }
                // SAFETY: the caller's.
                unsafe {
                    let at = (first + h) * V::LANES;
                    let theta = if W > 0 { self.0[first + h] } else { V::load(self.1.add(at)) };
                    *sum = V::load(row.add(at)).mul_add(theta, *sum);
                }
            }
        }
        line
    }
}
