//! A factor of `2 Σ ∘ Σ`, entry by entry, for models whose covariance depends on the state.
//!
//! The squares of Gaussian variables with covariance `Σ` have the covariances `2 Σ_ij²`: that is the noise of second moments.

use super::{Noise, apply_factor, spread_diagonal};
use crate::block::Span;
use crate::elementwise::{multiply, scale_square};
use crate::error::Result;
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};
use crate::workspace::with_workspace;

/// The default of [`Noise::squares`].
pub(super) fn apply<T: Real, N: Noise<T> + ?Sized>(
    noise: &N,
    x: &[T],
    scale: T,
    db: &[T],
    out: &mut [T],
    span: Span,
) -> Result<()> {
    let (d, width) = (noise.dim(), span.width);
    if noise.kind().is_diagonal() {
        deviations(noise, x, scale, &mut out[..d * width], span)?;
        multiply(&mut out[..d * width], db);
        return Ok(());
    }
    with_workspace(d * d * width, |f| {
        noise.squares_factor(x, scale, f, span)?;
        apply_factor(f, &db[..d * width], &mut out[..d * width], width);
        Ok(())
    })
}

/// The default of [`Noise::squares_factor`].
pub(super) fn factor<T: Real, N: Noise<T> + ?Sized>(
    noise: &N,
    x: &[T],
    scale: T,
    f: &mut [T],
    span: Span,
) -> Result<()> {
    let (d, m, width) = (noise.dim(), noise.n_wiener(), span.width);
    if noise.kind().is_diagonal() {
        deviations(noise, x, scale, &mut f[..d * width], span)?;
        spread_diagonal(f, d, width);
        return Ok(());
    }
    span.check(f, d * d, "f")?;
    with_workspace(d * m * width, |root| {
        noise.factor(x, T::from_f64(1.0), root, span)?;
        dispatch(Squares { root, d, m, scale, out: f, width });
        Ok(())
    })
}

/// `sqrt(2) scale b_i²`.
fn deviations<T: Real, N: Noise<T> + ?Sized>(noise: &N, x: &[T], scale: T, out: &mut [T], span: Span) -> Result<()> {
    noise.diagonal(x, T::from_f64(1.0), out, span)?;
    scale_square(out, std::f64::consts::SQRT_2 * scale.to_f64());
    Ok(())
}

/// Cholesky's factor of `2 (F Fᵀ) ∘ (F Fᵀ)`, times `scale`, from the `d × m` rows of `F`. A pivot within rounding of zero is
/// zero, and so is its column.
struct Squares<'a, T> {
    root: &'a [T],
    d: usize,
    m: usize,
    scale: T,
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Squares<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { root, d, m, scale, out, width } = self;
        let zero = <T::V<S>>::constant(0.0);
        let scale = <T::V<S>>::splat(scale);
        let precision = if T::BYTES == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let (tolerance, tiny) =
            (<T::V<S>>::constant(64.0 * d as f64 * precision), <T::V<S>>::constant(f64::from(f32::MIN_POSITIVE)));
        let out = out.as_mut_ptr();
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            // SAFETY: `root` holds `d·m` rows, `out` `d·d`; the width is a multiple of the lanes.
            unsafe {
                let f = |i: usize, k: usize| <T::V<S>>::load(root.as_ptr().add((i * m + k) * width + p));
                let entry = |i: usize, j: usize| out.add((i * d + j) * width + p);
                let load = |i: usize, j: usize| <T::V<S>>::load(entry(i, j));
                for i in 0..d {
                    for j in 0..i + 1 {
                        let mut sum = zero;
                        for k in 0..m {
                            sum = f(i, k).mul_add(f(j, k), sum);
                        }
                        (sum * (sum + sum)).store(entry(i, j));
                    }
                    for j in i + 1..d {
                        zero.store(entry(i, j));
                    }
                }
                for j in 0..d {
                    let whole = load(j, j);
                    let mut pivot = whole;
                    for k in 0..j {
                        pivot = (-load(j, k)).mul_add(load(j, k), pivot);
                    }
                    // What is not a number stays so.
                    let inverse =
                        pivot.choose_lt(tolerance.mul_add(whole, tiny), zero, <T::V<S>>::constant(1.0) / pivot.sqrt());
                    (pivot * inverse).store(entry(j, j));
                    for i in j + 1..d {
                        let mut rest = load(i, j);
                        for k in 0..j {
                            rest = (-load(i, k)).mul_add(load(j, k), rest);
                        }
                        (rest * inverse).store(entry(i, j));
                    }
                }
                for i in 0..d {
                    for j in 0..i + 1 {
                        (scale * load(i, j)).store(entry(i, j));
                    }
                }
            }
        }
    }
}
