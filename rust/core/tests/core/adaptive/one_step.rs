//! Section 12.2: mean and second moments of one step of the algorithm, by quadrature, against the expansion that the
//! coefficients give. A wrong term makes the defect over `τ³` double at every halving of `τ`.

use super::problem::{Case, RMSPROP, adam, root};
use super::reference::{clock, coefficients};
use Ordering::{Fresh, Lagged};
use optsde_core::dynamics::Regime::{Ballistic, BatchEquivalent};
use optsde_core::dynamics::{Ordering, Rule};

/// Nodes and weights of the nine-point rule for the standard normal law.
fn gauss_hermite() -> Vec<(f64, f64)> {
    const N: usize = 9;
    // He_n and He_{n-1} by recurrence.
    let hermite = |x: f64| (1..N).fold((1.0, x), |(before, here), n| (here, x * here - n as f64 * before));
    let value = |x: f64| hermite(x).1;
    let factorial: f64 = (1..=N).map(|n| n as f64).product();
    let mut nodes = vec![];
    let cells = 4000;
    for k in 0..cells {
        let at = |k: usize| -6.0 + 12.0 * (k as f64 + 0.37) / f64::from(cells as u32);
        let (mut low, mut high) = (at(k), at(k + 1));
        if value(low) * value(high) > 0.0 {
            continue;
        }
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if value(low) * value(middle) <= 0.0 { high = middle } else { low = middle }
        }
        let (before, _) = hermite(low);
        nodes.push((low, factorial / (N as f64 * before).powi(2)));
    }
    assert_eq!(nodes.len(), N);
    nodes
}

/// What the algorithm of section 2 makes of `x` with the noise `z`, in the regime's unit.
pub fn algorithm(case: &Case, t: f64, x: &[f64], z: [f64; 2]) -> Vec<f64> {
    let (n, tau, clock) = (x.len(), case.tau, clock(case, t));
    let g = case.problem.grad([x[0], x[1]]);
    let ([g1, _], [g2, _]) = (clock.gamma[0], clock.gamma[1]);
    let (size, weight) = if case.is_ballistic() { (1.0, tau) } else { (1.0 / tau.sqrt(), tau * tau) };
    let mut out = x.to_vec();
    for i in 0..2 {
        let noisy = g[i] + size * z[i];
        let (m, v) = (2 + i, n - 2 + i);
        let c2 = match case.rule {
            Rule::RmsProp { c } => c,
            Rule::Adam { c1, c2, .. } => {
                out[m] = (1.0 - c1 * tau) * x[m] + c1 * tau * noisy;
                c2
            }
        };
        out[v] = (1.0 - c2 * tau) * x[v] + c2 * weight * noisy * noisy;
        let divisor = if case.is_fresh() { out[v] } else { x[v] };
        let direction = if case.is_adam() { out[m] } else { noisy };
        let rate = tau * case.relative[i] * clock.rate[0] * g2.sqrt() / g1;
        out[i] = x[i] - rate * direction / (divisor.max(case.floor).sqrt() + case.eps * g2.sqrt());
    }
    out
}

fn outer(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().flat_map(|a| b.iter().map(move |b| a * b)).collect()
}

fn add(sum: &mut [f64], c: f64, x: &[f64]) {
    sum.iter_mut().zip(x).for_each(|(s, x)| *s += c * x);
}

/// Mean and second moments of the increment of a step.
fn moments(case: &Case, t: f64, x: &[f64]) -> [Vec<f64>; 2] {
    let root = root(case.problem.sigma([x[0], x[1]]));
    let mut sums = [vec![0.0; x.len()], vec![0.0; x.len() * x.len()]];
    let nodes = gauss_hermite();
    for (a, wa) in &nodes {
        for (b, wb) in &nodes {
            let z = [root[0][0] * a, root[1][0] * a + root[1][1] * b];
            let mut step = algorithm(case, t, x, z);
            step.iter_mut().zip(x).for_each(|(y, x)| *y -= x);
            add(&mut sums[0], wa * wb, &step);
            add(&mut sums[1], wa * wb, &outer(&step, &step));
        }
    }
    sums
}

