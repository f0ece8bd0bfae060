//! The squares of the noise of batches: factors against the moments of all batches there are, one by one.

use optsde_core::block::Span;
use optsde_core::error::Result;
use optsde_core::lanes::Real;
use optsde_core::linalg::Matrix;
use optsde_core::loss::{Activation, Criterion, DataLoss, LinearRegression, Network, Quadratic};
use optsde_core::noise::{Factor, GaussianInputs, LabelNoise, Minibatch, Noise, SquareFactors};
use std::sync::Arc;

const SPAN: Span = Span { n: 1, width: 16 };

/// A law of finitely many vectors.
type Law = Vec<(f64, Vec<f64>)>;

/// Numbers of the law of a standard normal variable, right for polynomials of degree 9.
fn normal() -> Vec<(f64, f64)> {
    let root = 10.0_f64.sqrt();
    let nodes = [(7.0 + 2.0 * root, 5.0 - root), (7.0 - 2.0 * root, 5.0 + root)];
    let pairs = nodes.into_iter().flat_map(|(w, square)| [1.0, -1.0].map(|sign| (w / 60.0, sign * square.sqrt())));
    pairs.chain([(8.0 / 15.0, 0.0)]).collect()
}

/// All `count`-tuples of independent variables of one law.
fn tuples(law: &[(f64, f64)], count: usize) -> Law {
    (0..count).fold(vec![(1.0, vec![])], |tuples, _| {
        let more = |(w, tuple): (f64, Vec<f64>)| law.iter().map(move |(v, x)| (w * v, [&tuple[..], &[*x]].concat()));
        tuples.into_iter().flat_map(more).collect()
    })
}

/// The sum of `batch` independent draws, over the root of their number.
fn mean_of(law: &Law, batch: usize) -> Law {
    let zero = vec![(1.0, vec![0.0; law[0].1.len()])];
    let sums = (0..batch).fold(zero, |sums: Law, _| {
        let more = |(w, sum): (f64, Vec<f64>)| {
            law.iter().map(move |(v, x)| (w * v, sum.iter().zip(x).map(|(a, b)| a + b).collect()))
        };
        sums.into_iter().flat_map(more).collect()
    });
    let scale = (batch as f64).sqrt();
    sums.into_iter().map(|(w, sum)| (w, sum.iter().map(|x| x / scale).collect())).collect()
}

/// What `write` fills rows with, at a block whose lanes are all at `x`.
fn rows(x: &[f64], count: usize, write: impl FnOnce(&[f64], &mut [f64]) -> Result<()>) -> Result<Vec<f64>> {
    let x: Vec<f64> = x.iter().flat_map(|x| [*x; SPAN.width]).collect();
    let mut out = vec![f64::NAN; count * SPAN.width];
    write(&x, &mut out)?;
    Ok(out.iter().step_by(SPAN.width).copied().collect())
}

/// `S`, `A` and `Q`.
fn factors(noise: &dyn Noise<f64>, x: &[f64], batch: f64) -> Result<[Vec<f64>; 3]> {
    let (d, of_noise) = (noise.dim(), noise.dim() * noise.n_wiener());
    let all = rows(x, 2 * of_noise + d * d, |x, f| {
        let (noise_rows, rest) = f.split_at_mut(of_noise * SPAN.width);
        let (shared, own) = rest.split_at_mut(of_noise * SPAN.width);
        noise.skewed_squares(x, batch, 1.0, SquareFactors { noise: noise_rows, shared, own }, SPAN)
    })?;
    let (s, rest) = all.split_at(of_noise);
    let (a, q) = rest.split_at(of_noise);
    Ok([s.to_vec(), a.to_vec(), q.to_vec()])
}

/// `a bᵀ` of factors of `d` rows.
fn product(a: &[f64], b: &[f64], d: usize, i: usize, j: usize) -> f64 {
    let m = a.len() / d;
    a[i * m..(i + 1) * m].iter().zip(&b[j * m..(j + 1) * m]).map(|(a, b)| a * b).sum()
}

