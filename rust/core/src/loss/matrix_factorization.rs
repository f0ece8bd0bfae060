//! The factorisation of a matrix: the two-layer linear network on whitened inputs.

use super::slices::{self, SliceFormula, loss_of_slices};
use super::{all_finite, dimension};
use crate::block::Span;
use crate::error::Result;
use crate::lanes::{Number, Real};
use crate::linalg::Matrix;

/// `½ |U Vᵀ - target|²` with `U` and `V` of `rank` columns; the parameters are `U`, then `V`, each row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixFactorization<T> {
    target: Matrix<T>,
    rank: usize,
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
        0
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
        let (u, v) = x.split_at(self.target.rows() * self.rank);
        out.fill(N::constant(0.0));
        let (du, dv) = out.split_at_mut(u.len());
        for (i, (u, du)) in u.chunks_exact(self.rank).zip(du.chunks_exact_mut(self.rank)).enumerate() {
            let columns = v.chunks_exact(self.rank).zip(dv.chunks_exact_mut(self.rank));
            for ((v, dv), target) in columns.zip(self.target.row(i)) {
                let residual = residual(u, v, *target);
                for ((u, du), (v, dv)) in u.iter().zip(&mut *du).zip(v.iter().zip(dv)) {
                    *du = residual.mul_add(*v, *du);
                    *dv = residual.mul_add(*u, *dv);
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
