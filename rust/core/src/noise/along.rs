//! What a noise does with increments, differentiated along a vector: `(∂_v S)(x) dw`. With it
//! `(∂_v S) Sᵀ + S (∂_v S)ᵀ` is the derivative of the covariance.

use super::{Noise, NoiseKind};
use crate::block::Span;
use crate::elementwise::{add_product, at, multiply, put};
use crate::error::Result;
use crate::lanes::{Float, Kernel, Number, Real, Simd, Vector, dispatch};
use crate::workspace::with_workspace;

/// The default of [`Noise::apply_along`], for models with a jacobian.
pub(crate) fn apply_along<T: Real, N: Noise<T> + ?Sized>(
    noise: &N,
    x: &[T],
    v: &[T],
    scale: T,
    dw: &[T],
    out: &mut [T],
    span: Span,
) -> Result<()> {
    let (d, m, width) = (noise.dim(), noise.n_wiener(), span.width);
    let out = &mut out[..d * width];
    match noise.kind() {
        NoiseKind::None | NoiseKind::AdditiveDiagonal | NoiseKind::AdditiveFull => {
            out.fill(T::default());
            Ok(())
        }
        NoiseKind::Diagonal => {
            with_workspace(out.len(), |b| {
                noise.diagonal_milstein(x, scale, b, out, span)?;
                dispatch(Divide { by: b, out, width });
                Ok(())
            })?;
            multiply(out, v);
            multiply(out, dw);
            Ok(())
        }
        _ => with_workspace((d * m * d + d + 2) * width, |work| {
            let (slopes, rest) = work.split_at_mut(d * m * d * width);
            let (along, scratch) = rest.split_at_mut(width);
            noise.jacobian(x, scale, slopes, scratch, span)?;
            out.fill(T::default());
            for (r, slopes) in slopes.chunks_exact(d * width).enumerate() {
                along.fill(T::default());
                for (slope, v) in slopes.chunks_exact(width).zip(v.chunks_exact(width)) {
                    add_product(along, slope, v);
                }
                let (i, j) = (r / m, r % m);
                add_product(&mut out[i * width..][..width], along, &dw[j * width..][..width]);
            }
            Ok(())
        }),
    }
}

/// `out / by`, and 0 where `by` is: a deviation has its least value there.
struct Divide<'a, T> {
    by: &'a [T],
    out: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for Divide<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { by, out, width } = self;
        let zero = <T::V<S>>::constant(0.0);
        for (out, by) in out.chunks_exact_mut(width).zip(by.chunks_exact(width)) {
            for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
                let (above, below) = (at::<T::V<S>>(out, p), at::<T::V<S>>(by, p));
                put(out, p, zero.choose_lt(below, above / below, zero));
            }
        }
    }
}
