//! Simulation of the stochastic differential equations of optimizers, in ensembles of millions of paths.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod block;
pub mod error;
pub mod lanes;
pub mod linalg;
pub mod loss;

pub use block::Span;
pub use error::{Error, Result};
