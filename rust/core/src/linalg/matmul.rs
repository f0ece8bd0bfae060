//! The product of a small dense matrix with a block of paths, blocked over registers.
//!
//! Every output element is one chain of `mul_add` over the columns in ascending order, however rows and lanes are
//! grouped, so the bits are the same on every instruction set.

use super::Matrix;
use crate::block::Span;
use crate::error::{Error, Result};
use crate::lanes::{Kernel, Number, Real, Simd, Vector, dispatch};

/// Rows of the matrix in one register block; vectors of lanes in one are [`wide`].
const ROWS: usize = 4;

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a, T> {
    /// Nothing.
    Zero,
    /// What `out` holds.
    Out,
    /// A constant for each row.
    Rows(&'a [T]),
}

/// The computation `out = start + a (x - center)` on a block.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a, T> {
    matrix: &'a Matrix<T>,
    center: Option<&'a [T]>,
    start: Start<'a, T>,
    lower: bool,
}

impl<'a, T: Real> Product<'a, T> {
    /// `out = matrix x`.
    pub fn new(matrix: &'a Matrix<T>) -> Self {
        Self { matrix, center: None, start: Start::Zero, lower: false }
    }

    /// Multiplies `x - center`, with one element of `center` for each row of `x`.
    pub fn centered(mut self, center: Option<&'a [T]>) -> Self {
        self.center = center;
        self
    }

    /// Adds to `start`, which is where the chain of `mul_add` begins.
    pub fn onto(mut self, start: Start<'a, T>) -> Self {
        self.start = start;
        self
    }

    /// Takes the (square) matrix as lower triangular: what is above its diagonal is not read.
    pub fn lower(mut self) -> Self {
        self.lower = true;
        self
    }

    /// Computes: `x` has a row for each column of the matrix, `out` one for each of its rows.
    pub fn apply(self, x: &[T], out: &mut [T], span: Span) -> Result<()> {
        self.check_all(x, out, span)?;
        dispatch(Run { product: self, x, out, span });
        Ok(())
    }

    /// Fails where lengths do not fit.
    pub(super) fn check_all(&self, x: &[T], out: &[T], span: Span) -> Result<()> {
        self.check(x, span)?;
        span.check(out, self.matrix.rows(), "out")?;
        if let Start::Rows(rows) = self.start
            && rows.len() != self.matrix.rows()
        {
            return Err(Error::invalid("start", format!("{} elements, not {}", rows.len(), self.matrix.rows())));
        }
        Ok(())
    }

    fn check(&self, x: &[T], span: Span) -> Result<()> {
        span.check(x, self.matrix.cols(), "x")?;
        if let Some(center) = self.center
            && center.len() != self.matrix.cols()
        {
            return Err(Error::invalid("center", format!("{} elements, not {}", center.len(), self.matrix.cols())));
        }
        if self.lower && self.matrix.rows() != self.matrix.cols() {
            let shape = format!("shape ({}, {}) is not square", self.matrix.rows(), self.matrix.cols());
            return Err(Error::invalid("matrix", shape));
        }
        Ok(())
    }
}

/// `factor (x - center)ᵀ matrix (x - center)` of every path: one row.
pub(crate) fn quadratic_form<T: Real>(
    factor: T,
    matrix: &Matrix<T>,
    center: Option<&[T]>,
    x: &[T],
    out: &mut [T],
    span: Span,
) -> Result<()> {
    let product = Product::new(matrix).centered(center);
    product.check(x, span)?;
    span.check(out, 1, "out")?;
    if matrix.rows() != matrix.cols() {
        return Err(Error::invalid("matrix", "a quadratic form needs a square matrix"));
    }
    dispatch(Form { factor, product, x, out, span });
    Ok(())
}

/// Whether register blocks are four vectors wide, as 32 registers allow, or two.
#[inline(always)]
fn wide<S: Simd>() -> bool {
    S::F64::LANES >= 8
}

/// Part of a product: where a register block begins, and the rows it reads.
struct Tile<'a, T> {
    product: Product<'a, T>,
    x: *const T,
    width: usize,
    row: usize,
}

