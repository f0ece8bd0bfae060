//! Constant covariance: isotropic, diagonal or full, possibly singular, of Gaussian noise or Student's; and no noise at all.

use super::{Noise, NoiseKind};
use crate::error::Result;
use crate::lanes::Real;
use crate::linalg::{Matrix, cholesky};

/// A constant factor of a covariance.
#[derive(Clone, Debug)]
pub enum Factor {
    /// Standard deviations.
    Diagonal(Vec<f64>),
    /// A matrix `(d, m)`; lower triangular from a Cholesky factorisation.
    Lower(Matrix<f64>),
}

impl Factor {
    /// The lower factor of a positive semi-definite matrix.
    pub fn of_covariance(cov: &Matrix<f64>) -> Result<Self> {
        cholesky(cov, "cov").map(Factor::Lower)
    }

    /// The standard deviations of variances.
    pub fn of_variances(variances: &[f64]) -> Self {
        Factor::Diagonal(variances.iter().map(|v| v.sqrt()).collect())
    }

    /// The dimension `d`.
    pub fn dim(&self) -> usize {
        match self {
            Factor::Diagonal(s) => s.len(),
            Factor::Lower(l) => l.rows(),
        }
    }

    /// The kind of noise with this factor.
    pub fn kind(&self) -> NoiseKind {
        match self {
            Factor::Diagonal(_) => NoiseKind::AdditiveDiagonal,
            Factor::Lower(_) => NoiseKind::AdditiveFull,
        }
    }

    /// The factor times a constant.
    pub fn scaled(&self, scale: f64) -> Self {
        match self {
            Factor::Diagonal(s) => Factor::Diagonal(s.iter().map(|s| scale * s).collect()),
            Factor::Lower(l) => Factor::Lower(l.scaled(scale)),
        }
    }

    /// The factor with row `i` times `by[i]`.
    pub fn scaled_rows(&self, by: &[f64]) -> Self {
        match self {
            Factor::Diagonal(s) => Factor::Diagonal(s.iter().zip(by).map(|(s, by)| s * by).collect()),
            Factor::Lower(l) => Factor::Lower(Matrix::from_fn(l.rows(), l.cols(), |i, j| by[i] * l[(i, j)])),
        }
    }

    /// Entry (i, j).
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        match self {
            Factor::Diagonal(s) if i == j => s[i],
            Factor::Diagonal(_) => 0.0,
            Factor::Lower(l) => l[(i, j)],
        }
    }

    /// Diagonal entry `i` of the covariance.
    pub fn variance(&self, i: usize) -> f64 {
        match self {
            Factor::Diagonal(s) => s[i] * s[i],
            Factor::Lower(l) => l.row(i).iter().map(|f| f * f).sum(),
        }
    }

    /// The factor of the covariance of the squares of noise whose independent variables, which this multiplies, have the
    /// fourth cumulant `excess`: `2 Σ ∘ Σ + excess (F ∘ F)(F ∘ F)ᵀ`.
    pub fn of_squares(&self, excess: f64) -> Result<Self> {
        match self {
            Factor::Diagonal(s) => Ok(Factor::Diagonal(s.iter().map(|s| (2.0 + excess).sqrt() * s * s).collect())),
            Factor::Lower(l) => {
                let cov = l.congruence(&Matrix::identity(l.cols()));
                let of_columns = |i, j| (0..l.cols()).map(|k| (l[(i, k)] * l[(j, k)]).powi(2)).sum::<f64>();
                let squares = |i, j| 2.0 * cov[(i, j)] * cov[(i, j)] + excess * of_columns(i, j);
                Self::of_covariance(&Matrix::from_fn(l.rows(), l.rows(), squares))
            }
        }
    }

    /// The cubes of the entries.
    pub fn cubes(&self) -> Self {
        match self {
            Factor::Diagonal(s) => Factor::Diagonal(s.iter().map(|s| s.powi(3)).collect()),
            Factor::Lower(l) => Factor::Lower(Matrix::from_fn(l.rows(), l.cols(), |i, j| l[(i, j)].powi(3))),
        }
    }

    /// As a dense matrix.
    pub fn dense(&self) -> Matrix<f64> {
        match self {
            Factor::Diagonal(s) => Matrix::of_diagonal(s),
            Factor::Lower(l) => l.clone(),
        }
    }
}

/// `Σ` constant.
#[derive(Clone, Debug)]
pub struct Gaussian(pub Factor);

impl<T: Real> Noise<T> for Gaussian {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn n_wiener(&self) -> usize {
        self.0.dim()
    }
    fn kind(&self) -> NoiseKind {
        self.0.kind()
    }
    fn constant(&self) -> Option<&Factor> {
        Some(&self.0)
    }
    fn has_jacobian(&self) -> bool {
        true
    }
}

/// `Σ` constant, and independent variables of Student's law.
#[derive(Clone, Debug)]
pub struct StudentT {
    /// The factor of `Σ`.
    pub factor: Factor,
    /// Degrees of freedom, above 2.
    pub df: f64,
}

impl<T: Real> Noise<T> for StudentT {
    fn dim(&self) -> usize {
        self.factor.dim()
    }
    fn n_wiener(&self) -> usize {
        self.factor.dim()
    }
    fn kind(&self) -> NoiseKind {
        self.factor.kind()
    }
    fn constant(&self) -> Option<&Factor> {
        Some(&self.factor)
    }
    fn has_jacobian(&self) -> bool {
        true
    }
    fn excess(&self) -> f64 {
        if self.df > 4.0 { 6.0 / (self.df - 4.0) } else { f64::INFINITY }
    }
}

/// No noise.
#[derive(Clone, Debug)]
pub struct Zero(pub usize);

impl<T: Real> Noise<T> for Zero {
    fn dim(&self) -> usize {
        self.0
    }
    fn n_wiener(&self) -> usize {
        0
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::None
    }
    fn has_jacobian(&self) -> bool {
        true
    }
}
