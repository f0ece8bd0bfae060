//! The complementary error function on lanes, from W. J. Cody's rational approximations (Math. Comp. 23, 1969).

use super::math::Float;
use super::math::polynomial;

/// `(erf x, erfc |x|)`: the second without the cancellation of `1 - erf |x|`. NaN gives NaN.
#[inline(always)]
pub fn erf_erfc<F: Float>(x: F) -> (F, F) {
    let (zero, one) = (F::constant(0.0), F::constant(1.0));
    let size = x.choose_lt(zero, -x, x);
    // Beyond 6 the complement is below 3e-17.
    let far = F::constant(6.0);
    let y = far.choose_lt(size, far, size);
    let square = y * y;
    let near = y * polynomial!(square; 3209.3775891384694, 377.485237685302, 113.86415415105016,
        3.1611237438705655, 0.18577770618460315)
        / polynomial!(square; 2844.236833439171, 1282.6165260773723, 244.02463793444417,
            23.601290952344122, 1.0);
    let tail = (-square).exp()
        * (polynomial!(y; 1230.3393547979972, 2051.0783778260716, 1712.0476126340707,
            881.952221241769, 298.6351381974001, 66.11919063714163, 8.883149794388377,
            0.5641884969886701, 2.1531153547440383e-08)
            / polynomial!(y; 1230.3393548037495, 3439.3676741437216, 4362.619090143247,
                3290.7992357334597, 1621.3895745666903, 537.1811018620099,
                117.6939508913125, 15.744926110709835, 1.0));
    let split = F::constant(0.46875);
    let erf = y.choose_lt(split, near, one - tail);
    let erfc = y.choose_lt(split, one - near, tail);
    (x.choose_lt(zero, -erf, erf), erfc)
}

#[cfg(test)]
mod tests {
    use super::erf_erfc;

    #[test]
    fn agrees_with_known_values() {
        // Abramowitz & Stegun, table 7.1, and 40-digit values of erfc.
        let known: [(f64, f64, f64); 8] = [
            (0.0, 0.0, 1.0),
            (0.3, 0.3286267594591274, 0.6713732405408726),
            (0.46875, 0.4926134732179379, 0.507386526782062),
            (0.5, 0.5204998778130465, 0.4795001221869535),
            (1.0, 0.8427007929497149, 0.15729920705028513),
            (2.0, 0.9953222650189527, 0.004677734981047266),
            (3.5, 0.9999992569016276, 7.430983723414128e-7),
            (5.0, 0.9999999999984626, 1.5374597944280347e-12),
        ];
        for (x, erf, erfc) in known {
            let (e, c) = erf_erfc(x);
            let (minus, same) = erf_erfc(-x);
            assert!((e - erf).abs() < 3e-16 && minus == -e && same == c, "{x}: {e}");
            assert!((c - erfc).abs() < 1e-13 * erfc, "{x}: {c}");
        }
        assert!(erf_erfc(f64::NAN).0.is_nan());
        assert_eq!(erf_erfc(f64::INFINITY).0, 1.0);
    }
}
