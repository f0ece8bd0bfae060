//! Simulation of the stochastic differential equations of optimizers, in ensembles of millions of paths.
//!
//! A description becomes a [`scheme::Stepper`]; [`ensemble::run`] advances blocks of paths with it and folds them into
//! [`observe::Observer`]s. Noise is a pure function of key, path, step and slot ([`rng`]).

pub mod block;
mod buffer;
pub mod dynamics;
pub mod elementwise;
pub mod ensemble;
pub mod error;
pub mod function;
pub mod lanes;
pub mod linalg;
pub mod loss;
pub mod noise;
pub mod observe;
pub mod optimizer;
pub mod rates;
pub mod rng;
pub mod scheme;
pub mod wiener;
pub mod workspace;
