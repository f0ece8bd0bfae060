//! SRIW1: Rößler's scheme of strong order 3/2 for noise of one Wiener process, or of one for each coordinate alone.

use super::additive::draws_with_integrals;
use super::{Draws, Step, Stepper};
use crate::block::Span;
use crate::dynamics::Sde;
use crate::elementwise::{assign_add_two, at, put};
use crate::error::Result;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::noise::NoiseKind;
use std::sync::Arc;

/// With `s = sqrt(h)`, `I_11 = (ΔW² - h)/2`, `I_111 = (ΔW³ - 3 h ΔW)/6` and `I_10 = ∫ (W(s) - W(t)) ds`:
///
/// ```text
/// H02 = X + (3/4) a h + (3/2) b1 I_10/h                      a2 = a(t + 3h/4, H02)
/// H12 = X + (1/4) a h + (1/2) b1 s                           b2 = b(t + h/4, H12)
/// H13 = X + a h - b1 s                                       b3 = b(t + h, H13)
/// H14 = X + (1/4) a h + s (-5 b1 + 3 b2 + b3/2)              b4 = b(t + h/4, H14)
/// X'  = X + h (a/3 + 2 a2/3) + b1 (-ΔW - I_11/s + 2 I_10/h - 2 I_111/h)
///         + b2 ((4/3) ΔW + (4/3) I_11/s - (4/3) I_10/h + (5/3) I_111/h)
///         + b3 ((2/3) ΔW - (1/3) I_11/s - (2/3) I_10/h - (2/3) I_111/h) + b4 I_111/h
/// ```
pub struct Sriw1<T: Real> {
    sde: Arc<dyn Sde<T>>,
    draws: Draws,
}

impl<T: Real> Sriw1<T> {
    /// Integrates `sde`, of kind diagonal or scalar.
    pub fn new(sde: Arc<dyn Sde<T>>) -> Result<Self> {
        let draws = draws_with_integrals(sde.as_ref(), "sriw1")?;
        Ok(Self { sde, draws })
    }

    fn noise(&self, t: f64, x: &[T], b: &mut [T], span: Span) -> Result<()> {
        match self.sde.kind() {
            NoiseKind::Diagonal => self.sde.diagonal(t, x, b, span),
            _ => self.sde.factor(t, x, b, span),
        }
    }
}

impl<T: Real> Stepper<T> for Sriw1<T> {
    fn dim(&self) -> usize {
        self.sde.dim()
    }
    fn draws(&self) -> Draws {
        self.draws
    }
    fn scratch_rows(&self) -> usize {
        8 * self.sde.dim()
    }
    fn step(&self, step: &Step<'_, T>, x: &mut [T], scratch: &mut [T]) -> Result<()> {
        let Step { t, h, dw, span, .. } = *step;
        let (n, width, integral) = (x.len(), span.width, step.beside.time_integrals);
        let m = self.sde.n_wiener();
        span.check(dw, m, "dw")?;
        span.check(integral, m, "time integrals")?;
        let (a, rest) = scratch.split_at_mut(n);
        let (a2, rest) = rest.split_at_mut(n);
        let (b1, rest) = rest.split_at_mut(n);
        let (b2, rest) = rest.split_at_mut(n);
        let (b3, rest) = rest.split_at_mut(n);
        let (b4, rest) = rest.split_at_mut(n);
        let (point, work) = rest.split_at_mut(n);
        let (c, root) = (h * self.sde.drift_scale(), h.sqrt());
        self.sde.drift(t, x, a, work, span)?;
        self.noise(t, x, b1, span)?;
        dispatch(Late { x, a, b: b1, integral, point, c: 0.75 * c, over: 1.5 / h, width });
        self.sde.drift(t + 0.75 * h, point, a2, work, span)?;
        assign_add_two(point, x, a, b1, 0.25 * c, 0.5 * root);
        self.noise(t + 0.25 * h, point, b2, span)?;
        assign_add_two(point, x, a, b1, c, -root);
        self.noise(t + h, point, b3, span)?;
        dispatch(Last { x, a, b1, b2, b3, point, c: 0.25 * c, root });
        self.noise(t + 0.25 * h, point, b4, span)?;
        dispatch(Sum { x, a, a2, b: [b1, b2, b3, b4], dw, integral, c, h, width });
        Ok(())
    }
    fn needs_calling_thread(&self) -> bool {
        self.sde.needs_calling_thread()
    }
}

