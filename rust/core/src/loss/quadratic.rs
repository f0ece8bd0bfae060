//! The quadratic bowl, the loss of the Ornstein–Uhlenbeck case.

use super::leap::{Leap, Separable, leap};
use super::point::check;
use super::{Loss, PointLoss, all_finite, dimension};
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};
use crate::linalg::{Matrix, Product, quadratic_form};

/// `½ (x - center)ᵀ H (x - center)` with a diagonal or a full `H`, of which the symmetric part counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Quadratic<T> {
    curvature: Curvature<T>,
    /// Absent if zero.
    center: Option<Vec<T>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Curvature<T> {
    Diagonal(Vec<T>),
    Full(Matrix<T>),
}

impl Quadratic<f64> {
    /// With the diagonal of `H`; without a center it is centered at 0.
    pub fn diagonal(h: Vec<f64>, center: Option<Vec<f64>>) -> Result<Self> {
        dimension(h.len(), 1)?;
        let h = finite_all("H", h)?;
        let center = checked_center(center, h.len())?;
        Ok(Self { curvature: Curvature::Diagonal(h), center })
    }

    /// With the full `H`; without a center it is centered at 0.
    pub fn full(h: &Matrix<f64>, center: Option<Vec<f64>>) -> Result<Self> {
        h.check_square("H")?;
        let center = checked_center(center, h.rows())?;
        Ok(Self { curvature: Curvature::Full(h.symmetrised()), center })
    }

    /// The same loss in another precision.
    pub fn cast<T: Real>(&self) -> Quadratic<T> {
        let cast = |v: &Vec<f64>| v.iter().map(|x| T::from_f64(*x)).collect::<Vec<T>>();
        let curvature = match &self.curvature {
            Curvature::Diagonal(h) => Curvature::Diagonal(cast(h)),
            Curvature::Full(h) => Curvature::Full(h.cast()),
        };
        Quadratic { curvature, center: self.center.as_ref().map(cast) }
    }
}

impl<T: Real> Quadratic<T> {
    /// How many parameters.
    pub fn dim(&self) -> usize {
        match &self.curvature {
            Curvature::Diagonal(h) => h.len(),
            Curvature::Full(h) => h.rows(),
        }
    }

    /// The center, if it is not 0.
    pub fn center(&self) -> Option<&[T]> {
        self.center.as_deref()
    }

    /// The Hessian as a full matrix.
    pub fn matrix(&self) -> Matrix<T> {
        match &self.curvature {
            Curvature::Diagonal(h) => {
                Matrix::from_fn(h.len(), h.len(), |i, j| if i == j { h[i] } else { T::default() })
            }
            Curvature::Full(h) => h.clone(),
        }
    }
}

fn finite_all(argument: &str, values: Vec<f64>) -> Result<Vec<f64>> {
    all_finite(argument, &values).map(|()| values)
}

fn checked_center(center: Option<Vec<f64>>, dim: usize) -> Result<Option<Vec<f64>>> {
    let Some(center) = center else { return Ok(None) };
    check("center", &center, dim)?;
    let center = finite_all("center", center)?;
    Ok(if center.iter().all(|c| *c == 0.0) { None } else { Some(center) })
}

impl<T: Real> Loss<T> for Quadratic<T> {
    fn dim(&self) -> usize {
        Quadratic::dim(self)
    }

    fn value(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        match &self.curvature {
            Curvature::Full(h) => quadratic_form(T::from_f64(0.5), h, self.center(), x, out, span),
            Curvature::Diagonal(h) => {
                span.check(x, h.len(), "x")?;
                span.check(out, 1, "out")?;
                dispatch(DiagonalForm { h, center: self.center(), x, out, span });
                Ok(())
            }
        }
    }

    fn grad(&self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        match &self.curvature {
            Curvature::Full(h) => Product::new(h).centered(self.center()).apply(x, out, span),
            Curvature::Diagonal(h) => diagonal_product(h, self.center(), x, out, span),
        }
    }

    fn leaps(&self) -> bool {
        matches!(self.curvature, Curvature::Diagonal(_))
    }

    fn leap(&self, steps: Leap<'_, T>, x: &mut [T], span: Span) -> Result<()> {
        match &self.curvature {
            Curvature::Full(_) => Err(Error::missing("a kernel for many steps")),
            Curvature::Diagonal(h) => {
                leap(&Bowl { h, center: self.center() }, steps, x, span);
                Ok(())
            }
        }
    }

    fn hess_vec(&self, x: &[T], v: &[T], out: &mut [T], span: Span) -> Result<()> {
        span.check(x, Quadratic::dim(self), "x")?;
        match &self.curvature {
            Curvature::Full(h) => Product::new(h).apply(v, out, span),
            Curvature::Diagonal(h) => diagonal_product(h, None, v, out, span),
        }
    }

    fn bowl(&self) -> Option<Quadratic<f64>> {
        let cast = |v: &Vec<T>| v.iter().map(|x| x.to_f64()).collect::<Vec<f64>>();
        let curvature = match &self.curvature {
            Curvature::Diagonal(h) => Curvature::Diagonal(cast(h)),
            Curvature::Full(h) => Curvature::Full(h.cast()),
        };
        Some(Quadratic { curvature, center: self.center.as_ref().map(cast) })
    }

