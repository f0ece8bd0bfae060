//! The random numbers by themselves: for tests of their quality, and as the floor that a run is timed against.

use crate::errors::to_python;
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray2};
use optsde_core::block::Span;
use optsde_core::linalg::Matrix;
use optsde_core::loss::MinibatchFloor;
use optsde_core::rng::{Address, Tag, fill_normals, fill_normals_f32, normals_per_block};
use pyo3::prelude::*;
use std::time::Instant;

/// Normals at their addresses, `(numbers, paths)` from the first number on.
#[pyfunction]
pub fn normals<'py>(
    py: Python<'py>,
    key: u64,
    tag: u8,
    first_path: u64,
    paths: usize,
    numbers: usize,
    single: bool,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let span = Span::of(paths);
    let per_block = if single { 4 } else { normals_per_block::<f64>() };
    let blocks = (numbers as u64).div_ceil(per_block);
    let mut out = vec![0.0; (blocks * per_block) as usize * span.width];
    let at = Address { key, tag: Tag(tag), first_path };
    py.detach(|| {
        if single {
            fill_normals_f32(at, 0..blocks, 1.0, span.width, &mut out);
        } else {
            fill_normals(at, 0..blocks, 1.0, span.width, &mut out);
        }
    });
    let rows: Vec<f64> = out.chunks_exact(span.width).take(numbers).flat_map(|row| &row[..paths]).copied().collect();
    PyArray1::from_vec(py, rows).reshape(vec![numbers, paths])
}

/// Seconds that this thread takes to make at least that many double-precision normals, and how many it made: nothing is
/// done with them, and they never leave the first-level cache.
#[pyfunction]
pub fn time_normals(py: Python<'_>, count: u64) -> (f64, u64) {
    const WIDTH: usize = 192;
    const BLOCKS: u64 = 8;
    let mut out = vec![0.0; 2 * BLOCKS as usize * WIDTH];
    let per_call = out.len() as u64;
    let calls = count.div_ceil(per_call);
    let at = Address { key: 1, tag: Tag::WIENER, first_path: 0 };
    py.detach(|| {
        let start = Instant::now();
        for call in 0..calls {
            fill_normals(at, call * BLOCKS..(call + 1) * BLOCKS, 1.0, WIDTH, std::hint::black_box(&mut out));
        }
        (start.elapsed().as_secs_f64(), calls * per_call)
    })
}

/// Seconds that this thread takes to draw batches of rows of `x` and to multiply each with a path's parameters, for at least
/// that many steps of paths; and how many there were.
#[pyfunction]
pub fn time_minibatches(
    py: Python<'_>,
    x: PyReadonlyArray2<'_, f64>,
    batch: usize,
    count: u64,
) -> PyResult<(f64, u64)> {
    const WIDTH: usize = 64;
    const STEPS: usize = 32;
    let view = x.as_array();
    let x = Matrix::new(view.nrows(), view.ncols(), view.iter().copied().collect()).map_err(to_python)?;
    let mut floor = MinibatchFloor::<f64>::new(&x, batch, WIDTH, STEPS);
    let per_call = (WIDTH * STEPS) as u64;
    let calls = count.div_ceil(per_call);
    Ok(py.detach(|| {
        let start = Instant::now();
        for call in 0..calls {
            floor.draw(call * STEPS as u64);
            floor.multiply();
        }
        (start.elapsed().as_secs_f64(), calls * per_call)
    }))
}
