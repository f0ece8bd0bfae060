//! The noise of free motion with friction over a step, given what the Wiener path tells of it.

use super::underdamped::{phi1, phi2};

/// Noise integrals of `dX = V dt`, `dV = -γ V dt + dW` over a step of length `h` from 0: of the position in the middle
/// and of position and velocity at the end. Each is given by what it has of `ΔW`, of `I = ∫ W ds`, and of two standard
/// normals independent of both.
///
/// With `u = h - s` the position at the end has the kernel `n(u) = (1 - e^{-γu})/γ` in `∫ · dW(s)`, that in the middle
/// `n(u - h/2)` for `u > h/2`, the velocity `1 - γ n(u)`; `ΔW` has 1 and `I` has `u`. So the conditional means are the
/// projections on 1 and u, and the residuals what is left.
#[derive(Clone, Copy)]
pub(super) struct FreeMotion {
    pub(super) middle: [f64; 4],
    pub(super) position: [f64; 4],
    pub(super) velocity: [f64; 4],
}

impl FreeMotion {
    /// For a friction `γ` and a step `h`.
    pub(super) fn new(friction: f64, h: f64) -> Self {
        // In units of h: kernels on [0, 1], with θ = γ h. Where θ is small, n(u) = u - θ u² φ₂(-θu) is nearly u: what
        // is left of it is -θ times what is left of q(u) = u² φ₂(-θu).
        let theta = friction * h;
        let middle = |u: f64| if u > 0.5 { (u - 0.5) * phi1(-theta * (u - 0.5)) } else { 0.0 };
        let bend = |u: f64| u * u * phi2(-theta * u);
        let (nodes, weights): (Vec<_>, Vec<_>) = nodes(theta).into_iter().unzip();
        let dot = |a: &[f64], b: &[f64]| -> f64 { weights.iter().zip(a).zip(b).map(|((w, a), b)| w * a * b).sum() };
        let values = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { nodes.iter().map(|u| f(*u)).collect() };
        let (one, tilt) = (vec![1.0; nodes.len()], values(&|u| 2.0 * u - 1.0));
        // A kernel as constants of 1 and u, and what is left of it.
        let split = |kernel: Vec<f64>| -> ([f64; 2], Vec<f64>) {
            let (mean, slope) = (dot(&kernel, &one), 3.0 * dot(&kernel, &tilt));
            let left = kernel.iter().zip(&tilt).map(|(f, tilt)| f - mean - slope * tilt).collect();
            ([mean - slope, 2.0 * slope], left)
        };
        let (of_middle, left) = split(values(&middle));
        let (of_bend, left_of_bend) = split(values(&bend));
        let norm = dot(&left, &left).sqrt();
        let shared = dot(&left_of_bend, &left) / norm;
        let rest: Vec<f64> = left_of_bend.iter().zip(&left).map(|(b, m)| b - shared / norm * m).collect();
        let own = dot(&rest, &rest).sqrt();

        // Back to the units of time: a kernel is h times its own in units of h, I is h² and ΔW √h times its own.
        let root = h * h.sqrt();
        let position = [-theta * h * of_bend[0], 1.0 - theta * of_bend[1], -theta * root * shared, -theta * root * own];
        let velocity = [1.0, 0.0, 0.0, 0.0];
        Self {
            middle: [h * of_middle[0], of_middle[1], root * norm, 0.0],
            velocity: std::array::from_fn(|k| velocity[k] - friction * position[k]),
            position,
        }
    }
}

/// Nodes and weights of an integral over [0, 1] of functions that fall like `e^{-θu}` from 0 and from 1/2 on: panels
/// that double in length, each by Gauss and Legendre's rule.
fn nodes(theta: f64) -> Vec<(f64, f64)> {
    let mut all = Vec::new();
    for start in [0.0, 0.5] {
        let (mut from, mut length) = (start, (1.0 / theta).min(0.5));
        while from < start + 0.5 {
            let to = if start + 0.5 - from < 1.5 * length { start + 0.5 } else { from + length };
            let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
            for (node, weight) in GAUSS {
                all.push((middle - half * node, half * weight));
                all.push((middle + half * node, half * weight));
            }
            (from, length) = (to, 2.0 * length);
        }
    }
    all
}

