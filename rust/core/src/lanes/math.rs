//! Elementary functions on lanes: branch-free, from exact integer operations and single-rounded floating ones, so that
//! every instruction set gives the same bits.
//!
//! The coefficients are minimax fits by `tools/fit_polynomials.py`; each comment gives the largest error of the
//! polynomial itself, before the rounding of its evaluation.

use super::{Bits, Number};

/// A number whose bit pattern can be worked on: one float or lanes of them.
pub trait Float: Number {
    /// The integers of the same width.
    type Bits: Bits;
    /// The bit pattern.
    fn to_bits(self) -> Self::Bits;
    /// The number with that bit pattern.
    fn from_bits(bits: Self::Bits) -> Self;
    /// Per lane: `a` where `self < b`, else `c` (NaN in the comparison selects `c`).
    fn choose_lt(self, b: Self, a: Self, c: Self) -> Self;
    /// `self` limited to [low, high]; NaN stays.
    fn clamp(self, low: Self, high: Self) -> Self;
    /// `self * 2^k`, rounded once, for `k` an integer and `self` in [0.5, 2]; `k` within ±1100 for `f64`, ±200 for `f32`.
    fn scale_by_power(self, k: Self) -> Self;
}

/// The polynomial with these coefficients, lowest first, by Horner's rule. A macro: loops of eight or more rounds
/// would stay loops.
macro_rules! polynomial {
    ($x:expr; $c:expr) => { $crate::lanes::math::constant_like($x, $c) };
    ($x:expr; $c:expr, $($rest:expr),+) => {
        $crate::lanes::math::polynomial!($x; $($rest),+).mul_add($x, $crate::lanes::math::constant_like($x, $c))
    };
}
pub(crate) use polynomial;

/// The constant `c` in the type of `x`.
#[inline(always)]
pub fn constant_like<N: Number>(_x: N, c: f64) -> N {
    N::constant(c)
}

/// Adding this rounds a `f64` to an integer, which then stands in the low bits.
const ROUND_64: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
/// The same for `f32`.
const ROUND_32: f64 = 12_582_912.0; // 1.5 * 2^23

/// `x` limited to [low, high]; NaN stays.
#[inline(always)]
fn clamp<F: Float>(x: F, low: f64, high: f64) -> F {
    x.clamp(F::constant(low), F::constant(high))
}

/// The power of two whose exponent stands in the low bits of `t`.
#[inline(always)]
fn power<F: Float>(t: F, bias: u64, mantissa_bits: u32) -> F {
    F::from_bits(t.to_bits().add_wrap(F::Bits::splat(bias)).shift_left(mantissa_bits))
}

/// [`Float::scale_by_power`] for `f64`: two factors, each a power of two in range, of which the first is exact.
#[inline(always)]
pub fn scale64<F: Float>(x: F, k: F) -> F {
    let magic = F::constant(ROUND_64);
    let half = k.mul_add(F::constant(0.5), magic);
    let rest = (k - (half - magic)) + magic;
    x * power(half, 1023, 52) * power(rest, 1023, 52)
}

/// [`Float::scale_by_power`] for `f32`.
#[inline(always)]
pub fn scale32<F: Float>(x: F, k: F) -> F {
    let magic = F::constant(ROUND_32);
    let half = k.mul_add(F::constant(0.5), magic);
    let rest = (k - (half - magic)) + magic;
    x * power(half, 127, 23) * power(rest, 127, 23)
}

