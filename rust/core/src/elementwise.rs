//! Element-wise updates of blocks: what schemes do between two evaluations of drift and diffusion.
//!
//! Every slice is a whole number of rows, hence of vectors.

use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// Runs `f` over the vectors of `out`; what `f` reads besides is its own affair.
#[inline(always)]
fn each<V: Vector>(out: &mut [V::Elem], mut f: impl FnMut(usize, V) -> V) {
    debug_assert!(out.len().is_multiple_of(V::LANES));
    for p in (0..out.len()).step_by(V::LANES) {
        // SAFETY: the length is a multiple of the lanes.
        unsafe {
            let old = V::load(out.as_ptr().add(p));
            f(p, old).store(out.as_mut_ptr().add(p));
        }
    }
}

/// Reads a vector of `x` at `p`.
#[inline(always)]
pub(crate) fn at<V: Vector>(x: &[V::Elem], p: usize) -> V {
    debug_assert!(p + V::LANES <= x.len());
    // SAFETY: callers pass slices as long as the one they iterate over.
    unsafe { V::load(x.as_ptr().add(p)) }
}

/// Writes a vector to `x` at `p`.
#[inline(always)]
pub(crate) fn put<V: Vector>(x: &mut [V::Elem], p: usize, value: V) {
    debug_assert!(p + V::LANES <= x.len());
    // SAFETY: as for `at`.
    unsafe { value.store(x.as_mut_ptr().add(p)) };
}

macro_rules! kernels {
    ($($(#[$doc:meta])* $name:ident, $kernel:ident($($slice:ident),*; $($constant:ident),*) |$old:ident $(, $v:ident)*| $value:expr;)*) => {$(
        struct $kernel<'a, T> { out: &'a mut [T], $($slice: &'a [T],)* $($constant: T,)* }

        impl<T: Real> Kernel for $kernel<'_, T> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self) {
                let Self { out, $($slice,)* $($constant,)* } = self;
                $(let $constant = <T::V<S>>::splat($constant);)*
                each::<T::V<S>>(out, |p, $old| {
                    let _ = p;
                    $(let $v = at::<T::V<S>>($slice, p);)*
                    $value
                });
            }
        }

        $(#[$doc])*
        #[allow(clippy::too_many_arguments)] // as many as the formula has letters
        pub fn $name<T: Real>(out: &mut [T], $($slice: &[T],)* $($constant: f64),*) {
            $(assert!($slice.len() >= out.len());)*
            dispatch($kernel { out, $($slice,)* $($constant: T::from_f64($constant)),* });
        }
    )*};
}

kernels! {
    /// `out = c · out`.
    scale, Scale(; c) |old| c * old;
    /// `out = c · out²`.
    scale_square, ScaleSquare(; c) |old| c * (old * old);
    /// `out = out · y`.
    multiply, Multiply(y;) |old, y| old * y;
    /// `out = c · out + y`.
    scale_add, ScaleAdd(y; c) |old, y| c.mul_add(old, y);
    /// `out += c · y`.
    add_scaled, AddScaled(y; c) |old, y| c.mul_add(y, old);
    /// `out += c · y²`.
    add_scaled_square, AddScaledSquare(y; c) |old, y| (c * y).mul_add(y, old);
    /// `out += y · z`.
    add_product, AddProduct(y, z;) |old, y, z| y.mul_add(z, old);
    /// `out = x + c · y`.
    assign_add_scaled, AssignAddScaled(x, y; c) |_old, x, y| c.mul_add(y, x);
    /// An Euler step with deviations: `out += h · a + b · w`.
    euler_diagonal, EulerDiagonal(a, b, w; h) |old, a, b, w| b.mul_add(w, h.mul_add(a, old));
    /// An Euler step with noise already multiplied: `out += h · a + noise`.
    euler_noise, EulerNoise(a, noise; h) |old, a, noise| h.mul_add(a, old) + noise;
    /// What the trapezoidal rule adds to an Euler step: `out += half · (later - a)`.
    trapezoid, Trapezoid(a, later; half) |old, a, later| half.mul_add(later - a, old);
    /// The same on deviations: `out += half · (later - b) · w`.
    trapezoid_noise, TrapezoidNoise(b, later, w; half) |old, b, later, w| (half * (later - b)).mul_add(w, old);
    /// A Milstein step of diagonal noise: `out += scale · a + b · w + (bdb / 2)(w² - h)`.
    milstein_diagonal, MilsteinDiagonal(a, b, bdb, w; scale, h, half)
        |old, a, b, bdb, w| (half * bdb).mul_add(w.mul_add(w, -h), b.mul_add(w, scale.mul_add(a, old)));
    /// A derivative-free Milstein step of diagonal noise, `shifted` being `b` one deviation away:
    /// `out += scale · a + b · w + (shifted - b) · half_over_root · (w² - h)`.
    milstein_diagonal_free, MilsteinDiagonalFree(a, b, shifted, w; scale, h, half_over_root)
        |old, a, b, shifted, w| ((shifted - b) * half_over_root).mul_add(w.mul_add(w, -h), b.mul_add(w, scale.mul_add(a, old)));
    /// Platen's step of diagonal noise, `up` and `down` being `b` one deviation away on either side:
    /// `out += half (a + later) + quarter (up + down + 2 b) w + (up - down) over (w² - h)`.
    platen_diagonal, PlatenDiagonal(a, later, b, up, down, w; half, quarter, h, over)
        |old, a, later, b, up, down, w| (over * w.mul_add(w, -h)).mul_add(
            up - down,
            (quarter * w).mul_add((up + down) + (b + b), half.mul_add(a + later, old)),
        );
    /// `out += c_1 y_1 + c_2 y_2 + c_3 y_3`.
    add_three, AddThree(y1, y2, y3; c1, c2, c3) |old, y1, y2, y3| c3.mul_add(y3, c2.mul_add(y2, c1.mul_add(y1, old)));
    /// `out = x + c_1 y_1 + c_2 y_2`.
    assign_add_two, AssignAddTwo(x, y1, y2; c1, c2) |_old, x, y1, y2| c2.mul_add(y2, c1.mul_add(y1, x));
    /// `out += c_1 y_1 + c_2 y_2`.
    add_two, AddTwo(y1, y2; c1, c2) |old, y1, y2| c2.mul_add(y2, c1.mul_add(y1, old));
    /// `out += (c · y) · z`.
    add_scaled_product, AddScaledProduct(y, z; c) |old, y, z| (c * y).mul_add(z, old);
    /// `out += (a_1 + 2 a_2 + 2 a_3 + a_4) · sixth`: the last line of the classical Runge–Kutta step.
    runge_kutta, RungeKutta(a1, a2, a3, a4; sixth, two)
        |old, a1, a2, a3, a4| sixth.mul_add(two.mul_add(a2 + a3, a1 + a4), old);
}

/// An Euler step with a constant deviation for each row: `out += h · a + b · w`.
pub fn euler_constant<T: Real>(out: &mut [T], a: &[T], w: &[T], h: f64, deviations: &[f64], width: usize) {
    let len = deviations.len() * width;
    assert!(out.len() == len && a.len() >= len && w.len() >= len);
    dispatch(EulerConstant { out, a, w, h, deviations, width });
}

struct EulerConstant<'a, T> {
    out: &'a mut [T],
    a: &'a [T],
    w: &'a [T],
    h: f64,
    deviations: &'a [f64],
    width: usize,
}

