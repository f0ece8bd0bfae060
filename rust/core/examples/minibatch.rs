//! Prints what a minibatch gradient costs: nanoseconds a path and step, one thread, beside the floor of index draws and
//! bare dot products.

#![allow(clippy::expect_used)] // a program that measures

use optsde_core::block::Span;
use optsde_core::lanes::{Real, available, with_isa};
use optsde_core::linalg::Matrix;
use optsde_core::loss::{DataLoss, Descent, LinearRegression, LogisticRegression, Loss, MinibatchFloor};
use optsde_core::rng::{Address, Tag, fill_indices, fill_normals};
use std::hint::black_box;
use std::time::Instant;

const N: usize = 1000;
const WIDTH: usize = 64;

/// The median of several timings of so many calls of `f`, with ever new step numbers, per path.
fn time(calls: u64, mut f: impl FnMut(u64)) -> f64 {
    let mut step = 0;
    let mut times: Vec<f64> = (0..31)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                f(step);
                step += 1;
            }
            start.elapsed().as_secs_f64() * 1e9 / (calls * WIDTH as u64) as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn measure<T: Real>(name: &str, p: usize, batch: usize) {
    let address = |tag| Address { key: 7, tag, first_path: 0 };
    let mut data = vec![0.0; N.div_ceil(16) * 16 * p];
    fill_normals(address(Tag::INITIAL), 0..(data.len() / 32) as u64, 1.0, 16, &mut data);
    data.truncate(N * p);
    let y: Vec<f64> = (0..N).map(|i| (i % 2) as f64).collect();
    let matrix = Matrix::new(N, p, data).expect("a matrix");
    let linear = LinearRegression::new(matrix.clone(), y.clone()).expect("data").cast::<T>();
    let logistic = LogisticRegression::new(matrix.clone(), y, 1e-3).expect("data").cast::<T>();
    let span = Span::of(WIDTH);
    let x = vec![T::from_f64(0.1); p * WIDTH];
    let mut out = vec![T::default(); p * WIDTH];
    let mut bare = MinibatchFloor::<T>::new(&matrix, batch, WIDTH, 1);
    let per_step = batch.div_ceil(4) as u64;
    let mut indices = vec![0; 4 * per_step as usize * WIDTH];
    let draw = |step: u64, indices: &mut [u32]| {
        fill_indices(
            address(Tag::MINIBATCH),
            step * per_step..(step + 1) * per_step,
            N as u32,
            |_| N as u32,
            WIDTH,
            black_box(indices),
        );
    };
    let drawn = time(400, |step| draw(step, &mut indices));
    let floor = time(400, |step| {
        bare.draw(step);
        bare.multiply();
    });
    let mut gradient = |loss: &dyn DataLoss<T>| {
        time(400, |step| {
            draw(step, &mut indices);
            let failed = loss.batch_grad(&x, &indices[..batch * WIDTH], None, black_box(&mut out), span).is_err();
            assert!(!failed);
        })
    };
    let (a, b) = (gradient(&linear), gradient(&logistic));
    // Steps of plain SGD, as many at a time as an ensemble takes.
    let count = (80 / batch).max(1);
    let (rates, mut theta) = (vec![1e-6; count * p], x.clone());
    let mut many = vec![0; 4 * per_step as usize * WIDTH * count];
    let stepped = time(400 / count as u64, |step| {
        for (k, indices) in many.chunks_exact_mut(4 * per_step as usize * WIDTH).enumerate() {
            draw(step * count as u64 + k as u64, indices);
        }
        let steps = Descent { rates: &rates, decay: 0.0 };
        assert!(logistic.descend(black_box(&mut theta), &many, batch, steps, span).is_ok());
    }) / count as f64;
    let full = time(4, |_| assert!(logistic.grad(&x, black_box(&mut out), span).is_ok()));
    println!(
        "{name:12} p={p:<4} B={batch:<4} draws {drawn:7.2}  floor {floor:7.2}  linear {a:7.2} ({:.2} x)  logistic {b:7.2} \
         ({:.2} x)  steps {stepped:7.2} ({:.2} x)  full gradient {full:8.1}",
        a / floor,
        b / floor,
        stepped / floor
    );
}

fn main() {
    for isa in available() {
        with_isa(isa, || {
            for (p, batch) in [(20, 10), (20, 1), (8, 32), (100, 10)] {
                measure::<f64>(&format!("{} f64", isa.name()), p, batch);
            }
            measure::<f32>(&format!("{} f32", isa.name()), 20, 10);
        });
    }
}