/// Positive nodes of Gauss and Legendre's rule of 16 points, and their weights.
const GAUSS: [(f64, f64); 8] = [
    (0.09501250983763744, 0.1894506104550685),
    (0.2816035507792589, 0.18260341504492358),
    (0.45801677765722737, 0.16915651939500254),
    (0.6178762444026438, 0.14959598881657674),
    (0.755404408355003, 0.12462897125553388),
    (0.8656312023878318, 0.09515851168249279),
    (0.9445750230732326, 0.062253523938647894),
    (0.9894009349916499, 0.027152459411754096),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Covariances of (middle, position, velocity, ΔW, I), by the midpoint rule on many cells.
    fn by_quadrature(g: f64, h: f64) -> [[f64; 5]; 5] {
        let glide = |t: f64| if t > 0.0 { t * phi1(-g * t) } else { 0.0 };
        let n = 400_000;
        let mut cov = [[0.0; 5]; 5];
        for k in 0..n {
            let u = h * (f64::from(k) + 0.5) / f64::from(n);
            let kernels = [glide(u - 0.5 * h), glide(u), (-g * u).exp(), 1.0, u];
            for (row, a) in cov.iter_mut().zip(kernels) {
                for (out, b) in row.iter_mut().zip(kernels) {
                    *out += a * b * h / f64::from(n);
                }
            }
        }
        cov
    }

    #[test]
    fn the_joint_law_is_that_of_the_integrals() {
        for (g, h) in [(1.0, 0.4), (1.0, 1e-3), (1e-7, 0.1), (3.0, 2.0), (40.0, 1.0), (500.0, 1.0)] {
            let of = FreeMotion::new(g, h);
            let rows = [of.middle, of.position, of.velocity, [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]];
            let basis = |a: &[f64; 4], b: &[f64; 4]| {
                let path = h * a[0] * b[0] + h * h / 2.0 * (a[0] * b[1] + a[1] * b[0]) + h * h * h / 3.0 * a[1] * b[1];
                path + a[2] * b[2] + a[3] * b[3]
            };
            let exact = by_quadrature(g, h);
            for i in 0..5 {
                for j in 0..5 {
                    let (found, scale) = (basis(&rows[i], &rows[j]), (exact[i][i] * exact[j][j]).sqrt());
                    assert!((found - exact[i][j]).abs() < 1e-6 * scale, "{i} {j} of {g} {h}: {found} {}", exact[i][j]);
                }
            }
        }
    }

    #[test]
    fn variances_are_the_closed_forms() {
        for (g, h) in [(1.0f64, 0.4f64), (0.5, 1.0), (10.0, 3.0)] {
            let of = FreeMotion::new(g, h);
            let variance = |a: &[f64; 4]| {
                h * a[0] * a[0] + h * h * a[0] * a[1] + h * h * h / 3.0 * a[1] * a[1] + a[2] * a[2] + a[3] * a[3]
            };
            // T = 1/(2 γ) for noise dW.
            let of_position = |d: f64| {
                let e = (-g * d).exp();
                (2.0 * g * d - 3.0 + 4.0 * e - e * e) / (2.0 * g * g * g)
            };
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-13 * b.abs(), "{a} {b}");
            near(variance(&of.position), of_position(h));
            near(variance(&of.middle), of_position(0.5 * h));
            near(variance(&of.velocity), (1.0 - (-2.0 * g * h).exp()) / (2.0 * g));
        }
    }

    #[test]
    fn residuals_of_small_friction_keep_their_digits() {
        // Of u - θ u²/2 the part beside 1 and u has the norm θ/2 · sqrt(1/180).
        for theta in [1e-3, 1e-6, 1e-9, 1e-12] {
            let of = FreeMotion::new(theta, 1.0);
            let norm = (of.position[2].powi(2) + of.position[3].powi(2)).sqrt();
            let leading = theta / 2.0 * (1.0f64 / 180.0).sqrt();
            assert!((norm / leading - 1.0).abs() < theta + 1e-13, "{norm} {leading}");
        }
    }
}