/// `(k, p)` with `e^x = 2^k (1 + p)` and `k` an integer, for `f64`: `p` is accurate for itself, also where it is small.
#[inline(always)]
fn reduced_exp64<F: Float>(x: F) -> (F, F) {
    let magic = F::constant(ROUND_64);
    let t = x.mul_add(F::constant(std::f64::consts::LOG2_E), magic);
    let k = t - magic;
    // ln 2 in two parts: 106 bits
    let r = (-k).mul_add(F::constant(std::f64::consts::LN_2), x);
    let r = (-k).mul_add(F::constant(2.319_046_813_846_299_6e-17), r);
    // (e^r - 1 - r) / r^2 on |r| <= ln(2)/2, error 1.1e-17 of e^r
    let q = polynomial!(r; 0.5000000000000011, 0.16666666666666413, 0.04166666666653026, 0.008333333333494335,
        0.0013888888943598735, 0.00019841269506770134, 2.4801493135053868e-05, 2.755758627863123e-06,
        2.763023433404016e-07, 2.50000674952869e-08);
    (k, (r * r).mul_add(q, r))
}

/// [`reduced_exp64`] for `f32`.
#[inline(always)]
fn reduced_exp32<F: Float>(x: F) -> (F, F) {
    let magic = F::constant(ROUND_32);
    let t = x.mul_add(F::constant(std::f64::consts::LOG2_E), magic);
    let k = t - magic;
    let r = (-k).mul_add(F::constant(0.693_147_182_464_599_6), x);
    let r = (-k).mul_add(F::constant(-1.904_654_212_125_933_6e-9), r);
    // as in reduced_exp64, error 3.8e-9
    let q = polynomial!(r; 0.49999994, 0.16666521, 0.04166839, 0.00836871, 0.0013814615);
    (k, (r * r).mul_add(q, r))
}

/// Exponential of `f64` lanes.
#[inline(always)]
pub fn exp64<F: Float>(x: F) -> F {
    // beyond these the result is 0 or infinite; within them k stays small
    let (k, p) = reduced_exp64(clamp(x, -746.0, 710.0));
    (p + F::constant(1.0)).scale_by_power(k)
}

/// `e^x - 1` of `f64` lanes that are not negative, accurate where it is small.
#[inline(always)]
pub fn exp_minus_one64<F: Float>(x: F) -> F {
    let (k, p) = reduced_exp64(clamp(x, -746.0, 710.0));
    let one = F::constant(1.0);
    (p + (one - one.scale_by_power(-k))).scale_by_power(k)
}

/// Exponential of `f32` lanes.
#[inline(always)]
pub fn exp32<F: Float>(x: F) -> F {
    let (k, p) = reduced_exp32(clamp(x, -104.0, 89.0));
    (p + F::constant(1.0)).scale_by_power(k)
}

/// `1/(1 + e^-x)` where `-x = k ln 2 - r`, `tanh(r/2) = odd/even`, and `k` stands in the low bits of `t`: within
/// bounds that keep the products normal, adding to the exponent is all that multiplying by the power of two is.
#[inline(always)]
fn sigmoid_of_reduced<F: Float>(t: F, even: F, odd: F, mantissa_bits: u32) -> F {
    // e^-x = 2^k e / one, with a quotient less than two
    let (one, e) = (even + odd, even - odd);
    let e = F::from_bits(e.to_bits().add_wrap(t.to_bits().shift_left(mantissa_bits)));
    one / (one + e)
}

/// `1/(1 + e^-x)` of `f64` lanes, to two or three ulp; from -700 on down it stays what it is there, 1e-304.
#[inline(always)]
pub fn sigmoid64<F: Float>(x: F) -> F {
    let (x, magic) = (clamp(x, -700.0, 700.0), F::constant(ROUND_64));
    let t = x.mul_add(F::constant(-std::f64::consts::LOG2_E), magic);
    let k = t - magic;
    // ln 2 in two parts: 106 bits
    let r = k.mul_add(F::constant(std::f64::consts::LN_2), x);
    let r = k.mul_add(F::constant(2.319_046_813_846_299_6e-17), r);
    // on |r| <= ln(2)/2 error 3.3e-18 of e^r
    let w = r * r;
    let odd = r * polynomial!(w; 504.125, 14.002232038561209, 0.03332094122205321);
    let even = w.mul_add(w + F::constant(112.02529741045682), F::constant(1008.25));
    sigmoid_of_reduced(t, even, odd, 52)
}

