//! The one place where lanes of a vector meet: sums across them, for dot products whose elements lie along a line of the
//! cache, and blocks that are turned, for rows of a path out of rows of a coordinate. Halves of a line are added until
//! one number is left, so the order is one, whatever the vectors.

use super::{Real, Vector};

/// Elements of a line of the cache.
pub const fn line<T: Real>() -> usize {
    64 / T::BYTES
}

/// Elements of the longest line.
const LONGEST: usize = 16;

/// Lane-wise sum.
#[inline(always)]
fn add<T: Real, const N: usize>(a: [T; N], b: [T; N]) -> [T; N] {
    std::array::from_fn(|i| a[i] + b[i])
}

/// [`Vector::sum_lines`] by way of memory.
///
/// # Safety
/// `to` must be valid for `J` elements.
#[inline(always)]
pub(super) unsafe fn sum_lines<V: Vector, const H: usize, const J: usize>(lines: [[V; H]; J], to: *mut V::Elem) {
    let mut memory = [[V::Elem::default(); LONGEST]; J];
    let at = memory.as_mut_ptr().cast::<V::Elem>();
    let line = line::<V::Elem>();
    // SAFETY: the lines fit into the memory, a line has 8 or 16 elements, and `to` is the caller's.
    unsafe {
        for (j, vectors) in lines.iter().enumerate() {
            for (h, vector) in vectors.iter().enumerate() {
                vector.store(at.add(j * line + h * V::LANES));
            }
        }
        for first in (0..J).step_by(4) {
            let part = |j: usize, i: usize| at.add((first + j) * line + 4 * i).cast::<[V::Elem; 4]>().read();
            let [a, b, c, d] = std::array::from_fn(|j| {
                if first + j >= J {
                    return [V::Elem::default(); 4];
                }
                let halves = add(part(j, 0), part(j, line / 8));
                if line == 8 { halves } else { add(halves, add(part(j, 1), part(j, line / 8 + 1))) }
            });
            let column = |j: usize| [a[j], b[j], c[j], d[j]];
            let sums = add(add(column(0), column(2)), add(column(1), column(3)));
            for (j, sum) in sums.into_iter().enumerate().take(J - first) {
                to.add(first + j).write(sum);
            }
        }
    }
}

/// `to[j][i] = from[i][j]` for four rows of four.
///
/// # Safety
/// All of them must be valid.
#[inline(always)]
pub(crate) unsafe fn transpose4<T: Copy>(from: *const T, from_stride: usize, to: *mut T, to_stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        let row = |i: usize| from.add(i * from_stride).cast::<[T; 4]>().read_unaligned();
        let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
        for j in 0..4 {
            to.add(j * to_stride).cast::<[T; 4]>().write_unaligned([a[j], b[j], c[j], d[j]]);
        }
    }
}

/// [`Vector::transpose8`] in four parts.
///
/// # Safety
/// All of them must be valid.
#[inline(always)]
pub(super) unsafe fn transpose8<T: Copy>(from: *const T, from_stride: usize, to: *mut T, to_stride: usize) {
    for i in [0, 4] {
        for j in [0, 4] {
            // SAFETY: the caller's.
            unsafe { transpose4(from.add(i * from_stride + j), from_stride, to.add(j * to_stride + i), to_stride) };
        }
    }
}
