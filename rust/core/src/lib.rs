//! Simulation of the stochastic differential equations of optimizers, in ensembles of millions of paths.

pub mod lanes;
pub mod rng;
