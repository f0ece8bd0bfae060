//! The noise of second moments: of the squares of the noise of a batch.
//!
//! `z` is that noise times the root of the batch size, `Cov z = Σ = S Sᵀ`. A part of `z_i²` follows the Wiener processes of `z`
//! itself, with a factor `A` that is there for skewed noise alone, as `A Sᵀ` holds the third moments `E z_i² z_j`. The
//! rest has Wiener processes of its own and the factor `Q`, `A Aᵀ + Q Qᵀ` being the covariance of the squares: `2 Σ ∘ Σ`,
//! entry by entry, for Gaussian noise, plus the fourth cumulants `κ_iijj` for others. Here `Q` is made path by path for models
//! that depend on the state.

use super::semidefinite::Semidefinite;
use super::{Noise, apply_factor, spread_diagonal};
use crate::block::Span;
use crate::elementwise::{at, multiply, put, scale_square};
use crate::error::Result;
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::workspace::with_workspace;

/// The default of [`Noise::squares`].
pub(super) fn apply<T: Real, N: Noise<T> + ?Sized>(
    noise: &N,
    x: &[T],
    batch: f64,
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
        noise.squares_factor(x, batch, scale, f, span)?;
        apply_factor(f, &db[..d * width], &mut out[..d * width], width);
        Ok(())
    })
}

/// Columns of `S` that belong together: those from `first` on, `size` a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    pub first: usize,
    pub size: usize,
    /// What multiplies the squared sums `(Σ_k S_ik S_jk)²` of groups.
    pub of_sums: f64,
    /// What multiplies each `(S_ik S_jk)²`.
    pub of_columns: f64,
}

/// `Q Qᵀ` in terms of `S`: `crossed Σ_ij² + parallel Σ_ii Σ_jj`, and what groups of columns add.
#[derive(Clone, Copy, Debug)]
pub(super) struct Squares {
    pub crossed: f64,
    pub parallel: f64,
    pub groups: Option<Groups>,
}

impl Squares {
    pub const GAUSSIAN: Self = Self { crossed: 2.0, parallel: 0.0, groups: None };
}

/// `Q`, from the factor of the noise.
pub(super) fn factor<T: Real, N: Noise<T> + ?Sized>(
    noise: &N,
    x: &[T],
    squares: Squares,
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
    with_workspace((m + 1) * d * width, |work| {
        let (root, sizes) = work.split_at_mut(d * m * width);
        noise.factor(x, T::from_f64(1.0), root, span)?;
        dispatch(OfColumns { squares, root, d, m, out: f, sizes, width });
        Semidefinite { sizes, scale, rows: f, width }.factor();
        Ok(())
    })
}

/// `sqrt(2) scale b_i²`.
fn deviations<T: Real, N: Noise<T> + ?Sized>(noise: &N, x: &[T], scale: T, out: &mut [T], span: Span) -> Result<()> {
    noise.diagonal(x, T::from_f64(1.0), out, span)?;
    scale_square(out, std::f64::consts::SQRT_2 * scale.to_f64());
    Ok(())
}

/// Writes the lower half of the covariance, and of what sizes the terms of each variance are.
struct OfColumns<'a, T> {
    squares: Squares,
    root: &'a [T],
    d: usize,
    m: usize,
    out: &'a mut [T],
    sizes: &'a mut [T],
    width: usize,
}

impl<T: Real> Kernel for OfColumns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { squares, root, d, m, out, sizes, width } = self;
        let constant = <T::V<S>>::constant;
        let crossed = constant(squares.crossed);
        let zero = constant(0.0);
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            let f = |i: usize, k: usize| at::<T::V<S>>(root, (i * m + k) * width + p);
            let sum = |i: usize, j: usize, columns: std::ops::Range<usize>| {
                columns.fold(zero, |sum, k| f(i, k).mul_add(f(j, k), sum))
            };
            for i in 0..d {
                for j in 0..i + 1 {
                    let all = sum(i, j, 0..m);
                    let (mut entry, mut size) = (crossed * all * all, crossed * all * all);
                    if squares.parallel != 0.0 {
                        let term = constant(squares.parallel) * sum(i, i, 0..m) * sum(j, j, 0..m);
                        (entry, size) = (entry + term, size + term.abs());
                    }
                    if let Some(Groups { first, size: columns, of_sums, of_columns }) = squares.groups {
                        for group in (first..m).step_by(columns) {
                            let whole = sum(i, j, group..group + columns);
                            let each = (group..group + columns).fold(zero, |sum, k| {
                                let term = f(i, k) * f(j, k);
                                term.mul_add(term, sum)
                            });
                            let terms = [constant(of_sums) * whole * whole, constant(of_columns) * each];
                            (entry, size) = (entry + (terms[0] + terms[1]), size + (terms[0].abs() + terms[1].abs()));
                        }
                    }
                    put(out, (i * d + j) * width + p, entry);
                    if i == j {
                        put(sizes, i * width + p, size);
                    }
                }
            }
        }
    }
}