/// The same from the coefficients: `τ b0 + τ²(b1 + ½(∂_t + L0) b0)` and its companion.
fn expansion(case: &Case, t: f64, x: &[f64]) -> [Vec<f64>; 2] {
    let (n, tau, h) = (x.len(), case.tau, 1e-4);
    let at = |t: f64, x: &[f64]| {
        let c = coefficients(case, t, x);
        [c.b0.clone(), c.a0.concat()].concat()
    };
    let c = coefficients(case, t, x);
    let here = at(t, x);
    let moved = |i: usize, s: f64, j: usize, r: f64| {
        let mut y = x.to_vec();
        y[i] += s * h;
        y[j] += r * h;
        at(t, &y)
    };
    let mut flow = vec![0.0; here.len()];
    add(&mut flow, 0.5 / h, &at(t + h, x));
    add(&mut flow, -0.5 / h, &at(t - h, x));
    // ∂_k b0_j at [k][j]
    let mut slopes = vec![];
    for i in 0..n {
        let mut slope = vec![0.0; here.len()];
        add(&mut slope, 0.5 / h, &moved(i, 1.0, i, 0.0));
        add(&mut slope, -0.5 / h, &moved(i, -1.0, i, 0.0));
        add(&mut flow, c.b0[i], &slope);
        slopes.push(slope[..n].to_vec());
        for j in 0..n {
            if c.a0[i][j] != 0.0 {
                for (s, r) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
                    add(&mut flow, 0.5 * c.a0[i][j] * s * r / (4.0 * h * h), &moved(i, s, j, r));
                }
            }
        }
    }
    let mut mean = vec![0.0; n];
    add(&mut mean, tau, &c.b0);
    add(&mut mean, tau * tau, &c.b1);
    add(&mut mean, 0.5 * tau * tau, &flow[..n]);
    let mut second = vec![0.0; n * n];
    add(&mut second, tau, &c.a0.concat());
    add(&mut second, tau * tau, &c.a1.concat());
    add(&mut second, tau * tau, &outer(&c.b0, &c.b0));
    add(&mut second, 0.5 * tau * tau, &flow[n..]);
    for i in 0..n {
        for j in 0..n {
            for k in 0..n {
                second[i * n + j] += 0.5 * tau * tau * (c.a0[i][k] * slopes[k][j] + c.a0[j][k] * slopes[k][i]);
            }
        }
    }
    [mean, second]
}

/// The largest defects of mean and second moments, over `τ³`.
fn defects(case: &Case) -> [f64; 2] {
    let [found, expected] = [moments(case, 1.0, &case.point()), expansion(case, 1.0, &case.point())];
    [0, 1].map(|k| {
        let most = found[k].iter().zip(&expected[k]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        most / case.tau.powi(3)
    })
}

#[test]
fn steps_of_the_algorithm_have_these_moments() {
    let standard = adam([1.0, 1.0]);
    let bounds = [
        (Case::new(RMSPROP, Ballistic, Lagged), [0.0, 0.0]),
        (Case::new(RMSPROP, BatchEquivalent, Lagged), [0.0, 0.25]),
        (Case::new(RMSPROP, Ballistic, Fresh), [2.2, 2.2]),
        (Case::new(RMSPROP, BatchEquivalent, Fresh), [2.2, 2.2]),
        (Case::new(standard, Ballistic, Lagged), [0.6, 2.8]),
        (Case::new(standard, Ballistic, Fresh), [0.6, 2.8]),
        (Case::new(standard, BatchEquivalent, Lagged), [0.6, 2.8]),
        (Case::new(adam([2.0, 1.0]), BatchEquivalent, Lagged), [0.6, 2.8]),
        (Case::new(standard, BatchEquivalent, Fresh), [0.6, 2.8]),
    ];
    for (case, bound) in bounds {
        for halvings in 3..10 {
            let mut case = case.clone();
            case.tau = 0.5_f64.powi(halvings);
            for scheduled in [false, true] {
                let case = if scheduled { case.clone().scheduled() } else { case.clone() };
                // Differences are right to 1e-8 of their own, in terms of size τ².
                let slack = 1e-7 / case.tau + if scheduled { 0.5 } else { 0.0 };
                let found = defects(&case);
                assert!(found[0] <= bound[0] + slack && found[1] <= bound[1] + slack, "{found:?} {case:?}");
            }
        }
    }
}
