//! The product of a matrix that is mostly zeros with a block of paths: only what is not zero is read.

use super::{Matrix, Start};
use crate::block::Span;
use crate::elementwise::{at, put};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// The elements that are not zero, by rows.
#[derive(Clone, Debug)]
pub(super) struct Sparse<T> {
    /// Where each row ends among the elements.
    ends: Vec<usize>,
    /// Columns and values, columns ascending.
    elements: Vec<(usize, T)>,
}

impl<T: Real> Sparse<T> {
    /// Those of `matrix`, of its lower triangle alone where it is `lower`, if they are few enough to be worth it.
    pub fn of(matrix: &Matrix<T>, lower: bool) -> Option<Self> {
        let (mut ends, mut elements) = (Vec::with_capacity(matrix.rows()), Vec::new());
        for i in 0..matrix.rows() {
            let row = matrix.row(i).iter().copied().enumerate();
            elements.extend(row.filter(|(k, a)| *a != T::default() && !(lower && *k > i)));
            ends.push(elements.len());
        }
        (4 * elements.len() <= matrix.rows() * matrix.cols()).then_some(Self { ends, elements })
    }

    /// `out = start + M (x - center)`: the chain of `mul_add` of the dense product without its zeros. The caller has
    /// checked all lengths.
    pub fn apply(&self, x: &[T], center: Option<&[T]>, start: Start<'_, T>, out: &mut [T], span: Span) {
        dispatch(Run { sparse: self, x, center, start, out, width: span.width });
    }
}

struct Run<'a, T> {
    sparse: &'a Sparse<T>,
    x: &'a [T],
    center: Option<&'a [T]>,
    start: Start<'a, T>,
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Run<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { sparse, x, center, start, out, width } = self;
        let mut begin = 0;
        for (i, (end, out)) in sparse.ends.iter().zip(out.chunks_exact_mut(width)).enumerate() {
            let row = &sparse.elements[begin..*end];
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let mut sum = match start {
                    Start::Zero => <T::V<S>>::splat(T::default()),
                    Start::Out => at(out, p),
                    Start::Rows(rows) => <T::V<S>>::splat(rows[i]),
                };
                for (k, a) in row {
                    let mut x = at::<T::V<S>>(x, k * width + p);
                    if let Some(center) = center {
                        x = x - <T::V<S>>::splat(center[*k]);
                    }
                    sum = <T::V<S>>::splat(*a).mul_add(x, sum);
                }
                put(out, p, sum);
            }
            begin = *end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LinearMap, Product};
    use super::*;

    #[test]
    fn products_without_zeros_have_the_bits_of_dense_ones() {
        let span = Span { n: 48, width: 48 };
        let matrix = Matrix::from_fn(5, 10, |i, k| if k % 5 == i { 0.3 + i as f64 - 0.7 * k as f64 } else { 0.0 });
        let x: Vec<f64> = (0..10 * 48).map(|p| (p as f64 * 0.37).sin()).collect();
        let center: Vec<f64> = (0..10).map(|k| 0.1 * k as f64).collect();
        let start = [0.5, -0.25, 0.1, 0.7, 0.9];
        assert!(Sparse::of(&matrix, false).is_some());
        assert!(Sparse::of(&Matrix::from_fn(3, 3, |_, _| 1.0), false).is_none());
        let dense = LinearMap::new(&matrix);
        let (mut out, mut expected) = (x[..5 * 48].to_vec(), x[..5 * 48].to_vec());
        for start in [Start::Zero, Start::Out, Start::Rows(&start)] {
            for center in [None, Some(center.as_slice())] {
                Product::new(&matrix).centered(center).onto(start).apply(&x, &mut expected, span).unwrap();
                match (start, center) {
                    (Start::Zero, None) => dense.apply(&x, &mut out, span),
                    (Start::Zero, Some(center)) => dense.apply_centered(&x, center, &mut out, span),
                    (Start::Out, None) => dense.add_apply(&x, &mut out, span),
                    (Start::Rows(rows), Some(center)) => dense.apply_centered_onto(&x, center, rows, &mut out, span),
                    _ => {
                        out.copy_from_slice(&expected);
                        Ok(())
                    }
                }
                .unwrap();
                assert_eq!(out, expected);
            }
        }
    }

    #[test]
    fn what_is_above_the_diagonal_of_a_lower_matrix_is_not_read() {
        let span = Span { n: 16, width: 16 };
        let matrix = Matrix::from_fn(8, 8, |i, k| if i == k || (i, k) == (0, 7) { 2.0 } else { 0.0 });
        let mut out = vec![0.0; 8 * 16];
        LinearMap::lower(&matrix).apply(&vec![1.0; 8 * 16], &mut out, span).unwrap();
        assert!(out.iter().all(|x| *x == 2.0));
    }
}
