//! Polynomials whose coefficients an instruction set may take from memory.

use super::Number;

/// Coefficients, lowest first, each as often as an AVX2 vector has lanes: `W` is `[f64; 4]` or `[f32; 8]`.
#[derive(Debug)]
#[repr(C, align(32))]
pub struct Coefficients<W, const K: usize>(pub [W; K]);

macro_rules! coefficients {
    ($elem:ident, $copies:literal) => {
        impl<const K: usize> Coefficients<[$elem; $copies], K> {
            /// The table of these.
            pub const fn new(coefficients: [$elem; K]) -> Self {
                let mut table = [[0.0; $copies]; K];
                let mut k = 0;
                while k < K {
                    table[k] = [coefficients[k]; $copies];
                    k += 1;
                }
                Self(table)
            }
        }
    };
}
coefficients!(f64, 4);
coefficients!(f32, 8);

/// Horner's rule with the coefficients `c(0)` to `c(K - 1)` on `N` vectors in lockstep: one's latency is hidden behind the
/// others.
#[inline(always)]
pub fn horner<F: Number, const N: usize, const K: usize>(x: [F; N], c: impl Fn(usize) -> F) -> [F; N] {
    const { assert!(K <= 9, "more coefficients than rounds") };
    let mut p = [c(K - 1); N];
    // a loop of eight or more rounds would stay one
    macro_rules! rounds {
        ($($round:literal)*) => {
            $(if $round < K {
                let c = c(K - 1 - $round);
                for i in 0..N {
                    p[i] = p[i].mul_add(x[i], c);
                }
            })*
        };
    }
    rounds!(1 2 3 4 5 6 7 8);
    p
}
