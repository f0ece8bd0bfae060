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
use crate::workspace::{Scratch, with_workspace};

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
    debug_assert!(!noise.is_skewed() && noise.excess() == 0.0);
    if noise.kind().is_diagonal() {
        deviations(noise, x, scale, &mut f[..d * width], span)?;
        spread_diagonal(f, d, width);
        return Ok(());
    }
    span.check(f, d * d, "f")?;
    with_workspace(d * m * width, |columns| {
        noise.factor(x, T::from_f64(1.0), columns, span)?;
        Squares::GAUSSIAN.root(d, columns, scale, f, width);
        Ok(())
    })
}

/// `sqrt(2) scale b_i²`.
fn deviations<T: Real, N: Noise<T> + ?Sized>(noise: &N, x: &[T], scale: T, out: &mut [T], span: Span) -> Result<()> {
    noise.diagonal(x, T::from_f64(1.0), out, span)?;
    scale_square(out, std::f64::consts::SQRT_2 * scale.to_f64());
    Ok(())
}

/// Where a skewed model writes the factors `S`, `scale · A` and `scale · Q`.
pub struct SquareFactors<'a, T> {
    /// `S`, `d·m` rows.
    pub noise: &'a mut [T],
    /// `scale · A`, `d·m` rows.
    pub shared: &'a mut [T],
    /// `scale · Q`, `d·d` rows.
    pub own: &'a mut [T],
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

    pub const NONE: Self = Self { crossed: 0.0, parallel: 0.0, groups: None };

    /// Writes `scale · Q`, `d·d` rows, from the columns of `S`.
    pub fn root<T: Real>(self, d: usize, columns: &[T], scale: T, out: &mut [T], width: usize) {
        let out = &mut out[..d * d * width];
        if self.crossed == 0.0 && self.parallel == 0.0 && self.groups.is_none() {
            out.fill(T::default());
            return;
        }
        assert!(columns.len().is_multiple_of(d * width));
        with_workspace(d * width, |sizes| {
            dispatch(OfColumns { squares: self, columns, out, sizes, width });
            Semidefinite { sizes, scale, rows: out, width }.factor();
        });
    }
}

/// Writes the lower half of the covariance, and of what sizes the terms of each variance are.
struct OfColumns<'a, T> {
    squares: Squares,
    columns: &'a [T],
    out: &'a mut [T],
    sizes: &'a mut [T],
    width: usize,
}

/// Entries of a row that are summed at once: a sum waits for itself.
const TOGETHER: usize = 4;

/// Of some pairs of rows `i, j`: `Σ_ij`, the sum over groups of `(Σ_k S_ik S_jk)²`, and that of `(S_ik S_jk)²`.
type Sums<V> = [[V; TOGETHER]; 3];

#[inline(always)]
fn sums<V: Vector>(row: &[V], others: [&[V]; TOGETHER], groups: Option<Groups>) -> Sums<V> {
    let zero = [V::constant(0.0); TOGETHER];
    let (mut all, mut of_sums, mut of_columns) = (zero, zero, zero);
    let first = groups.map_or(row.len(), |groups| groups.first);
    for k in 0..first {
        for (sum, other) in all.iter_mut().zip(others) {
            *sum = row[k].mul_add(other[k], *sum);
        }
    }
    if let Some(groups) = groups {
        for group in (first..row.len()).step_by(groups.size) {
            let mut whole = zero;
            for k in group..group + groups.size {
                for b in 0..TOGETHER {
                    let term = row[k] * others[b][k];
                    of_columns[b] = term.mul_add(term, of_columns[b]);
                    whole[b] = whole[b] + term;
                }
            }
            for b in 0..TOGETHER {
                all[b] = all[b] + whole[b];
                of_sums[b] = whole[b].mul_add(whole[b], of_sums[b]);
            }
        }
    }
    [all, of_sums, of_columns]
}

impl<T: Real> Kernel for OfColumns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { squares, columns, out, sizes, width } = self;
        let (d, constant) = (sizes.len() / width, <T::V<S>>::constant);
        let m = columns.len() / (d * width);
        // The columns of a strip of paths stand together: rows of a block lie a power of two apart.
        let mut strip = Scratch::take(d * m, constant(0.0));
        let mut variances = Scratch::take(d, constant(0.0));
        for p in (0..width).step_by(<T::V<S> as Vector>::LANES) {
            for (r, entry) in strip.iter_mut().enumerate() {
                *entry = at(columns, r * width + p);
            }
            let row = |i: usize| &strip[i * m..(i + 1) * m];
            for i in 0..d {
                // Those beyond the diagonal stand for the diagonal.
                for j in (0..i + 1).step_by(TOGETHER) {
                    let places: [usize; TOGETHER] = std::array::from_fn(|b| (j + b).min(i));
                    let [all, of_sums, of_columns] = sums(row(i), places.map(row), squares.groups);
                    if j + TOGETHER > i {
                        variances[i] = all[i - j];
                    }
                    for b in 0..TOGETHER.min(i + 1 - j) {
                        let mut terms = [constant(squares.crossed) * all[b] * all[b], constant(0.0), constant(0.0)];
                        if let Some(groups) = squares.groups {
                            terms[1] = constant(groups.of_sums) * of_sums[b];
                            terms[2] = constant(groups.of_columns) * of_columns[b];
                        }
                        put(out, (i * d + j + b) * width + p, terms[0] + (terms[1] + terms[2]));
                        if i == j + b {
                            put(sizes, i * width + p, terms[0].abs() + (terms[1].abs() + terms[2].abs()));
                        }
                    }
                }
            }
            if squares.parallel != 0.0 {
                for i in 0..d {
                    for j in 0..i + 1 {
                        let term = constant(squares.parallel) * variances[i] * variances[j];
                        let entry = at::<T::V<S>>(out, (i * d + j) * width + p) + term;
                        put(out, (i * d + j) * width + p, entry);
                    }
                    let term = constant(squares.parallel) * variances[i] * variances[i];
                    let size = at::<T::V<S>>(sizes, i * width + p) + term.abs();
                    put(sizes, i * width + p, size);
                }
            }
        }
    }
}