/// `1/(1 + e^-x)` of `f32` lanes, to two or three ulp; from -83 on down it stays what it is there, 9e-37.
#[inline(always)]
pub fn sigmoid32<F: Float>(x: F) -> F {
    let (x, magic) = (clamp(x, -83.0, 83.0), F::constant(ROUND_32));
    let t = x.mul_add(F::constant(-std::f64::consts::LOG2_E), magic);
    let k = t - magic;
    let r = k.mul_add(F::constant(0.693_147_182_464_599_6), x);
    let r = k.mul_add(F::constant(-1.904_654_212_125_933_6e-9), r);
    // as in sigmoid64, error 4.6e-10
    let w = r * r;
    let odd = r * w.mul_add(F::constant(0.08327237), F::constant(5.0007324));
    let even = w + F::constant(10.001465);
    sigmoid_of_reduced(t, even, odd, 23)
}

/// `-2 |x|`, kept to where `e^(-2|x|)` still counts beside 1.
#[inline(always)]
fn tanh_exponent<F: Float>(x: F, bound: f64) -> F {
    let zero = F::constant(0.0);
    let negative = clamp(x.choose_lt(zero, x, -x), -bound, 0.0);
    negative + negative
}

/// Hyperbolic tangent of `x` where `e^(-2|x|) = 2^k (1 + p)`.
#[inline(always)]
fn tanh_of_reduced<F: Float>(x: F, (k, p): (F, F)) -> F {
    let (zero, one) = (F::constant(0.0), F::constant(1.0));
    let power = one.scale_by_power(k);
    // e^(-2|x|) - 1 loses no digits: for k = 0 it is p itself, else the two terms are far from cancelling
    let e = power.mul_add(p, power - one);
    let t = e / (e + F::constant(2.0));
    x.choose_lt(zero, t, zero - t)
}

/// Hyperbolic tangent of `f64` lanes: relative error about 4e-16.
#[inline(always)]
pub fn tanh64<F: Float>(x: F) -> F {
    tanh_of_reduced(x, reduced_exp64(tanh_exponent(x, 20.0)))
}

/// Hyperbolic tangent of `f32` lanes: relative error about 2e-7.
#[inline(always)]
pub fn tanh32<F: Float>(x: F) -> F {
    tanh_of_reduced(x, reduced_exp32(tanh_exponent(x, 10.0)))
}

/// Splits a positive normal `x = 2^k z`, `z` in [0.75, 1.5), by the bits: `three_quarters` are those of 0.75, `offset`
/// keeps the shifted exponent positive, and `magic` is the bit pattern of the power of two with unit spacing.
#[inline(always)]
fn split<F: Float>(x: F, mantissa_bits: u32, three_quarters: u64, offset: u64, magic: u64) -> (F, F) {
    let splat = F::Bits::splat;
    let bits = x.to_bits();
    let shifted = bits.sub_wrap(splat(three_quarters)).add_wrap(splat(offset << mantissa_bits));
    let k = shifted.shift_right(mantissa_bits);
    let z = bits.sub_wrap(k.shift_left(mantissa_bits)).add_wrap(splat(offset << mantissa_bits));
    let unit = F::from_bits(splat(magic));
    (F::from_bits(k.or(splat(magic))) - (unit + F::constant(offset as f64)), F::from_bits(z))
}

/// `log x` for `x = 2^k z`, given `q` of `log z = s (2 + s² q(s²))`, `s = (z - 1)/(z + 1)`; `y` is `x` as it came.
#[inline(always)]
fn log_parts<F: Float>(y: F, k: F, z: F, ln2: [f64; 2], q: impl Fn(F) -> F) -> F {
    let one = F::constant(1.0);
    let s = (z - one) / (z + one);
    let w = s * s;
    let log = s * w.mul_add(q(w), F::constant(2.0));
    let log = k.mul_add(F::constant(ln2[0]), k.mul_add(F::constant(ln2[1]), log));
    // 0 gives -∞, numbers below it NaN; ∞ and NaN stay
    let infinity = F::constant(f64::INFINITY);
    let log = y.choose_lt(infinity, log, y);
    F::constant(0.0).choose_lt(y, log, y.sqrt() - infinity)
}

