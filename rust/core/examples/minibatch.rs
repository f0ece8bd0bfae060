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
const ROUNDS: u64 = 31;

/// What is timed: its name, how many steps a call takes, how many calls a round has, and the call, which is told the number
/// of its first step.
type Job<'a> = (&'a str, u64, u64, Box<dyn FnMut(u64) + 'a>);

/// Prints medians of nanoseconds a path and step, and of ratios to the first job. All jobs take turns, so that what else
/// the machine does meets each of them.
fn time(name: &str, mut jobs: Vec<Job<'_>>) {
    let mut rounds = vec![Vec::new(); jobs.len()];
    for round in 0..ROUNDS {
        for ((_, steps, calls, job), times) in jobs.iter_mut().zip(&mut rounds) {
            let start = Instant::now();
            for call in 0..*calls {
                job((round * *calls + call) * *steps);
            }
            times.push(start.elapsed().as_secs_f64() * 1e9 / (*calls * *steps * WIDTH as u64) as f64);
        }
    }
    let median = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    print!("{name}");
    for ((job, ..), times) in jobs.iter().zip(&rounds) {
        let ratios: Vec<f64> = times.iter().zip(&rounds[0]).map(|(time, floor)| time / floor).collect();
        print!("  {job} {:.2} ({:.2} x)", median(times), median(&ratios));
    }
    println!();
}

/// A gradient of the loss, with its draws.
fn gradient<'a, T: Real>(
    loss: &'a dyn DataLoss<T>,
    x: &'a [T],
    batch: usize,
    draw: impl Fn(u64, &mut [u32]) + 'a,
    mut indices: Vec<u32>,
) -> Box<dyn FnMut(u64) + 'a> {
    let mut out = vec![T::default(); x.len()];
    Box::new(move |step| {
        draw(step, &mut indices);
        let examples = &indices[..batch * WIDTH];
        loss.batch_grad(x, examples, None, black_box(&mut out), Span::of(WIDTH)).expect("a gradient");
    })
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
    let per_step = batch.div_ceil(4) as u64;
    let draw = |step: u64, indices: &mut [u32]| {
        fill_indices(
            address(Tag::MINIBATCH),
            step * per_step..step * per_step + (indices.len() / 4 / WIDTH) as u64,
            N as u32,
            |_| N as u32,
            WIDTH,
            black_box(indices),
        );
    };
    let room = || vec![0; 4 * per_step as usize * WIDTH];
    // Steps of plain SGD, as many at a time as an ensemble takes.
    let count = (96 / per_step as usize).max(1);
    let mut bare = MinibatchFloor::<T>::new(&matrix, batch, WIDTH, count);
    let floor = move |step| {
        bare.draw(step);
        bare.multiply();
    };
    let mut indices = room().repeat(count);
    let draws = move |step| draw(step, &mut indices);
    let (rates, mut theta, mut indices, model) = (vec![1e-6; p], x.clone(), room().repeat(count), &logistic);
    let steps = move |step| {
        draw(step, &mut indices);
        let steps = Descent { count, rates: &rates, decay: 0.0 };
        model.descend(black_box(&mut theta), &indices, batch, steps, span).expect("steps");
    };
    let mut out = vec![T::default(); p * WIDTH];
    let full = |_| logistic.grad(&x, black_box(&mut out), span).expect("a gradient");
    let (count, calls) = (count as u64, 400 / count as u64);
    time(
        &format!("{name:12} p={p:<4} B={batch:<4}"),
        vec![
            ("floor", count, calls, Box::new(floor)),
            ("draws", count, calls, Box::new(draws)),
            ("linear", 1, 400, gradient(&linear, &x, batch, draw, room())),
            ("logistic", 1, 400, gradient(&logistic, &x, batch, draw, room())),
            ("steps", count, calls, Box::new(steps)),
            ("full gradient", 1, 4, Box::new(full)),
        ],
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