/// Compares the factors of `noise` with the moments of `law`, that of its batches times the root of their size.
fn check(noise: &dyn Noise<f64>, x: &[f64], batch: usize, law: &Law) -> Result<()> {
    let (d, batch) = (noise.dim(), batch as f64);
    let [s, a, q] = factors(noise, x, batch)?;
    let moment = |of: &dyn Fn(&[f64]) -> f64| law.iter().map(|(w, z)| w * of(z)).sum::<f64>();
    let near = |found: f64, exact: f64, size: f64, what: &str| {
        assert!((found - exact).abs() <= 2e-12 * size, "{what}, batch {batch}: {found} is not {exact}");
    };
    let size = (0..d).map(|i| moment(&|z| z[i] * z[i])).fold(0.0, f64::max);
    for (i, j) in (0..d).flat_map(|i| (0..d).map(move |j| (i, j))) {
        near(moment(&|z| z[i]), 0.0, size.sqrt(), "mean");
        near(product(&s, &s, d, i, j), moment(&|z| z[i] * z[j]), size, "covariance");
        near(product(&a, &s, d, i, j), moment(&|z| z[i] * z[i] * z[j]), size.powf(1.5), "third moments");
        let [si, sj] = [i, j].map(|i| moment(&|z| z[i] * z[i]));
        let exact = moment(&|z| z[i] * z[i] * z[j] * z[j]) - si * sj;
        // The root of what rounding leaves of nothing is 1e-8 or so, and its square as small as rounding.
        near(product(&a, &a, d, i, j) + product(&q, &q, d, i, j), exact, 50.0 * size * size, "squares");
    }
    Ok(())
}

/// `ζ_n`, the deviations of the examples' gradients.
fn deviations(data: &dyn DataLoss<f64>, x: &[f64]) -> Result<Vec<Vec<f64>>> {
    let (n, d) = (data.n_examples(), data.dim());
    let grads = rows(x, n * d, |x, f| data.example_grads(x, f, SPAN))?;
    let mean = |i: usize| (0..n).map(|k| grads[k * d + i]).sum::<f64>() / n as f64;
    Ok((0..n).map(|k| (0..d).map(|i| grads[k * d + i] - mean(i)).collect()).collect())
}

fn regression(n: usize) -> Result<Arc<dyn DataLoss<f64>>> {
    let x = Matrix::from_fn(n, 3, |i, a| (1.3 + 2.1 * i as f64 + 3.7 * a as f64).sin());
    Ok(Arc::new(LinearRegression::new(x, (0..n).map(|i| (i * i % 5) as f64 - 1.0).collect())?.cast()))
}

const X: [f64; 3] = [0.4, -0.7, 0.2];

#[test]
fn batches_with_replacement() -> Result<()> {
    for n in [2, 3, 5] {
        let data = regression(n)?;
        let examples: Law = deviations(&*data, &X)?.into_iter().map(|zeta| (1.0 / n as f64, zeta)).collect();
        for batch in [1, 2, 3] {
            check(&Minibatch::new(data.clone()), &X, batch, &mean_of(&examples, batch))?;
        }
    }
    Ok(())
}

#[test]
fn batches_without_replacement() -> Result<()> {
    for n in [2, 3, 4, 7] {
        let data = regression(n)?;
        let examples = deviations(&*data, &X)?;
        for batch in 1..=n {
            let subsets = (0..1_u32 << n).filter(|set| set.count_ones() as usize == batch);
            let sum = |set: u32, i: usize| {
                (0..n).filter(|k| set >> k & 1 == 1).map(|k| examples[k][i]).sum::<f64>() / (batch as f64).sqrt()
            };
            let law: Law = subsets.map(|set| (1.0, (0..3).map(|i| sum(set, i)).collect())).collect();
            let count = law.len() as f64;
            let law: Law = law.into_iter().map(|(_, z)| (1.0 / count, z)).collect();
            let noise = Minibatch::without_replacement(data.clone(), batch)?;
            if batch < n {
                check(&noise, &X, batch, &law)?;
            } else {
                let factors = factors(&noise, &X, batch as f64)?;
                assert!(factors.iter().flatten().all(|x| *x == 0.0), "nothing is random in a batch of all");
            }
        }
    }
    Ok(())
}

#[test]
fn labels_normal_and_signs_of_one_and_of_two_outputs() -> Result<()> {
    let inputs = Matrix::from_fn(3, 1, |i, _| 0.3 + 0.8 * i as f64);
    let targets = Matrix::from_fn(3, 2, |i, k| (2.0 * i as f64 + 1.3 * k as f64).cos());
    let network = Network::mlp(&inputs, &targets, &[1], Activation::Tanh, Criterion::SquaredError)?;
    let models: [(Arc<dyn DataLoss<f64>>, usize); 2] = [(regression(3)?, 1), (Arc::new(network), 2)];
    let three = 3.0_f64.sqrt();
    let normal = vec![(1.0 / 6.0, three), (1.0 / 6.0, -three), (2.0 / 3.0, 0.0)]; // its moments up to the fifth
    for (data, outputs) in models {
        let d = data.dim();
        let x: Vec<f64> = (0..d).map(|i| (0.7 + 1.9 * i as f64).cos()).collect();
        for (excess, labels) in [(0.0, normal.clone()), (-2.0, vec![(0.5, 1.0), (0.5, -1.0)])] {
            let noise = LabelNoise::new(data.clone(), 0.6, excess)?;
            let (n, m) = (data.n_examples(), noise.n_wiener());
            let s = rows(&x, d * m, |x, f| noise.factor(x, 1.0, f, SPAN))?;
            let mut draws: Law = vec![];
            for (k, zeta) in deviations(&*data, &x)?.into_iter().enumerate() {
                for (w, xi) in tuples(&labels, outputs) {
                    let of_labels = |i: usize| -> f64 {
                        xi.iter().enumerate().map(|(o, xi)| s[i * m + n + k * outputs + o] * xi).sum()
                    };
                    let z = zeta.iter().enumerate().map(|(i, z)| z + of_labels(i) * (n as f64).sqrt());
                    draws.push((w / n as f64, z.collect()));
                }
            }
            for batch in [1, 2] {
                check(&noise, &x, batch, &mean_of(&draws, batch))?;
            }
        }
    }
    Ok(())
}