/// Natural logarithm of `f64` lanes, to about an ulp.
#[inline(always)]
pub fn ln64<F: Float>(y: F) -> F {
    // subnormal numbers are lifted first
    let least = F::constant(f64::MIN_POSITIVE);
    let x = y.choose_lt(least, y * F::constant(18_014_398_509_481_984.0), y);
    let lift = y.choose_lt(least, F::constant(54.0), F::constant(0.0));
    let (k, z) = split(x, 52, 0.75_f64.to_bits(), 1100, 0x433 << 52);
    // ln 2 in two parts, of which the first times k is exact
    let ln2 = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
    log_parts(y, k - lift, z, ln2, |w| {
        // error 1.5e-17 of the logarithm
        polynomial!(w; 0.6666666666667268, 0.39999999996176927, 0.2857142939282421, 0.22222138684896153,
            0.18186349176183195, 0.15250316078334522, 0.15367268904890782)
    })
}

/// Natural logarithm of `f32` lanes.
#[inline(always)]
pub fn ln32<F: Float>(y: F) -> F {
    let least = F::constant(f32::MIN_POSITIVE.into());
    let x = y.choose_lt(least, y * F::constant(33_554_432.0), y);
    let lift = y.choose_lt(least, F::constant(25.0), F::constant(0.0));
    let (k, z) = split(x, 23, 0.75_f32.to_bits().into(), 140, 0x96 << 23);
    let ln2 = [0.693_145_75, 1.428_606_8e-6];
    // error 3.3e-9 of the logarithm
    log_parts(y, k - lift, z, ln2, |w| polynomial!(w; 0.6666695, 0.3995791, 0.30359063))
}

/// Puts sine and cosine of the reduced angle into place: `t` holds the quadrant in its low two bits.
#[inline(always)]
fn quadrant<F: Float>(t: F, sin: F, cos: F, top: u32) -> (F, F) {
    let t = t.to_bits();
    let (one, two) = (F::Bits::splat(1), F::Bits::splat(2));
    let swap = F::Bits::splat(0).sub_wrap(t.and(one));
    let (s, c) = (sin.to_bits(), cos.to_bits());
    let sin_sign = t.and(two).shift_left(top - 1);
    let cos_sign = t.add_wrap(one).and(two).shift_left(top - 1);
    (F::from_bits(swap.pick(c, s).xor(sin_sign)), F::from_bits(swap.pick(s, c).xor(cos_sign)))
}

/// Sine and cosine of `f64` lanes: absolute error about 1e-16 for |x| up to 2^40; beyond that the bits of `x` no longer
/// tell the angle well and the results are only kept within [-1, 1]. Infinity and NaN give NaN.
#[inline(always)]
pub fn sin_cos64<F: Float>(x: F) -> (F, F) {
    let magic = F::constant(ROUND_64);
    let t = x.mul_add(F::constant(std::f64::consts::FRAC_2_PI), magic);
    let k = -(t - magic);
    // pi/2 in three parts (Cody and Waite)
    let r = k.mul_add(F::constant(std::f64::consts::FRAC_PI_2), x);
    let r = k.mul_add(F::constant(6.123_233_995_736_766e-17), r);
    let r = k.mul_add(F::constant(-1.497_384_904_859_169_8e-33), r);
    let r = clamp(r, -0.786, 0.786);
    let v = r * r;
    // (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 on |r| <= pi/4, errors 6.4e-18 of sin r and 1e-18
    let s = polynomial!(v; -0.16666666666666632, 0.008333333333322398, -0.00019841269829794632,
        2.755731368714661e-06, -2.5050757338998903e-08, 1.5896749071049356e-10);
    let c = polynomial!(v; 0.0416666666666666, -0.0013888888888874103, 2.480158728946821e-05,
        -2.7557314348113456e-07, 2.087572267649696e-09, -1.1359615776623089e-11);
    let sin = (r * v).mul_add(s, r);
    let cos = v.mul_add(v.mul_add(c, F::constant(-0.5)), F::constant(1.0));
    quadrant(t, sin, cos, 63)
}