/// Where row `begin` of the state finds its Wiener process: a row of its own, or the only one.
#[inline(always)]
fn of_row<T>(rows: &[T], begin: usize, width: usize) -> usize {
    if rows.len() > width { begin } else { 0 }
}

/// `point = x + c a + over b I_10`.
struct Late<'a, T> {
    x: &'a [T],
    a: &'a [T],
    b: &'a [T],
    integral: &'a [T],
    point: &'a mut [T],
    c: f64,
    over: f64,
    width: usize,
}

impl<T: Real> Kernel for Late<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, a, b, integral, point, c, over, width } = self;
        let (c, over) = (<T::V<S>>::constant(c), <T::V<S>>::constant(over));
        for begin in (0..x.len()).step_by(width) {
            let row = of_row(integral, begin, width);
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let (q, i) = (begin + p, over * at::<T::V<S>>(integral, row + p));
                put(point, q, i.mul_add(at(b, q), c.mul_add(at(a, q), at(x, q))));
            }
        }
    }
}

/// `point = x + c a + root (-5 b1 + 3 b2 + b3/2)`.
struct Last<'a, T> {
    x: &'a [T],
    a: &'a [T],
    b1: &'a [T],
    b2: &'a [T],
    b3: &'a [T],
    point: &'a mut [T],
    c: f64,
    root: f64,
}

impl<T: Real> Kernel for Last<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, a, b1, b2, b3, point, c, root } = self;
        let (c, root) = (<T::V<S>>::constant(c), <T::V<S>>::constant(root));
        let [five, three, half] = [-5.0, 3.0, 0.5].map(<T::V<S>>::constant);
        for p in (0..x.len()).step_by(<T::V<S> as Vector>::LANES) {
            let noise = half.mul_add(at(b3, p), three.mul_add(at(b2, p), five * at(b1, p)));
            put(point, p, root.mul_add(noise, c.mul_add(at(a, p), at(x, p))));
        }
    }
}

/// The step itself.
struct Sum<'a, T> {
    x: &'a mut [T],
    a: &'a [T],
    a2: &'a [T],
    b: [&'a [T]; 4],
    dw: &'a [T],
    integral: &'a [T],
    c: f64,
    h: f64,
    width: usize,
}

impl<T: Real> Kernel for Sum<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, a, a2, b, dw, integral, c, h, width } = self;
        let constant = <T::V<S>>::constant;
        let (c1, c2, minus_h, minus_3h) =
            (constant(c / 3.0), constant(2.0 * c / 3.0), constant(-h), constant(-3.0 * h));
        let (half_over_root, over_h, sixth_over_h) =
            (constant(0.5 / h.sqrt()), constant(1.0 / h), constant(1.0 / (6.0 * h)));
        // Weights of ΔW, I_11/s, I_10/h, I_111/h.
        let weights = [
            [-1.0, -1.0, 2.0, -2.0],
            [4.0 / 3.0, 4.0 / 3.0, -4.0 / 3.0, 5.0 / 3.0],
            [2.0 / 3.0, -1.0 / 3.0, -2.0 / 3.0, -2.0 / 3.0],
        ]
        .map(|row| row.map(constant));
        for begin in (0..x.len()).step_by(width) {
            let row = of_row(dw, begin, width);
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let q = begin + p;
                let w = at::<T::V<S>>(dw, row + p);
                let square = w * w;
                let i11 = half_over_root * (square + minus_h);
                let i111 = sixth_over_h * (w * (square + minus_3h));
                let i10 = over_h * at::<T::V<S>>(integral, row + p);
                let mut sum = c2.mul_add(at(a2, q), c1.mul_add(at(a, q), at(x, q)));
                for (k, [w0, w1, w2, w3]) in weights.into_iter().enumerate() {
                    let weight = w3.mul_add(i111, w2.mul_add(i10, w1.mul_add(i11, w0 * w)));
                    sum = weight.mul_add(at(b[k], q), sum);
                }
                put(x, q, i111.mul_add(at(b[3], q), sum));
            }
        }
    }
}
