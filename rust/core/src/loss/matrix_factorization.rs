//! The factorisation of a matrix: the two-layer linear network on whitened inputs.

use super::slices::{self, SliceFormula, loss_of_slices};
use super::{all_finite, dimension, inlined};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::{Number, Real};
use crate::linalg::Matrix;

/// `½ |U Vᵀ - target|²` with `U` and `V` of `rank` columns; the parameters are `U`, then `V`, each row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixFactorization<T> {
    pub(super) target: Matrix<T>,
    pub(super) rank: usize,
}

impl MatrixFactorization<f64> {
    /// With a target of any shape; the rank need not be less than its sides.
    pub fn new(target: &Matrix<f64>, rank: usize) -> Result<Self> {
        dimension(target.rows().min(target.cols()).min(rank), 1)?;
        all_finite("target", target.as_slice())?;
        Ok(Self { target: target.clone(), rank })
    }

    /// The same loss in another precision.
    pub fn cast<T: Real>(&self) -> MatrixFactorization<T> {
        MatrixFactorization { target: self.target.cast(), rank: self.rank }
    }
}

impl<T: Real> SliceFormula for MatrixFactorization<T> {
    fn dim(&self) -> usize {
        (self.target.rows() + self.target.cols()) * self.rank
    }

    fn memory(&self) -> usize {
        SliceFormula::dim(self)
    }

    #[inline(always)]
    fn value<N: Number>(&self, x: &[N], _memory: &mut [N]) -> N {
        let (u, v) = x.split_at(self.target.rows() * self.rank);
        let mut sum = N::constant(0.0);
        for (i, u) in u.chunks_exact(self.rank).enumerate() {
            for (v, target) in v.chunks_exact(self.rank).zip(self.target.row(i)) {
                let residual = residual(u, v, *target);
                sum = residual.mul_add(residual, sum);
            }
        }
        N::constant(0.5) * sum
    }

    #[inline(always)]
    fn grad<N: Number>(&self, x: &[N], out: &mut [N], _memory: &mut [N]) {
        self.add_elements(
            x,
            out,
            inlined(
                #[inline(always)]
                |_, residual| residual,
            ),
        );
    }

    #[inline(always)]
    fn variances<N: Number>(&self, x: &[N], out: &mut [N], memory: &mut [N]) {
        // Of element (i, j) the gradient is N r v_j for row i of U, N r u_i for row j of V, and 0 elsewhere.
        let (rows, cols, rank) = (self.target.rows(), self.target.cols(), self.rank);
        let means = &mut memory[..out.len()];
        self.add_elements(
            x,
            means,
            inlined(
                #[inline(always)]
                |_, residual| residual,
            ),
        );
        let count = self.target.as_slice().len() as f64;
        let (u, v) = x.split_at(rows * rank);
        let (mean_u, mean_v) = means.split_at(u.len());
        let (of_u, of_v) = out.split_at_mut(u.len());
        let zeros = |mean: &N, elements: usize| N::constant(count - elements as f64) * *mean * *mean;
        for (out, mean) in of_u.iter_mut().zip(mean_u) {
            *out = zeros(mean, cols);
        }
        for (out, mean) in of_v.iter_mut().zip(mean_v) {
            *out = zeros(mean, rows);
        }
        for i in 0..rows {
            for j in 0..cols {
                let (at_u, at_v) = (i * rank..(i + 1) * rank, j * rank..(j + 1) * rank);
                let (u, v) = (&u[at_u.clone()], &v[at_v.clone()]);
                let slope = N::constant(count) * residual(u, v, self.target[(i, j)]);
                for ((out, v), mean) in of_u[at_u.clone()].iter_mut().zip(v).zip(&mean_u[at_u]) {
                    let deviation = slope * *v - *mean;
                    *out = deviation.mul_add(deviation, *out);
                }
                for ((out, u), mean) in of_v[at_v.clone()].iter_mut().zip(u).zip(&mean_v[at_v]) {
                    let deviation = slope * *u - *mean;
                    *out = deviation.mul_add(deviation, *out);
                }
            }
        }
        for out in out.iter_mut() {
            *out = N::constant(1.0 / count) * *out;
        }
    }

    #[inline(always)]
    fn jacobian_squares<N: Number>(&self, x: &[N], out: &mut [N], _memory: &mut [N]) {
        let (rows, rank) = (self.target.rows(), self.rank);
        let count = N::constant(self.target.as_slice().len() as f64);
        let (u, v) = x.split_at(rows * rank);
        let (of_u, of_v) = out.split_at_mut(u.len());
        for k in 0..rank {
            let square = |x: &[N]| x.iter().skip(k).step_by(rank).fold(N::constant(0.0), |sum, x| x.mul_add(*x, sum));
            let (square_u, square_v) = (count * square(u), count * square(v));
            for out in of_u.iter_mut().skip(k).step_by(rank) {
                *out = square_v;
            }
            for out in of_v.iter_mut().skip(k).step_by(rank) {
                *out = square_u;
            }
        }
    }
}

impl<T: Real> MatrixFactorization<T> {
    /// `out = Σ_i c_i ∇φ_i` over the elements of `U Vᵀ`, `c` a function of the element's number and its residual.
    #[inline(always)]
    pub(super) fn add_elements<N: Number>(&self, x: &[N], out: &mut [N], c: impl Fn(usize, N) -> N) {
        let (u, v) = x.split_at(self.target.rows() * self.rank);
        out.fill(N::constant(0.0));
        let (du, dv) = out.split_at_mut(u.len());
        for (i, (u, du)) in u.chunks_exact(self.rank).zip(du.chunks_exact_mut(self.rank)).enumerate() {
            let columns = v.chunks_exact(self.rank).zip(dv.chunks_exact_mut(self.rank));
            for (j, ((v, dv), target)) in columns.zip(self.target.row(i)).enumerate() {
                let c = c(i * self.target.cols() + j, residual(u, v, *target));
                for ((u, du), (v, dv)) in u.iter().zip(&mut *du).zip(v.iter().zip(dv)) {
                    *du = c.mul_add(*v, *du);
                    *dv = c.mul_add(*u, *dv);
                }
            }
        }
    }
}

/// One element of `U Vᵀ - target`.
#[inline(always)]
fn residual<N: Number, T: Real>(u: &[N], v: &[N], target: T) -> N {
    let mut sum = N::constant(-target.to_f64());
    for (u, v) in u.iter().zip(v) {
        sum = u.mul_add(*v, sum);
    }
    sum
}

loss_of_slices!(MatrixFactorization);
