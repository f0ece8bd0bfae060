//! Prints what a step of each method costs: nanoseconds a path, one thread, random numbers included.

use optsde_core::block::Span;
use optsde_core::dynamics::{FunctionNoise, FunctionSde, GradientSde, Linear, LinearSde, Sde};
use optsde_core::ensemble::{Control, Initial, Plan, Start, run};
use optsde_core::error::{Error, Result};
use optsde_core::function::{BlockFunction, Compiled, TimeStateFunction};
use optsde_core::lanes::{Kernel, Number, Simd, Vector, dispatch};
use optsde_core::linalg::Matrix;
use optsde_core::loss::Quadratic;
use optsde_core::noise::{AffineDiagonal, Factor, Gaussian, LossScaled, NoiseKind};
use optsde_core::scheme::stepper;
use optsde_core::wiener::{Grid, Increments};
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Instant;

const H: f64 = 1e-3;

/// The best of several timings, in nanoseconds a step of a path.
fn time(sde: &Arc<dyn Sde<f64>>, method: &str, increments: Increments) -> Result<f64> {
    let (n_paths, n_steps) = (2048, 64);
    let plan = Plan {
        stepper: stepper(method, sde.clone(), H)?,
        initial: Start::of(sde.dim(), Initial::Point(vec![0.5; sde.dim()])),
        floor: None,
        key: 7,
        grid: Grid { h: H, cells: 1, increments, antithetic: false },
        mesh: Vec::new(),
        t0: 0.0,
        first_cell: 0,
        n_steps,
        n_paths,
        range: (0, n_paths),
        observers: Vec::new(),
        keep_diverged: true,
    };
    let mut best = f64::INFINITY;
    for _ in 0..25 {
        let start = Instant::now();
        let outcome = run(&plan, 1, &Control::default(), &mut || ());
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / (n_paths * n_steps) as f64);
        if let Some(error) = outcome.error {
            return Err(error);
        }
    }
    Ok(best)
}

/// Of optimizers with memory in shape: `3 d` variables, `2 d` Wiener processes, as cheap as can be.
struct Memory {
    d: usize,
}

struct Rows<'a> {
    x: &'a [f64],
    out: &'a mut [f64],
    m: usize,
    width: usize,
}

impl Kernel for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { x, out, m, width } = self;
        let (dim, half) = (x.len() / width, S::F64::constant(0.5));
        for (i, j) in (0..dim).flat_map(|i| (0..m).map(move |j| (i, j))) {
            let c = S::F64::constant(0.1 * j as f64);
            for p in (0..width).step_by(S::F64::LANES) {
                // SAFETY: rows hold `width` lanes.
                unsafe {
                    let x = S::F64::load(x.as_ptr().add(i * width + p));
                    c.mul_add(x, half).store(out.as_mut_ptr().add((i * m + j) * width + p));
                }
            }
        }
    }
}

impl Sde<f64> for Memory {
    fn dim(&self) -> usize {
        3 * self.d
    }
    fn n_wiener(&self) -> usize {
        2 * self.d
    }
    fn n_wiener_b(&self) -> usize {
        self.d
    }
    fn kind(&self) -> NoiseKind {
        NoiseKind::Full
    }
    fn drift(&self, _t: f64, x: &[f64], out: &mut [f64], _scratch: &mut [f64], span: Span) -> Result<()> {
        dispatch(Rows { x, out, m: 1, width: span.width });
        Ok(())
    }
    fn factor(&self, _t: f64, x: &[f64], f: &mut [f64], span: Span) -> Result<()> {
        dispatch(Rows { x, out: f, m: 2 * self.d, width: span.width });
        Ok(())
    }
}

unsafe extern "C" fn drift(_t: f64, x: *const f64, a: *mut f64, n: i64, dim: i64, stride: i64, _: *mut c_void) -> i32 {
    let (n, dim, stride) = (n as usize, dim as usize, stride as usize);
    for i in 0..dim {
        for p in 0..n {
            // SAFETY: the engine's rows.
            unsafe { *a.add(i * stride + p) = -0.5 * *x.add(i * stride + p) };
        }
    }
    0
}

