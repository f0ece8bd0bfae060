//! Small dense matrices: products over lanes for the time loop, factorisations and exponentials for its preparation.

mod cholesky;
#[cfg(test)]
mod expm;
mod linear_map;
mod matmul;
mod ou;
mod solve;
mod sparse;

pub use cholesky::{cholesky, cholesky_beside};
pub use linear_map::LinearMap;
pub use matmul::{Product, Start};
pub use ou::{OuStep, ou_step};

pub(crate) use matmul::quadratic_form;
pub(crate) use solve::solve;

use crate::error::{Error, Result};
use crate::lanes::Real;

/// A dense matrix, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix<T> {
    rows: usize,
    cols: usize,
    data: Vec<T>,
}

impl<T: Real> Matrix<T> {
    /// The matrix whose rows, one after the other, are `data`.
    pub fn new(rows: usize, cols: usize, data: Vec<T>) -> Result<Self> {
        if rows.checked_mul(cols) != Some(data.len()) {
            return Err(Error::invalid("matrix", format!("{} elements for shape ({rows}, {cols})", data.len())));
        }
        Ok(Self { rows, cols, data })
    }

    /// The matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![T::default(); rows * cols] }
    }

    /// The matrix with the elements `f(i, j)`.
    pub fn from_fn(rows: usize, cols: usize, f: impl Fn(usize, usize) -> T) -> Self {
        let data = (0..rows * cols).map(|k| f(k / cols, k % cols)).collect();
        Self { rows, cols, data }
    }

    /// How many rows.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    #[inline(always)]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The elements, row after row.
    #[inline(always)]
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &[T] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// The same matrix in another precision.
    pub fn cast<U: Real>(&self) -> Matrix<U> {
        Matrix { rows: self.rows, cols: self.cols, data: self.data.iter().map(|x| U::from_f64(x.to_f64())).collect() }
    }

    /// The transposed matrix.
    pub fn transposed(&self) -> Self {
        Self::from_fn(self.cols, self.rows, |i, j| self[(j, i)])
    }
}

impl<T> std::ops::Index<(usize, usize)> for Matrix<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, (i, j): (usize, usize)) -> &T {
        &self.data[i * self.cols + j]
    }
}

impl<T> std::ops::IndexMut<(usize, usize)> for Matrix<T> {
    #[inline(always)]
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut T {
        &mut self.data[i * self.cols + j]
    }
}

impl Matrix<f64> {
    /// The diagonal matrix of `diagonal`.
    pub fn of_diagonal(diagonal: &[f64]) -> Self {
        Self::from_fn(diagonal.len(), diagonal.len(), |i, j| if i == j { diagonal[i] } else { 0.0 })
    }

    /// The identity.
    pub fn identity(dim: usize) -> Self {
        Self::from_fn(dim, dim, |i, j| if i == j { 1.0 } else { 0.0 })
    }

    /// `self + factor * other`, of the same shape.
    pub(crate) fn plus(&self, factor: f64, other: &Self) -> Self {
        debug_assert_eq!((self.rows, self.cols), (other.rows, other.cols));
        let data = self.data.iter().zip(&other.data).map(|(a, b)| a + factor * b).collect();
        Self { rows: self.rows, cols: self.cols, data }
    }

    /// `factor * self`.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        Self { rows: self.rows, cols: self.cols, data: self.data.iter().map(|a| factor * a).collect() }
    }

    /// The matrix product `self * other`, with plain loops: for preparation, not for the time loop.
    pub(crate) fn times(&self, other: &Self) -> Self {
        debug_assert_eq!(self.cols, other.rows);
        let mut product = Self::zeros(self.rows, other.cols);
        for i in 0..self.rows {
            for k in 0..self.cols {
                let a = self[(i, k)];
                let target = &mut product.data[i * other.cols..(i + 1) * other.cols];
                for (t, b) in target.iter_mut().zip(other.row(k)) {
                    *t += a * b;
                }
            }
        }
        product
    }

    /// `self * middle * selfᵀ`, made exactly symmetric.
    pub(crate) fn congruence(&self, middle: &Self) -> Self {
        self.times(middle).times(&self.transposed()).symmetrised()
    }

    /// The symmetric part.
    pub(crate) fn symmetrised(&self) -> Self {
        Self::from_fn(self.rows, self.cols, |i, j| {
            let (a, b) = (self[(i, j)], self[(j, i)]);
            if a == b { a } else { 0.5 * a + 0.5 * b }
        })
    }

    /// The larger of the largest row sum and the largest column sum of absolute values.
    pub(crate) fn norm(&self) -> f64 {
        let row = |m: &Self, i: usize| m.row(i).iter().map(|x| x.abs()).sum::<f64>();
        let transposed = self.transposed();
        let rows = (0..self.rows).map(|i| row(self, i));
        rows.chain((0..self.cols).map(|j| row(&transposed, j))).fold(0.0, f64::max)
    }

    /// Fails unless the matrix is square and finite.
    pub(crate) fn check_square(&self, name: &str) -> Result<()> {
        if self.rows != self.cols || self.rows == 0 {
            return Err(Error::invalid(name, format!("shape ({}, {}) is not square", self.rows, self.cols)));
        }
        match self.data.iter().position(|x| !x.is_finite()) {
            None => Ok(()),
            Some(k) => {
                let (i, j) = (k / self.cols, k % self.cols);
                Err(Error::invalid(name, format!("element ({i}, {j}) is {}", self.data[k])))
            }
        }
    }
}
