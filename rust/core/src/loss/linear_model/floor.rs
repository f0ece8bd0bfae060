//! What no minibatch gradient of a linear model can do without, by itself: the draws of examples, and one dot product, a
//! number, with the row of each, made as the gradients make them. Timings stand beside it.

use super::drawn::{Drawn, GROUP, by_length};
use crate::buffer::Buffer;
use crate::lanes::{Kernel, Real, Simd, Vector, dispatch, line};
use crate::linalg::Matrix;
use crate::rng::{Address, Tag, fill_indices, indices_per_block};

/// Draws and bare dot products of a block of paths.
#[derive(Debug)]
pub struct MinibatchFloor<T> {
    rows: Buffer<T>,
    examples: u32,
    inputs: usize,
    stride: usize,
    batch: usize,
    width: usize,
    /// Steps whose examples are drawn at once.
    steps: usize,
    /// A row for each path.
    theta: Buffer<T>,
    indices: Vec<u32>,
    out: Buffer<T>,
}

impl<T: Real> MinibatchFloor<T> {
    /// Batches of rows of `x`, for blocks of `width` paths, a multiple of eight, and so many steps at once.
    pub fn new(x: &Matrix<f64>, batch: usize, width: usize, steps: usize) -> Self {
        let (examples, stride) = (x.rows(), x.cols().next_multiple_of(line::<T>()));
        let (mut rows, mut theta) = (Buffer::new(examples * stride), Buffer::new(width * stride));
        for (i, row) in rows.chunks_exact_mut(stride).enumerate() {
            row.iter_mut().zip(x.row(i)).for_each(|(to, from)| *to = T::from_f64(*from));
        }
        theta.iter_mut().for_each(|theta| *theta = T::from_f64(0.1));
        let drawn = batch.next_multiple_of(indices_per_block(examples as u32));
        Self {
            rows,
            examples: examples as u32,
            inputs: x.cols(),
            stride,
            batch,
            width,
            steps,
            theta,
            indices: vec![0; steps * drawn * width],
            out: Buffer::new(batch * width.next_multiple_of(GROUP)),
        }
    }

    /// Draws the examples of the steps from the `first` on.
    pub fn draw(&mut self, first: u64) {
        let Self { examples, width, steps, .. } = *self;
        let blocks = (self.indices.len() / width / steps / indices_per_block(examples)) as u64;
        let address = Address { key: 7, tag: Tag::MINIBATCH, first_path: 0 };
        let blocks = first * blocks..(first + steps as u64) * blocks;
        fill_indices(address, blocks, examples, |_| examples, width, std::hint::black_box(&mut self.indices));
    }

    /// Multiplies their rows with those of the paths.
    pub fn multiply(&mut self) {
        dispatch(Dots(std::hint::black_box(self)));
    }
}

struct Dots<'a, T>(&'a mut MinibatchFloor<T>);

impl<T: Real> Kernel for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        if <T::V<S> as Vector>::LANES == line::<T>() {
            self.by_length::<T::V<S>, 1, 8>();
        } else {
            self.by_length::<T::V<S>, 2, 4>();
        }
    }
}

impl<T: Real> Dots<'_, T> {
    /// `H` vectors are a line, and `J` dot products are made at a time.
    #[inline(always)]
    fn by_length<V: Vector<Elem = T>, const H: usize, const J: usize>(self) {
        by_length!(H, self.0.inputs.div_ceil(V::LANES), W => self.groups::<V, H, J, W>())
    }

    #[inline(always)]
    fn groups<V: Vector<Elem = T>, const H: usize, const J: usize, const W: usize>(self) {
        let MinibatchFloor { rows, stride, batch, width, steps, theta, indices, out, .. } = self.0;
        let per_step = indices.len() / *steps;
        for path in (0..*width).step_by(GROUP) {
            for step in 0..*steps {
                // SAFETY: rows are whole lines, there is one for each path and each example, and what is drawn is below
                // the number of examples; the width is a multiple of the group; `new` gave memory.
                unsafe {
                    let indices = indices.as_ptr().add(step * per_step + path);
                    let drawn = Drawn { indices, width: *width, rows: rows.as_ptr(), stride: *stride };
                    let (theta, out) = (theta.as_ptr().add(path * *stride), out.as_mut_ptr().add(path * *batch));
                    drawn.dot_products::<V, H, J, W>(*batch, (theta, *stride), out);
                }
            }
        }
    }
}