unsafe extern "C" fn factor(_t: f64, x: *const f64, f: *mut f64, n: i64, dim: i64, stride: i64, _: *mut c_void) -> i32 {
    let (n, dim, stride) = (n as usize, dim as usize, stride as usize);
    let m = 2 * dim / 3;
    for i in 0..dim {
        for j in 0..m {
            for p in 0..n {
                // SAFETY: the engine's rows.
                unsafe { *f.add((i * m + j) * stride + p) = 0.5 + 0.1 * j as f64 * *x.add(i * stride + p) };
            }
        }
    }
    0
}

fn compiled(function: TimeStateFunction) -> Result<Arc<dyn BlockFunction<f64>>> {
    // SAFETY: it is what it says.
    let function = unsafe { Compiled::of_time_and_state(function as usize, 0) };
    Ok(Arc::new(function.ok_or(Error::missing("a function"))?))
}

fn callbacks(d: usize) -> Result<Arc<dyn Sde<f64>>> {
    let noise =
        FunctionNoise { dim: 3 * d, n_wiener: 2 * d, kind: NoiseKind::Full, factor: compiled(factor)?, jacobian: None };
    Ok(Arc::new(FunctionSde { dim: 3 * d, drift: compiled(drift)?, noise: Some(noise) }))
}

fn main() -> Result<()> {
    let dense = |d: usize| Matrix::from_fn(d, d, |i, j| if i == j { 2.0 } else { 0.3 / (1.0 + (i + j) as f64) });
    let ou = |d| -> Result<Arc<dyn Sde<f64>>> {
        let linear = Linear { rate: dense(d), mean: vec![0.0; d], factor: Factor::of_covariance(&dense(d))? };
        Ok(Arc::new(LinearSde::new(linear)))
    };
    let bowl = |d| Quadratic::diagonal(vec![1.0; d], None).map(Arc::new);
    let gradient = |noise: Arc<dyn optsde_core::noise::Noise<f64>>, d| -> Result<Arc<dyn Sde<f64>>> {
        Ok(Arc::new(GradientSde::new(bowl(d)?, noise, -0.3, None, None)))
    };
    let affine = |d: usize| Arc::new(AffineDiagonal::new(vec![1.0; d], vec![0.5; d], vec![0.0; d]));
    let scaled =
        |d: usize| -> Result<_> { Ok(Arc::new(LossScaled::new(bowl(d)?, Factor::of_covariance(&dense(d))?, 1.0))) };
    let coupled =
        |d: usize| -> Result<_> { Ok(Arc::new(LossScaled::new(bowl(d)?, Factor::of_variances(&vec![1.0; d]), 1.0))) };
    let isotropic = Arc::new(Gaussian(Factor::of_variances(&[1.0])));
    let cases: Vec<(&str, Arc<dyn Sde<f64>>)> = vec![
        ("OU d=1", gradient(isotropic, 1)?),
        ("OU d=10 dense", ou(10)?),
        ("OU d=64 dense", ou(64)?),
        ("affine d=1", gradient(affine(1), 1)?),
        ("affine d=10", gradient(affine(10), 10)?),
        ("coupled d=3", gradient(coupled(3)?, 3)?),
        ("loss-scaled d=2", gradient(scaled(2)?, 2)?),
        ("loss-scaled d=10", gradient(scaled(10)?, 10)?),
        ("memory 3 x 2", Arc::new(Memory { d: 1 })),
        ("memory 6 x 4", Arc::new(Memory { d: 2 })),
        ("callback 3 x 2", callbacks(1)?),
        ("callback 6 x 4", callbacks(2)?),
    ];
    let methods = ["euler_maruyama", "milstein", "heun", "platen"];
    println!("{:18}{}  platen, three_point", "ns a step", methods.map(|m| format!("{m:>18}")).concat());
    // An argument picks equations by a part of their name.
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for (name, sde) in cases.into_iter().filter(|(name, _)| name.contains(&wanted)) {
        let cell = |method: &str, increments| match time(&sde, method, increments) {
            Ok(ns) => format!("{ns:.2}"),
            Err(_) => "-".to_owned(),
        };
        let row = methods.map(|method| format!("{:>18}", cell(method, Increments::Gaussian))).concat();
        println!("{name:18}{row}{:>21}", cell("platen", Increments::ThreePoint));
    }
    Ok(())
}