#[test]
fn regression_on_gaussian_inputs() -> Result<()> {
    let cov = Matrix::new(2, 2, vec![1.0, 0.4, 0.4, 0.5])?;
    let lower = [[1.0, 0.0], [0.4, (0.5_f64 - 0.16).sqrt()]];
    let center = vec![0.1, 0.3];
    let loss = Arc::new(Quadratic::full(&cov, Some(center.clone()))?);
    for (label_std, w) in [(0.3, [0.7, -0.2]), (0.0, [0.7, -0.2]), (0.5, [0.0, 0.0])] {
        let noise = GaussianInputs::new(loss.clone(), cov.clone(), center.clone(), label_std)?;
        let mean = [cov[(0, 0)] * w[0] + cov[(0, 1)] * w[1], cov[(1, 0)] * w[0] + cov[(1, 1)] * w[1]];
        let draws: Law = tuples(&normal(), 3)
            .into_iter()
            .map(|(weight, u)| {
                let inputs = [lower[0][0] * u[0], lower[1][0] * u[0] + lower[1][1] * u[1]];
                let residual = inputs[0] * w[0] + inputs[1] * w[1] - label_std * u[2];
                (weight, (0..2).map(|i| inputs[i] * residual - mean[i]).collect())
            })
            .collect();
        for batch in [1, 2] {
            check(&noise, &[w[0] + center[0], w[1] + center[1]], batch, &mean_of(&draws, batch))?;
        }
    }
    Ok(())
}

#[test]
fn variables_with_a_fourth_cumulant() -> Result<()> {
    let excess = 1.5_f64;
    let tail = 1.0 / (6.0 + 2.0 * excess);
    let law = vec![(tail, (3.0 + excess).sqrt()), (tail, -(3.0 + excess).sqrt()), (1.0 - 2.0 * tail, 0.0)];
    let full = Factor::of_covariance(&Matrix::new(2, 2, vec![2.0, 0.5, 0.5, 1.0])?)?;
    for factor in [full, Factor::of_variances(&[2.0, 0.7])] {
        let (f, q) = (factor.dense(), factor.of_squares(excess)?.dense());
        for (i, j) in [(0, 0), (0, 1), (1, 1)] {
            let z = |u: &[f64], i: usize| f[(i, 0)] * u[0] + f[(i, 1)] * u[1];
            let fourth: f64 = tuples(&law, 2).iter().map(|(w, u)| w * (z(u, i) * z(u, j)).powi(2)).sum();
            let exact = fourth - factor.variance(i) * factor.variance(j);
            let found = q[(i, 0)] * q[(j, 0)] + q[(i, 1)] * q[(j, 1)];
            assert!((found - exact).abs() < 1e-13, "({i}, {j}): {found} is not {exact}");
        }
    }
    Ok(())
}

/// Without label noise all moments go to zero at the minimum, by way of numbers that are not normal.
#[test]
fn gaussian_inputs_next_to_the_minimum() -> Result<()> {
    fn finite<T: Real>(exponents: std::ops::Range<i32>) -> Result<()> {
        let cov = Matrix::new(2, 2, vec![1.0, 0.4, 0.4, 0.5])?;
        let loss = Arc::new(Quadratic::full(&cov, None)?.cast::<T>());
        let noise = GaussianInputs::<T>::new(loss, cov, vec![0.0; 2], 0.0)?;
        for exponent in exponents {
            let w = 10.0_f64.powi(-exponent);
            let x: Vec<T> = [w, -0.7 * w].iter().flat_map(|w| [T::from_f64(*w); SPAN.width]).collect();
            let [mut s, mut a, mut q] = [6, 6, 4].map(|rows| vec![T::from_f64(f64::NAN); rows * SPAN.width]);
            let factors = SquareFactors { noise: &mut s, shared: &mut a, own: &mut q };
            noise.skewed_squares(&x, 2.0, T::from_f64(1.0), factors, SPAN)?;
            assert!([s, a, q].concat().iter().all(|f| f.to_f64().is_finite()), "1e-{exponent}");
        }
        Ok(())
    }
    finite::<f64>(140..325)?;
    finite::<f32>(15..50)
}
