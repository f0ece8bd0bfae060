//! Prints what a random number costs: nanoseconds each, one thread, buffer in the first-level cache.

use optsde_core::lanes::{available, with_isa};
use optsde_core::rng::{Address, Tag, fill_normals, fill_normals_f32, fill_sign_words, fill_uniforms};
use std::hint::black_box;
use std::time::Instant;

const ROWS: usize = 16;
const WIDTH: usize = 256;

/// A buffer at the start of a cache line, as the engine's are.
#[repr(align(64))]
struct Aligned<T>([T; 128 * 64]);

/// The median of several timings of `fill`, called for ever new block numbers, per number written.
fn time(numbers: usize, mut fill: impl FnMut(u64)) -> f64 {
    let calls = 1_000_000 / numbers;
    let mut q = 0;
    let mut times: Vec<f64> = (0..41)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                fill(q);
                q += ROWS as u64;
            }
            start.elapsed().as_secs_f64() * 1e9 / (calls * numbers) as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let address = Address { key: 0x0123_4567_89ab_cdef, tag: Tag::WIENER, first_path: 4096 };
    let mut wide = Box::new(Aligned([0.0_f64; 128 * 64]));
    let mut narrow = Box::new(Aligned([0.0_f32; 128 * 64]));
    let numbers = ROWS * WIDTH;
    println!(
        "{:9} {:>7} {:>7} {:>7} {:>9} {:>8} {:>8}",
        "ns each", "f64", "f32", "f32->64", "uniforms", "signs64", "signs32"
    );
    for isa in available() {
        with_isa(isa, || {
            let f64s = time(numbers, |q| fill_normals(address, q..q + 8, 0.01, WIDTH, black_box(&mut wide.0)));
            let f32s = time(numbers, |q| fill_normals(address, q..q + 4, 0.01, WIDTH, black_box(&mut narrow.0)));
            let mixed = time(numbers, |q| fill_normals_f32(address, q..q + 4, 0.01, WIDTH, black_box(&mut wide.0)));
            let uniforms = time(numbers, |q| fill_uniforms(address, q..q + 8, WIDTH, black_box(&mut wide.0)));
            let words = 4 * 32 * WIDTH;
            let signs64 = time(words, |q| fill_sign_words(address, q..q + 1, WIDTH, black_box(&mut wide.0)));
            let signs32 = time(words, |q| fill_sign_words(address, q..q + 1, WIDTH, black_box(&mut narrow.0)));
            println!("{:9} {f64s:7.3} {f32s:7.3} {mixed:7.3} {uniforms:9.3} {signs64:8.4} {signs32:8.4}", isa.name());
        });
    }
}