impl<T: Real> Tile<'_, T> {
    /// The vector of `x - center` at `(k, lane)`, or of `x`.
    ///
    /// # Safety
    /// `k` must be a column of the matrix and `lane` plus the vector must not exceed `width`.
    #[inline(always)]
    unsafe fn load<V: Vector<Elem = T>, const CENTERED: bool>(&self, k: usize, lane: usize) -> V {
        // SAFETY: `x` has `cols` rows of `width` lanes and `center` has `cols` elements, by `Product::check`.
        unsafe {
            let x = V::load(self.x.add(k * self.width + lane));
            match self.product.center {
                Some(center) if CENTERED => x - V::splat(*center.get_unchecked(k)),
                _ => x,
            }
        }
    }

    /// Adds the products of rows `row..row + R` with `C` vectors from `lane` on to `sums`.
    ///
    /// # Safety
    /// The rows must be rows of the matrix, and the vectors must lie in `width` lanes.
    #[inline(always)]
    unsafe fn multiply<V: Vector<Elem = T>, const R: usize, const C: usize, const CENTERED: bool>(
        &self,
        lane: usize,
        sums: &mut [[V; C]; R],
    ) {
        let (row, cols) = (self.row, self.product.matrix.cols());
        let data = self.product.matrix.as_slice().as_ptr();
        let full = if self.product.lower { row } else { cols };
        let mut s = *sums;
        // SAFETY: indices below stay within the matrix, and `x` is read as `load` allows.
        unsafe {
            for k in 0..full {
                let mut x = [V::splat(T::default()); C];
                for (c, x) in x.iter_mut().enumerate() {
                    *x = self.load::<V, CENTERED>(k, lane + c * V::LANES);
                }
                for (r, s) in s.iter_mut().enumerate() {
                    let a = V::splat(*data.add((row + r) * cols + k));
                    for (s, x) in s.iter_mut().zip(x) {
                        *s = a.mul_add(x, *s);
                    }
                }
            }
            if self.product.lower {
                for k in 0..R {
                    let mut x = [V::splat(T::default()); C];
                    for (c, x) in x.iter_mut().enumerate() {
                        *x = self.load::<V, CENTERED>(row + k, lane + c * V::LANES);
                    }
                    for (r, s) in s.iter_mut().enumerate() {
                        if r >= k {
                            let a = V::splat(*data.add((row + r) * cols + row + k));
                            for (s, x) in s.iter_mut().zip(x) {
                                *s = a.mul_add(x, *s);
                            }
                        }
                    }
                }
            }
        }
        *sums = s;
    }
}

struct Run<'a, T> {
    product: Product<'a, T>,
    x: &'a [T],
    out: &'a mut [T],
    span: Span,
}

impl<T: Real> Kernel for Run<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        if self.product.center.is_some() {
            self.lanes::<S, true>();
        } else {
            self.lanes::<S, false>();
        }
    }
}