impl<T: Real> Kernel for EulerConstant<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { out, a, w, h, deviations, width } = self;
        let h = <T::V<S>>::constant(h);
        for ((row, b), (a, w)) in
            out.chunks_exact_mut(width).zip(deviations).zip(a.chunks_exact(width).zip(w.chunks_exact(width)))
        {
            let b = <T::V<S>>::constant(*b);
            each::<T::V<S>>(row, |p, old| b.mul_add(at(w, p), h.mul_add(at(a, p), old)));
        }
    }
}

/// `out_i += (c · s_i) · y_i`, with a constant `s_i` for each row.
pub fn add_scaled_rows<T: Real>(out: &mut [T], y: &[T], c: f64, constants: &[f64], width: usize) {
    assert!(out.len() == constants.len() * width && y.len() >= out.len());
    dispatch(AddScaledRows { out, y, c, constants, width });
}

struct AddScaledRows<'a, T> {
    out: &'a mut [T],
    y: &'a [T],
    c: f64,
    constants: &'a [f64],
    width: usize,
}

impl<T: Real> Kernel for AddScaledRows<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { out, y, c, constants, width } = self;
        for ((row, s), y) in out.chunks_exact_mut(width).zip(constants).zip(y.chunks_exact(width)) {
            let s = <T::V<S>>::constant(c * s);
            each::<T::V<S>>(row, |p, old| s.mul_add(at(y, p), old));
        }
    }
}

/// `out_i = own_i · out_i + Σ_k c_k,i · y_k,i`, with constants for each row; terms are added up before they meet `out`.
pub fn combine_rows<T: Real, const K: usize>(out: &mut [T], own: &[f64], terms: [(&[T], &[f64]); K], width: usize) {
    assert!(out.len() == own.len() * width);
    assert!(terms.iter().all(|(y, c)| y.len() >= out.len() && c.len() == own.len()));
    dispatch(CombineRows { out, own, terms, width });
}

struct CombineRows<'a, T, const K: usize> {
    out: &'a mut [T],
    own: &'a [f64],
    terms: [(&'a [T], &'a [f64]); K],
    width: usize,
}

impl<T: Real, const K: usize> Kernel for CombineRows<'_, T, K> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { out, own, terms, width } = self;
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            let own = <T::V<S>>::constant(own[i]);
            let c: [T::V<S>; K] = std::array::from_fn(|k| <T::V<S>>::constant(terms[k].1[i]));
            each::<T::V<S>>(row, |p, old| {
                let mut sum = <T::V<S>>::constant(0.0);
                for k in 0..K {
                    sum = c[k].mul_add(at(terms[k].0, i * width + p), sum);
                }
                own.mul_add(old, sum)
            });
        }
    }
}

/// Multiplies each row by its own constant.
pub fn scale_rows<T: Real>(rows: &mut [T], constants: &[f64], width: usize) {
    for (row, c) in rows.chunks_exact_mut(width).zip(constants) {
        scale(row, *c);
    }
}