    fn is_quadratic(&self) -> bool {
        true
    }

    fn third_along(&self, _x: &[T], _v: &[T], out: &mut [T], span: Span) -> Result<()> {
        let rows = Quadratic::dim(self);
        span.check(out, rows, "out")?;
        out[..rows * span.width].fill(T::default());
        Ok(())
    }
}

/// The gradient of a diagonal quadratic, coordinate by coordinate.
struct Bowl<'a, T> {
    h: &'a [T],
    center: Option<&'a [T]>,
}

impl<T: Real> Separable for Bowl<'_, T> {
    #[inline(always)]
    fn slope<N: Number>(&self, i: usize, x: N) -> N {
        let center = self.center.map_or(0.0, |c| c[i].to_f64());
        N::constant(self.h[i].to_f64()) * (x - N::constant(center))
    }
}

fn diagonal_product<T: Real>(h: &[T], center: Option<&[T]>, x: &[T], out: &mut [T], span: Span) -> Result<()> {
    span.check(x, h.len(), "x")?;
    span.check(out, h.len(), "out")?;
    dispatch(DiagonalProduct { h, center, x, out, span });
    Ok(())
}

/// `out_i = h_i (x_i - center_i)`.
struct DiagonalProduct<'a, T> {
    h: &'a [T],
    center: Option<&'a [T]>,
    x: &'a [T],
    out: &'a mut [T],
    span: Span,
}

impl<T: Real> Kernel for DiagonalProduct<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Span { n, width } = self.span;
        for (i, h) in self.h.iter().enumerate() {
            let h = T::V::<S>::splat(*h);
            let center = T::V::<S>::splat(self.center.map_or(T::default(), |c| c[i]));
            let mut lane = 0;
            while lane < n {
                // SAFETY: the rows were checked, and their width is a multiple of `LANES`.
                unsafe {
                    let x = T::V::<S>::load(self.x.as_ptr().add(i * width + lane));
                    (h * (x - center)).store(self.out.as_mut_ptr().add(i * width + lane));
                }
                lane += T::V::<S>::LANES;
            }
        }
    }
}

/// `½ Σ h_i (x_i - center_i)²`.
struct DiagonalForm<'a, T> {
    h: &'a [T],
    center: Option<&'a [T]>,
    x: &'a [T],
    out: &'a mut [T],
    span: Span,
}

impl<T: Real> Kernel for DiagonalForm<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Span { n, width } = self.span;
        let mut lane = 0;
        while lane < n {
            let mut sum = T::V::<S>::splat(T::default());
            for (i, h) in self.h.iter().enumerate() {
                let center = T::V::<S>::splat(self.center.map_or(T::default(), |c| c[i]));
                // SAFETY: the rows were checked, and their width is a multiple of `LANES`.
                let x = unsafe { T::V::<S>::load(self.x.as_ptr().add(i * width + lane)) } - center;
                sum = (T::V::<S>::splat(*h) * x).mul_add(x, sum);
            }
            // SAFETY: as above, and `out` has one row.
            unsafe { (T::V::<S>::constant(0.5) * sum).store(self.out.as_mut_ptr().add(lane)) };
            lane += T::V::<S>::LANES;
        }
    }
}

impl Quadratic<f64> {
    /// Component `i` of `H (x - center)`, with the operations of the block kernels.
    fn component(&self, i: usize, x: &[f64]) -> f64 {
        match &self.curvature {
            Curvature::Diagonal(h) => h[i] * self.offset(i, x),
            Curvature::Full(h) => {
                h.row(i).iter().enumerate().fold(0.0, |sum, (k, a)| a.mul_add(self.offset(k, x), sum))
            }
        }
    }

    fn offset(&self, i: usize, x: &[f64]) -> f64 {
        x[i] - self.center.as_ref().map_or(0.0, |c| c[i])
    }
}

impl PointLoss for Quadratic<f64> {
    fn dim(&self) -> usize {
        Quadratic::dim(self)
    }

    fn value(&self, x: &[f64]) -> Result<f64> {
        check("x", x, Quadratic::dim(self))?;
        Ok(0.5 * (0..x.len()).fold(0.0, |sum, i| self.component(i, x).mul_add(self.offset(i, x), sum)))
    }

    fn grad(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        check("x", x, Quadratic::dim(self))?;
        check("out", out, x.len())?;
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.component(i, x);
        }
        Ok(())
    }

    fn hessian(&self, x: &[f64], out: &mut [f64]) -> Result<()> {
        let dim = Quadratic::dim(self);
        check("x", x, dim)?;
        check("out", out, dim * dim)?;
        out.copy_from_slice(self.matrix().as_slice());
        Ok(())
    }

    fn third(&self, x: &[f64], s: &[f64], out: &mut [f64]) -> Result<()> {
        let dim = Quadratic::dim(self);
        check("x", x, dim)?;
        check("s", s, dim * dim)?;
        check("out", out, dim)?;
        out.fill(0.0);
        Ok(())
    }
}
