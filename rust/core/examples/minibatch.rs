//! Prints what a minibatch gradient costs: nanoseconds a path and step, one thread, beside the floor of index draws and
//! bare dot products.

#![allow(clippy::expect_used)] // a program that measures

use optsde_core::block::Span;
use optsde_core::lanes::{Kernel, LANE_MULTIPLE, Number, Real, Simd, Vector, available, dispatch, with_isa};
use optsde_core::linalg::Matrix;
use optsde_core::loss::{DataLoss, LinearRegression, LogisticRegression, Loss};
use optsde_core::rng::{Address, Tag, fill_indices, fill_normals};
use std::hint::black_box;
use std::time::Instant;

const N: usize = 1000;
const WIDTH: usize = 64;

/// The rows of the examples, times those of the paths, added up: what any dot products read and multiply.
struct Dots<'a, T> {
    rows: &'a [T],
    theta: &'a [T],
    indices: &'a [u32],
    out: &'a mut [T],
    stride: usize,
}

impl<T: Real> Kernel for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let lanes = <T::V<S> as Vector>::LANES;
        for p in 0..WIDTH {
            let mut sum = [<T::V<S>>::splat(T::default()); 4];
            for (b, indices) in self.indices.chunks_exact(WIDTH).enumerate() {
                for c in (0..self.stride).step_by(lanes) {
                    // SAFETY: rows are whole vectors, and all indices below `N`.
                    unsafe {
                        let x = <T::V<S>>::load(self.rows.as_ptr().add(indices[p] as usize * self.stride + c));
                        let theta = <T::V<S>>::load(self.theta.as_ptr().add(p * self.stride + c));
                        sum[b % 4] = x.mul_add(theta, sum[b % 4]);
                    }
                }
            }
            // SAFETY: a vector for each path is there.
            unsafe { (sum[0] + sum[1] + (sum[2] + sum[3])).store(self.out.as_mut_ptr().add(p * LANE_MULTIPLE)) };
        }
    }
}

/// The median of several timings of `f`, called for ever new step numbers, per path.
fn time(mut f: impl FnMut(u64)) -> f64 {
    let calls = 400;
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
    let stride = p.next_multiple_of(64 / T::BYTES);
    let rows: Vec<T> = (0..N * stride)
        .map(|k| T::from_f64(if k % stride < p { matrix[(k / stride, k % stride)] } else { 0.0 }))
        .collect();
    let span = Span::of(WIDTH);
    let x = vec![T::from_f64(0.1); p.max(stride) * WIDTH];
    let mut out = vec![T::default(); (p.max(LANE_MULTIPLE)) * WIDTH];
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
    let drawn = time(|step| draw(step, &mut indices));
    let floor = time(|step| {
        draw(step, &mut indices);
        dispatch(Dots { rows: &rows, theta: &x, indices: &indices[..batch * WIDTH], out: black_box(&mut out), stride });
    });
    let mut gradient = |loss: &dyn DataLoss<T>| {
        time(|step| {
            draw(step, &mut indices);
            let failed = loss.batch_grad(&x, &indices[..batch * WIDTH], None, black_box(&mut out), span).is_err();
            assert!(!failed);
        })
    };
    let (a, b) = (gradient(&linear), gradient(&logistic));
    let full = time(|_| assert!(logistic.grad(&x, black_box(&mut out), span).is_ok()));
    println!(
        "{name:12} p={p:<4} B={batch:<4} draws {drawn:7.2}  floor {floor:7.2}  linear {a:7.2} ({:.2} x)  logistic {b:7.2} \
         ({:.2} x)  full gradient {full:8.1}",
        a / floor,
        b / floor
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
