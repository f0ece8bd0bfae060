//! What no minibatch gradient of a linear model can do without, by itself: the draws of examples, and one dot product with
//! the row of each. Timings stand beside it.

use crate::buffer::Buffer;
use crate::lanes::{Kernel, LANE_MULTIPLE, Number, Real, Simd, Vector, dispatch, line};
use crate::linalg::Matrix;
use crate::rng::{Address, Tag, fill_indices, indices_per_block};

/// Draws and bare dot products of a block of paths.
#[derive(Debug)]
pub struct MinibatchFloor<T> {
    rows: Buffer<T>,
    examples: u32,
    stride: usize,
    batch: usize,
    width: usize,
    /// A row for each path.
    theta: Buffer<T>,
    indices: Vec<u32>,
    out: Buffer<T>,
}

impl<T: Real> MinibatchFloor<T> {
    /// Batches of rows of `x`, for blocks of `width` paths.
    pub fn new(x: &Matrix<f64>, batch: usize, width: usize) -> Self {
        let (examples, stride) = (x.rows(), x.cols().next_multiple_of(line::<T>()));
        let (mut rows, mut theta) = (Buffer::new(examples * stride), Buffer::new(width * stride));
        for (i, row) in rows.chunks_exact_mut(stride).enumerate() {
            row.iter_mut().zip(x.row(i)).for_each(|(to, from)| *to = T::from_f64(*from));
        }
        theta.iter_mut().for_each(|theta| *theta = T::from_f64(0.1));
        let indices = vec![0; batch.next_multiple_of(indices_per_block(examples as u32)) * width];
        let out = Buffer::new(LANE_MULTIPLE * width);
        Self { rows, examples: examples as u32, stride, batch, width, theta, indices, out }
    }

    /// Draws the examples of a step.
    pub fn draw(&mut self, step: u64) {
        let Self { examples, width, .. } = *self;
        let blocks = (self.indices.len() / width / indices_per_block(examples)) as u64;
        let address = Address { key: 7, tag: Tag::MINIBATCH, first_path: 0 };
        let blocks = step * blocks..(step + 1) * blocks;
        fill_indices(address, blocks, examples, |_| examples, width, std::hint::black_box(&mut self.indices));
    }

    /// Multiplies their rows with those of the paths.
    pub fn multiply(&mut self) {
        let Self { rows, stride, batch, width, theta, indices, out, .. } = self;
        let indices = &indices[..*batch * *width];
        dispatch(Dots { rows, theta, indices, out: std::hint::black_box(out), stride: *stride, width: *width });
    }
}

struct Dots<'a, T> {
    rows: &'a [T],
    theta: &'a [T],
    indices: &'a [u32],
    out: &'a mut [T],
    stride: usize,
    width: usize,
}

impl<T: Real> Kernel for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { rows, theta, indices, out, stride, width } = self;
        for p in 0..width {
            let mut sum = [<T::V<S>>::splat(T::default()); 4];
            for (b, indices) in indices.chunks_exact(width).enumerate() {
                for c in (0..stride).step_by(<T::V<S> as Vector>::LANES) {
                    // SAFETY: rows are whole vectors, there is one for each path and each example, and what is drawn is
                    // below the number of examples.
                    unsafe {
                        let x = <T::V<S>>::load(rows.as_ptr().add(indices[p] as usize * stride + c));
                        sum[b % 4] = x.mul_add(<T::V<S>>::load(theta.as_ptr().add(p * stride + c)), sum[b % 4]);
                    }
                }
            }
            // SAFETY: room for the longest vector for each path is there.
            unsafe { (sum[0] + sum[1] + (sum[2] + sum[3])).store(out.as_mut_ptr().add(p * LANE_MULTIPLE)) };
        }
    }
}