/// Sine and cosine of `f32` lanes: absolute error about 1e-7 for |x| up to 1e5, within [-1, 1] beyond.
#[inline(always)]
pub fn sin_cos32<F: Float>(x: F) -> (F, F) {
    let magic = F::constant(ROUND_32);
    let t = x.mul_add(F::constant(std::f64::consts::FRAC_2_PI), magic);
    let k = -(t - magic);
    let r = k.mul_add(F::constant(1.570_796_370_506_286_6), x);
    let r = k.mul_add(F::constant(-4.371_138_828_673_793e-8), r);
    let r = k.mul_add(F::constant(-1.715_124_510_005_881_9e-15), r);
    let r = clamp(r, -0.8, 0.8);
    let v = r * r;
    // as in sin_cos64, errors 5.6e-9 and 5.1e-10
    let s = polynomial!(v; -0.16666655, 0.008332177, -0.00019517142);
    let c = polynomial!(v; 0.041666646, -0.0013887367, 2.4438275e-05);
    let sin = (r * v).mul_add(s, r);
    let cos = v.mul_add(v.mul_add(c, F::constant(-0.5)), F::constant(1.0));
    quadrant(t, sin, cos, 31)
}

/// The integers and the functions of one plain float: a single lane.
macro_rules! scalar {
    ($float:ident, $bits:ident, $exp:ident, $sin_cos:ident, $scale:ident, $tanh:ident, $sigmoid:ident,
     $ln:ident) => {
        impl Bits for $bits {
            #[inline(always)]
            fn splat(x: u64) -> Self {
                x as $bits
            }
            #[inline(always)]
            fn add_wrap(self, b: Self) -> Self {
                self.wrapping_add(b)
            }
            #[inline(always)]
            fn sub_wrap(self, b: Self) -> Self {
                self.wrapping_sub(b)
            }
            #[inline(always)]
            fn and(self, b: Self) -> Self {
                self & b
            }
            #[inline(always)]
            fn or(self, b: Self) -> Self {
                self | b
            }
            #[inline(always)]
            fn xor(self, b: Self) -> Self {
                self ^ b
            }
            #[inline(always)]
            fn shift_left(self, n: u32) -> Self {
                self << n
            }
            #[inline(always)]
            fn shift_right(self, n: u32) -> Self {
                self >> n
            }
        }

        /// One lane: the same bits as a lane of any vector. In code that names the float type, `x.exp()`, `x.ln()`
        /// and `x.sin_cos()` are the standard library's; generic code, or `Number::exp(x)`, gets these.
        impl Number for $float {
            #[inline(always)]
            fn constant(c: f64) -> Self {
                c as $float
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                $float::mul_add(self, b, c)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline(always)]
            fn sin_cos(self) -> (Self, Self) {
                $sin_cos(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn sigmoid(self) -> Self {
                $sigmoid(self)
            }
            #[inline(always)]
            fn larger_value(self, b: Self) -> Self {
                Float::choose_lt(self, b, b, self)
            }
        }

        impl Float for $float {
            type Bits = $bits;
            #[inline(always)]
            fn to_bits(self) -> $bits {
                $float::to_bits(self)
            }
            #[inline(always)]
            fn from_bits(bits: $bits) -> Self {
                $float::from_bits(bits)
            }
            #[inline(always)]
            fn choose_lt(self, b: Self, a: Self, c: Self) -> Self {
                if self < b { a } else { c }
            }
            #[inline(always)]
            fn clamp(self, low: Self, high: Self) -> Self {
                $float::clamp(self, low, high)
            }
            #[inline(always)]
            fn scale_by_power(self, k: Self) -> Self {
                $scale(self, k)
            }
        }
    };
}

scalar!(f64, u64, exp64, sin_cos64, scale64, tanh64, sigmoid64, ln64);
scalar!(f32, u32, exp32, sin_cos32, scale32, tanh32, sigmoid32, ln32);

/// What every vector type has in common, given its element-wise primitives.
macro_rules! vector_traits {
    ($v:ident, $elem:ident, $lanes:expr, $bits:ident, $sign:expr, $functions:meta, $exp:ident, $sin_cos:ident,
     $tanh:ident, $sigmoid:ident, $ln:ident, $sum_lines:path, $transpose8:path) => {
        impl std::ops::Add for $v {
            type Output = Self;
            #[inline(always)]
            fn add(self, b: Self) -> Self {
                self.sum(b)
            }
        }
        impl std::ops::Sub for $v {
            type Output = Self;
            #[inline(always)]
            fn sub(self, b: Self) -> Self {
                self.difference(b)
            }
        }
        impl std::ops::Mul for $v {
            type Output = Self;
            #[inline(always)]
            fn mul(self, b: Self) -> Self {
                self.product(b)
            }
        }
        impl std::ops::Div for $v {
            type Output = Self;
            #[inline(always)]
            fn div(self, b: Self) -> Self {
                self.quotient(b)
            }
        }
        impl std::ops::Neg for $v {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                Self::from_bits(self.to_bits().xor($bits::splat($sign)))
            }
        }
        impl $crate::lanes::Number for $v {
            #[inline(always)]
            fn constant(c: f64) -> Self {
                Self::broadcast(c as $elem)
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                self.fused(b, c)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.root()
            }
            #[$functions]
            fn exp(self) -> Self {
                $crate::lanes::math::$exp(self)
            }
            #[$functions]
            fn ln(self) -> Self {
                $crate::lanes::math::$ln(self)
            }
            #[$functions]
            fn sin_cos(self) -> (Self, Self) {
                $crate::lanes::math::$sin_cos(self)
            }
            #[$functions]
            fn tanh(self) -> Self {
                $crate::lanes::math::$tanh(self)
            }
            #[$functions]
            fn sigmoid(self) -> Self {
                $crate::lanes::math::$sigmoid(self)
            }
            #[inline(always)]
            fn larger_value(self, b: Self) -> Self {
                Float::choose_lt(self, b, b, self)
            }
        }
        impl $crate::lanes::Vector for $v {
            type Elem = $elem;
            const LANES: usize = $lanes;
            #[inline(always)]
            fn splat(x: $elem) -> Self {
                Self::broadcast(x)
            }
            #[inline(always)]
            unsafe fn load(x: *const $elem) -> Self {
                // SAFETY: the caller's promise.
                unsafe { Self::read(x) }
            }
            #[inline(always)]
            unsafe fn store(self, x: *mut $elem) {
                // SAFETY: the caller's promise.
                unsafe { self.write(x) }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self::from_bits(self.to_bits().and($bits::splat(!$sign)))
            }
            #[inline(always)]
            unsafe fn sum_lines<const H: usize, const J: usize>(lines: [[Self; H]; J], to: *mut $elem) {
                // SAFETY: the caller's promise.
                unsafe { $sum_lines(lines, to) }
            }
            #[inline(always)]
            unsafe fn transpose8(from: *const $elem, from_stride: usize, to: *mut $elem, to_stride: usize) {
                // SAFETY: the caller's promise.
                unsafe { $transpose8(from, from_stride, to, to_stride) }
            }
        }
    };
}
pub(crate) use vector_traits;
