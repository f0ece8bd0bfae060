//! The equations of order 2 in plain numbers, path by path and for any covariance: what the blocks must give.

use super::problem::{Case, Problem, Square, Vector, square};
use optsde_core::dynamics::Rule;

/// The coefficients of `dY = (b0 + τ b1) dt + M dW`, `M Mᵀ = a0 + τ a1 + …`, in the regime's unit.
#[derive(Clone, Debug)]
pub struct Coefficients {
    pub b0: Vec<f64>,
    pub b1: Vec<f64>,
    pub a0: Vec<Vec<f64>>,
    pub a1: Vec<Vec<f64>>,
}

/// `u(t)` and its derivative, and `γ_1, γ_2` and theirs.
pub struct Clock {
    pub rate: [f64; 2],
    pub gamma: [[f64; 2]; 2],
}

/// The constants of a case at time `t`.
pub fn clock(case: &Case, t: f64) -> Clock {
    let (u, slope) = case.rates().at(t);
    let gamma = match case.rule {
        Rule::Adam { c1, c2, correction: Some(p) } => [(c1, p[0]), (c2, p[1])].map(|(c, p)| {
            let lambda = -(1.0 - c * case.tau).ln() / case.tau;
            let left = (-lambda * (t + p * case.tau)).exp();
            [1.0 - left, lambda * left]
        }),
        _ => [[1.0, 0.0]; 2],
    };
    Clock { rate: [u, slope], gamma }
}

/// `D`, `D'` and `∂_t D` of each coordinate.
fn preconditioner(case: &Case, clock: &Clock, v: Vector) -> [Vector; 3] {
    let [g2, g2_slope] = clock.gamma[1];
    let eps = case.eps * g2.sqrt();
    let d = v.map(|v| 1.0 / (v.max(case.floor).sqrt() + eps));
    let d_v = [0, 1].map(|i| if v[i] > case.floor { -d[i] * d[i] / (2.0 * v[i].sqrt()) } else { 0.0 });
    [d, d_v, d.map(|d| -case.eps * g2_slope / (2.0 * g2.sqrt()) * d * d)]
}

fn times(m: Square, x: Vector) -> Vector {
    [0, 1].map(|i| m[i][0] * x[0] + m[i][1] * x[1])
}

/// `Σ_k w_k ∂_k Σ`.
fn along(problem: &Problem, x: Vector, w: Vector) -> Square {
    let slopes = [problem.sigma_slope(x, 0), problem.sigma_slope(x, 1)];
    square(|i, j| w[0] * slopes[0][i][j] + w[1] * slopes[1][i][j])
}

