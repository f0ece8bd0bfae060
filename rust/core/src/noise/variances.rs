//! The diagonal of `Σ(x)` and its derivative along a vector, from what a model's kind has it give.

use super::{Noise, NoiseKind};
use crate::block::Span;
use crate::elementwise::{add_product, multiply, scale, scale_square};
use crate::error::Result;
use crate::lanes::Real;
use crate::workspace::with_workspace;

/// The default of [`Noise::variances`].
pub(super) fn variances<T: Real, N: Noise<T> + ?Sized>(
    noise: &N,
    x: &[T],
    c: f64,
    out: &mut [T],
    span: Span,
) -> Result<()> {
    let (d, m, width, one) = (noise.dim(), noise.n_wiener(), span.width, T::from_f64(1.0));
    let out = &mut out[..d * width];
    if let Some(factor) = noise.constant() {
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            row.fill(T::from_f64(c * factor.variance(i)));
        }
    } else if noise.kind() == NoiseKind::None {
        out.fill(T::default());
    } else if noise.kind().is_diagonal() {
        noise.diagonal(x, one, out, span)?;
        scale_square(out, c);
    } else {
        with_workspace(d * m * width, |f| {
            noise.factor(x, one, f, span)?;
            out.fill(T::default());
            for (row, f) in out.chunks_exact_mut(width).zip(f.chunks_exact(m * width)) {
                f.chunks_exact(width).for_each(|f| add_product(row, f, f));
            }
            scale(out, c);
            Ok(())
        })?;
    }
    Ok(())
}

/// The default of [`Noise::variances_along`], for models with a jacobian.
pub(super) fn variances_along<T: Real, N: Noise<T> + ?Sized>(
    noise: &N,
    x: &[T],
    v: &[T],
    c: f64,
    out: &mut [T],
    span: Span,
) -> Result<()> {
    let (d, m, width, one) = (noise.dim(), noise.n_wiener(), span.width, T::from_f64(1.0));
    let out = &mut out[..d * width];
    match noise.kind() {
        NoiseKind::None | NoiseKind::AdditiveDiagonal | NoiseKind::AdditiveFull => {
            out.fill(T::default());
            return Ok(());
        }
        NoiseKind::Diagonal => {
            // ∂(b_i²) = 2 b_i ∂b_i, and b_i depends on x_i alone
            with_workspace(d * width, |b| noise.diagonal_milstein(x, one, b, out, span))?;
            multiply(out, v);
        }
        _ => with_workspace((d * m * (d + 1) + d + 2) * width, |work| {
            let (f, rest) = work.split_at_mut(d * m * width);
            let (slopes, rest) = rest.split_at_mut(d * m * d * width);
            let (along, scratch) = rest.split_at_mut(width);
            noise.factor(x, one, f, span)?;
            noise.jacobian(x, one, slopes, scratch, span)?;
            out.fill(T::default());
            for (r, (f, slopes)) in f.chunks_exact(width).zip(slopes.chunks_exact(d * width)).enumerate() {
                along.fill(T::default());
                for (slope, v) in slopes.chunks_exact(width).zip(v.chunks_exact(width)) {
                    add_product(along, slope, v);
                }
                add_product(&mut out[r / m * width..][..width], f, along);
            }
            Ok(())
        })?,
    }
    scale(out, 2.0 * c);
    Ok(())
}
