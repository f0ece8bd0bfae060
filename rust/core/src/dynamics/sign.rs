//! SignSGD's equation for Gaussian gradient noise without correlations (Compagnoni et al. 2025).

use super::Sde;
use crate::block::Span;
use crate::elementwise::scale_rows;
use crate::error::Result;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch, erf_erfc};
use crate::loss::Loss;
use crate::noise::{Noise, NoiseKind};
use crate::rates::Rates;
use std::sync::Arc;

/// How the clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignRegime {
    /// `t = k η`: `dX = -u R erf(∇f / (√2 s)) dt - √η u R √(1 - erf²) dW`.
    Ballistic,
    /// `t = k η²`, small signals: `dX = -u R √(2/π) ∇f / (η s) dt - u R dW`.
    BatchEquivalent,
}

/// `s_i² = Σ_ii / B`.
pub struct SignSde<T: Real> {
    /// The loss.
    pub loss: Arc<dyn Loss<T>>,
    /// Its gradient's noise, uncorrelated.
    pub noise: Arc<dyn Noise<T>>,
    /// `B`.
    pub batch_size: f64,
    /// `u` and `R`.
    pub rates: Rates,
    /// `η`.
    pub lr: f64,
    /// The clock.
    pub regime: SignRegime,
}

impl<T: Real> SignSde<T> {
    /// Turns gradient (in `a`) and variances (in `b`) into drift and deviation, up to `u R`.
    fn fill(&self, x: &[T], a: &mut [T], b: &mut [T], span: Span) -> Result<()> {
        self.loss.grad(x, a, span)?;
        self.noise.variances(x, 1.0 / self.batch_size, b, span)?;
        dispatch(Signal { a, b, lr: self.lr, regime: self.regime });
        Ok(())
    }

    fn by_rates(&self, t: f64, rows: &mut [T], width: usize) {
        let (u, _) = self.rates.at(t);
        if u != 1.0 {
            crate::elementwise::scale(rows, u);
        }
        if let Some(relative) = self.rates.relative() {
            scale_rows(rows, relative, width);
        }
    }
}

struct Signal<'a, T> {
    a: &'a mut [T],
    b: &'a mut [T],
    lr: f64,
    regime: SignRegime,
}

impl<T: Real> Kernel for Signal<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { a, b, lr, regime } = self;
        assert!(b.len() >= a.len());
        let c = |x: f64| <T::V<S>>::constant(x);
        let ballistic = regime == SignRegime::Ballistic;
        let slope = if ballistic { std::f64::consts::FRAC_1_SQRT_2 } else { (2.0 / std::f64::consts::PI).sqrt() / lr };
        let (slope, tiny, one) = (c(slope), c(1e-30), c(1.0));
        let noise = c(if ballistic { -lr.sqrt() } else { -1.0 });
        for p in (0..a.len()).step_by(<T::V<S> as Vector>::LANES) {
            // SAFETY: both hold whole numbers of vectors, `b` at least as many as `a`.
            unsafe {
                let variance = <T::V<S>>::load(b.as_ptr().add(p));
                // Without noise the sign itself, and 0 where the gradient is 0.
                let s = (variance + tiny * tiny).sqrt();
                let signal = slope * <T::V<S>>::load(a.as_ptr().add(p)) / s;
                let (drift, deviation) = if ballistic {
                    let (erf, erfc) = erf_erfc(signal);
                    (-erf, noise * (erfc * (one + (one - erfc))).sqrt())
                } else {
                    (-signal, noise)
                };
                drift.store(a.as_mut_ptr().add(p));
                deviation.store(b.as_mut_ptr().add(p));
            }
        }
    }
}

impl<T: Real> Sde<T> for SignSde<T> {
    fn dim(&self) -> usize {
        self.loss.dim()
    }
    fn n_wiener(&self) -> usize {
        if self.noise.kind() == NoiseKind::None { 0 } else { self.loss.dim() }
    }
    fn kind(&self) -> NoiseKind {
        match self.noise.kind() {
            NoiseKind::None => NoiseKind::None,
            _ if self.regime == SignRegime::BatchEquivalent => NoiseKind::AdditiveDiagonal,
            _ if self.loss.dim() == 1 => NoiseKind::Diagonal,
            _ => NoiseKind::DiagonalCoupled,
        }
    }
    fn drift(&self, t: f64, x: &[T], out: &mut [T], scratch: &mut [T], span: Span) -> Result<()> {
        let rows = self.loss.dim() * span.width;
        self.fill(x, &mut out[..rows], &mut scratch[..rows], span)?;
        self.by_rates(t, &mut out[..rows], span.width);
        Ok(())
    }
    fn diagonal(&self, t: f64, x: &[T], b: &mut [T], span: Span) -> Result<()> {
        let rows = self.loss.dim() * span.width;
        crate::workspace::with_workspace(rows, |a: &mut [T]| self.fill(x, a, &mut b[..rows], span))?;
        self.by_rates(t, &mut b[..rows], span.width);
        Ok(())
    }
    fn factor(&self, t: f64, x: &[T], f: &mut [T], span: Span) -> Result<()> {
        let d = self.loss.dim();
        self.diagonal(t, x, f, span)?;
        crate::noise::spread_diagonal(f, d, span.width);
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.loss.needs_calling_thread() || self.noise.needs_calling_thread()
    }
}
