//! What no minibatch gradient of a linear model can do without, by itself: the draws of examples, and one dot product, a
//! number, with the row of each. Timings stand beside it.

use crate::buffer::Buffer;
use crate::lanes::{Kernel, Real, Simd, Vector, dispatch, line};
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
        let out = Buffer::new(batch * width);
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
        dispatch(Dots {
            rows,
            theta,
            indices,
            out: std::hint::black_box(out),
            stride: *stride,
            width: *width,
            batch: *batch,
        });
    }
}

struct Dots<'a, T> {
    rows: &'a [T],
    theta: &'a [T],
    indices: &'a [u32],
    out: &'a mut [T],
    stride: usize,
    width: usize,
    batch: usize,
}

impl<T: Real> Kernel for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        if <T::V<S> as Vector>::LANES == line::<T>() {
            self.run_by::<T::V<S>, 1, 8>();
        } else {
            self.run_by::<T::V<S>, 2, 4>();
        }
    }
}

impl<T: Real> Dots<'_, T> {
    /// `H` vectors are a line, and `J` dot products are made at a time.
    #[inline(always)]
    fn run_by<V: Vector<Elem = T>, const H: usize, const J: usize>(self) {
        let Self { rows, theta, indices, out, stride, width, batch } = self;
        let (mut path, mut b) = (0, 0);
        for out in out.chunks_exact_mut(J) {
            let mut sums = [[V::splat(T::default()); H]; J];
            // SAFETY: rows are whole lines, there is one for each path and each example, and what is drawn is below the
            // number of examples; the width is a multiple of `J`.
            unsafe {
                let pairs: [(*const T, *const T); J] = std::array::from_fn(|_| {
                    let index = *indices.get_unchecked(b * width + path) as usize;
                    let pair = (rows.as_ptr().add(index * stride), theta.as_ptr().add(path * stride));
                    (path, b) = if b + 1 == batch { (path + 1, 0) } else { (path, b + 1) };
                    pair
                });
                for c in (0..stride).step_by(V::LANES * H) {
                    for (sums, (row, theta)) in sums.iter_mut().zip(&pairs) {
                        for (h, sum) in sums.iter_mut().enumerate() {
                            let at = c + h * V::LANES;
                            *sum = V::load(row.add(at)).mul_add(V::load(theta.add(at)), *sum);
                        }
                    }
                }
                V::sum_lines(sums, out.as_mut_ptr());
            }
        }
    }
}
