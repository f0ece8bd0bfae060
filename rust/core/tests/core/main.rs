//! The tests of the core from outside, in one program: kernels are compiled once for all of them.

#![allow(clippy::unwrap_used, clippy::needless_range_loop)] // tests; formulas with indices are read as they are printed

mod adaptive;
mod allocation;
mod engine;
mod heavy_tails;
mod lanes;
mod langevin;
mod losses;
mod networks;
mod platen;
mod rng;
mod schemes;
mod squares;
mod tanh;
mod variances;