pub fn coefficients(case: &Case, t: f64, x: &[f64]) -> Coefficients {
    let (problem, clock, adam) = (&case.problem, clock(case, t), case.is_adam());
    let theta = [x[0], x[1]];
    let v = [x[x.len() - 2], x[x.len() - 1]];
    let (g, h, sigma) = (problem.grad(theta), problem.hessian(theta), problem.sigma(theta));
    let [d, d_v, d_t] = preconditioner(case, &clock, v);
    let [[g1, g1_slope], [g2, g2_slope]] = clock.gamma;
    let (ratio, ratio_slope) = (g2.sqrt() / g1, g2_slope / (2.0 * g2.sqrt() * g1) - g2.sqrt() * g1_slope / (g1 * g1));
    let gamma = case.relative.map(|u| u * clock.rate[0] * ratio);
    let gamma_t = case.relative.map(|u| u * (clock.rate[1] * ratio + clock.rate[0] * ratio_slope));
    let (c1, c2) = match case.rule {
        Rule::RmsProp { c } => (0.0, c),
        Rule::Adam { c1, c2, .. } => (c1, c2),
    };
    let r = [0, 1].map(|i| if case.is_ballistic() { g[i] * g[i] } else { 0.0 } + sigma[i][i] - v[i]);
    let n = x.len();
    let mut c =
        Coefficients { b0: vec![0.0; n], b1: vec![0.0; n], a0: vec![vec![0.0; n]; n], a1: vec![vec![0.0; n]; n] };
    let q = if adam { [x[2], x[3]] } else { g };
    let w = [0, 1].map(|i| gamma[i] * d[i] * q[i]);
    let (hw, jw) = (times(h, w), along(problem, theta, w));
    // Γ D Σ Γ D
    let s_d = square(|i, j| gamma[i] * d[i] * sigma[i][j] * gamma[j] * d[j]);
    let curved = |i: usize, j: usize| {
        let pairs = [(0, 0), (0, 1), (1, 0), (1, 1)];
        pairs.iter().map(|(k, l)| s_d[*k][*l] * problem.sigma_curve(*k, *l)[i][j]).sum::<f64>()
    };
    let third = problem.third(theta, s_d);
    for i in 0..2 {
        let (m, v_at) = (2 + i, n - 2 + i);
        let s = sigma[i][i];
        c.b0[i] = -w[i];
        c.b0[v_at] = c2 * r[i];
        let in_time = 0.5 * q[i] * (gamma_t[i] * d[i] + gamma[i] * d_t[i]);
        let by_v = 0.5 * c2 * gamma[i] * q[i] * d_v[i] * r[i];
        c.b1[i] = if adam {
            0.5 * c1 * gamma[i] * d[i] * (q[i] - g[i]) + if case.is_fresh() { -by_v } else { by_v } + in_time
        } else {
            let fresh = if case.is_ballistic() { g[i] * g[i] + 3.0 * s - v[i] } else { 3.0 * s - v[i] };
            let fresh = if case.is_fresh() { -c2 * g[i] * gamma[i] * d_v[i] * fresh } else { 0.0 };
            let third = if case.is_ballistic() { 0.0 } else { 0.25 * gamma[i] * d[i] * third[i] };
            -0.5 * gamma[i] * d[i] * hw[i] + by_v + fresh + in_time + third
        };
        if adam {
            c.b0[m] = c1 * (g[i] - q[i]);
            c.b1[m] = 0.5 * c1 * hw[i] + 0.5 * c1 * c1 * (g[i] - q[i]);
        }
        c.b1[v_at] = if case.is_ballistic() {
            0.5 * c2 * (2.0 * g[i] * hw[i] + jw[i][i]) + 0.5 * c2 * c2 * r[i]
        } else {
            let curve = if adam { 0.0 } else { 0.25 * c2 * curved(i, i) };
            c2 * g[i] * g[i] + 0.5 * c2 * c2 * r[i] + 0.5 * c2 * jw[i][i] - curve
        };
        for j in 0..2 {
            let (mj, vj) = (2 + j, n - 2 + j);
            c.a1[v_at][vj] = c2 * c2 * 2.0 * sigma[i][j] * sigma[i][j];
            if case.is_ballistic() {
                c.a1[v_at][vj] += c2 * c2 * 4.0 * g[i] * sigma[i][j] * g[j];
            }
            let first = if adam { m } else { i };
            let cross = if adam { 2.0 * c1 * c2 } else { -2.0 * c2 * gamma[i] * d[i] } * sigma[i][j] * g[j];
            c.a1[first][vj] += cross;
            c.a1[vj][first] += cross;
            if case.is_ballistic() {
                c.a1[first][first - i + j] = if adam { c1 * c1 * sigma[i][j] } else { s_d[i][j] };
            } else if adam {
                c.a0[m][mj] = c1 * c1 * sigma[i][j];
                c.a1[m][mj] = c1.powi(3) * sigma[i][j] + 0.5 * c1 * c1 * jw[i][j];
                let back = -0.5 * c1 * c1 * gamma[i] * d[i] * sigma[i][j];
                c.a1[i][mj] += back;
                c.a1[mj][i] += back;
            } else {
                c.a0[i][j] = s_d[i][j];
                c.a1[i][j] += -0.25 * gamma[i] * d[i] * curved(i, j) * gamma[j] * d[j];
                c.a1[i][j] += 0.5 * gamma[i] * d[i] * jw[i][j] * gamma[j] * d[j];
                // -½ ∂_t a0, of a schedule
                let in_time = gamma_t[i] * gamma[j] + gamma[i] * gamma_t[j];
                c.a1[i][j] -= 0.5 * in_time * d[i] * sigma[i][j] * d[j];
                for k in 0..2 {
                    c.a1[i][j] += 0.5 * s_d[i][k] * h[k][j] * gamma[j] * d[j];
                    c.a1[i][j] += 0.5 * gamma[i] * d[i] * h[i][k] * s_d[k][j];
                }
                c.a1[i][j] -= 0.5 * c2 * (gamma[i] * d_v[i] * r[i]) * sigma[i][j] * gamma[j] * d[j];
                c.a1[i][j] -= 0.5 * c2 * (gamma[j] * d_v[j] * r[j]) * sigma[i][j] * gamma[i] * d[i];
                if case.is_fresh() {
                    let z = |i: usize, j: usize| {
                        let fourth = 3.0 * sigma[i][j] * sigma[j][j];
                        c2 * gamma[i] * d[i] * gamma[j] * d_v[j] * (fourth - sigma[i][j] * v[j])
                    };
                    c.a1[i][j] += z(i, j) + z(j, i);
                }
                for k in 0..2 {
                    let j_ik = problem.sigma_slope(theta, k)[j][j];
                    c.a1[i][vj] -= 0.5 * c2 * s_d[i][k] * j_ik;
                    c.a1[vj][i] -= 0.5 * c2 * s_d[i][k] * j_ik;
                }
            }
        }
    }
    c
}