impl<T: Real> Run<'_, T> {
    #[inline(always)]
    fn lanes<S: Simd, const CENTERED: bool>(&mut self) {
        let (n, lanes) = (self.span.n, T::V::<S>::LANES);
        let mut lane = 0;
        if wide::<S>() {
            while lane + 3 * lanes < n && lane + 4 * lanes <= self.span.width {
                self.rows::<S, 4, CENTERED>(lane);
                lane += 4 * lanes;
            }
        }
        while lane + lanes < n && lane + 2 * lanes <= self.span.width {
            self.rows::<S, 2, CENTERED>(lane);
            lane += 2 * lanes;
        }
        while lane < n {
            self.rows::<S, 1, CENTERED>(lane);
            lane += lanes;
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const C: usize, const CENTERED: bool>(&mut self, lane: usize) {
        let rows = self.product.matrix.rows();
        let mut row = 0;
        while row + ROWS <= rows {
            self.tile::<S, ROWS, C, CENTERED>(row, lane);
            row += ROWS;
        }
        match rows - row {
            1 => self.tile::<S, 1, C, CENTERED>(row, lane),
            2 => self.tile::<S, 2, C, CENTERED>(row, lane),
            3 => self.tile::<S, 3, C, CENTERED>(row, lane),
            _ => {}
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize, const CENTERED: bool>(&mut self, row: usize, lane: usize) {
        let width = self.span.width;
        let tile = Tile { product: self.product, x: self.x.as_ptr(), width, row };
        let out = self.out.as_mut_ptr();
        let mut sums = [[T::V::<S>::splat(T::default()); C]; R];
        // SAFETY: the callers keep `row + R <= rows` and `lane + C * LANES <= width`; `Product::apply` checked that
        // `out` has `rows` rows and that the constants have `rows` elements.
        unsafe {
            for (r, sum) in sums.iter_mut().enumerate() {
                for (c, s) in sum.iter_mut().enumerate() {
                    *s = match self.product.start {
                        Start::Zero => continue,
                        Start::Out => T::V::<S>::load(out.add((row + r) * width + lane + c * T::V::<S>::LANES)),
                        Start::Rows(constants) => T::V::<S>::splat(*constants.get_unchecked(row + r)),
                    };
                }
            }
            tile.multiply::<T::V<S>, R, C, CENTERED>(lane, &mut sums);
            for (r, sum) in sums.iter().enumerate() {
                for (c, s) in sum.iter().enumerate() {
                    s.store(out.add((row + r) * width + lane + c * T::V::<S>::LANES));
                }
            }
        }
    }
}

struct Form<'a, T> {
    factor: T,
    product: Product<'a, T>,
    x: &'a [T],
    out: &'a mut [T],
    span: Span,
}

impl<T: Real> Kernel for Form<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (lanes, width) = (T::V::<S>::LANES, self.span.width);
        let mut lane = 0;
        while lane < self.span.n {
            let mut total = T::V::<S>::splat(T::default());
            for row in 0..self.product.matrix.rows() {
                let tile = Tile { product: self.product, x: self.x.as_ptr(), width, row };
                let mut sums = [[T::V::<S>::splat(T::default())]];
                // SAFETY: `row` is a row, and `lane + LANES <= width` since `width` is a multiple of `LANES`.
                unsafe {
                    tile.multiply::<T::V<S>, 1, 1, true>(lane, &mut sums);
                    total = sums[0][0].mul_add(tile.load::<T::V<S>, true>(row, lane), total);
                }
            }
            // SAFETY: `out` has a row of `width` lanes.
            unsafe { (T::V::<S>::splat(self.factor) * total).store(self.out.as_mut_ptr().add(lane)) };
            lane += lanes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};

    fn noise(count: usize, salt: u64) -> Vec<f64> {
        let mut state = salt.wrapping_mul(0x9e3779b97f4a7c15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    /// Fused multiply-add of the element type.
    trait Fused: Real {
        fn fused(self, b: Self, c: Self) -> Self;
        fn sub(self, b: Self) -> Self;
        fn bits(self) -> u64;
    }
    macro_rules! fused {
        ($t:ty) => {
            impl Fused for $t {
                fn fused(self, b: Self, c: Self) -> Self {
                    <$t>::mul_add(self, b, c)
                }
                fn sub(self, b: Self) -> Self {
                    self - b
                }
                fn bits(self) -> u64 {
                    u64::from(self.to_bits())
                }
            }
        };
    }
    fused!(f32);
    fused!(f64);

    fn case<T: Fused>(rows: usize, cols: usize, span: Span, lower: bool, centered: bool, start: u8) {
        let salt = (rows * 100 + cols) as u64;
        let cast = |v: Vec<f64>| v.into_iter().map(T::from_f64).collect::<Vec<T>>();
        let a = Matrix::new(rows, cols, cast(noise(rows * cols, salt))).unwrap();
        let (x, c) = (cast(noise(cols * span.width, salt + 1)), cast(noise(cols, salt + 2)));
        let (before, b) = (cast(noise(rows * span.width, salt + 3)), cast(noise(rows, salt + 4)));
        let mut expected = before.clone();
        for r in 0..rows {
            for p in 0..span.n {
                let mut sum = [T::default(), before[r * span.width + p], b[r]][usize::from(start)];
                for k in 0..if lower { r + 1 } else { cols } {
                    let z = x[k * span.width + p];
                    let z = if centered { z.sub(c[k]) } else { z };
                    sum = a[(r, k)].fused(z, sum);
                }
                expected[r * span.width + p] = sum;
            }
        }
        for isa in available() {
            let mut out = before.clone();
            let mut product = Product::new(&a).centered(centered.then_some(&c[..]));
            product = product.onto([Start::Zero, Start::Out, Start::Rows(&b)][usize::from(start)]);
            product = if lower { product.lower() } else { product };
            with_isa(isa, || product.apply(&x, &mut out, span)).unwrap();
            for r in 0..rows {
                for p in 0..span.n {
                    let (got, want) = (out[r * span.width + p], expected[r * span.width + p]);
                    assert_eq!(
                        got.bits(),
                        want.bits(),
                        "{isa:?} ({rows}, {cols}) {span:?} at ({r}, {p}) {got:?} {want:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn all_shapes_have_the_bits_of_the_plain_loop() {
        let spans = [Span::of(1), Span { n: 16, width: 32 }, Span::of(37), Span { n: 80, width: 80 }];
        for rows in 1..=20 {
            for cols in 1..=20 {
                for (i, span) in spans.into_iter().enumerate() {
                    let k = rows + cols + i;
                    case::<f64>(rows, cols, span, false, k % 2 == 0, (k % 3) as u8);
                    case::<f32>(rows, cols, span, false, k % 2 == 1, (k % 3) as u8);
                }
            }
        }
    }

    #[test]
    fn all_triangles_have_the_bits_of_the_plain_loop() {
        for d in 1..=20 {
            for span in [Span::of(5), Span::of(48), Span { n: 100, width: 128 }] {
                for start in 0..3 {
                    case::<f64>(d, d, span, true, d % 2 == 0, start);
                    case::<f32>(d, d, span, true, d % 2 == 0, start);
                }
            }
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let a = Matrix::<f64>::zeros(2, 3);
        let mut out = vec![0.0; 32];
        assert!(Product::new(&a).apply(&[0.0; 32], &mut out, Span::of(16)).is_err());
        assert!(Product::new(&a).lower().apply(&[0.0; 48], &mut out, Span::of(16)).is_err());
        assert!(Product::new(&a).centered(Some(&[0.0])).apply(&[0.0; 48], &mut out, Span::of(16)).is_err());
        assert!(Product::new(&a).onto(Start::Rows(&[0.0])).apply(&[0.0; 48], &mut out, Span::of(16)).is_err());
        assert!(Product::new(&a).apply(&[0.0; 48], &mut out[..16], Span::of(16)).is_err());
        assert!(Product::new(&a).apply(&[0.0; 48], &mut out, Span { n: 8, width: 8 }).is_err());
    }
}
