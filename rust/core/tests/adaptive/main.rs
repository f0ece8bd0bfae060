//! The equations of RMSprop and Adam against formulas written here anew, quadrature and published solutions.

#![allow(clippy::unwrap_used, clippy::needless_range_loop)] // tests; formulas with indices are read as they are printed

mod first;
mod ode;
mod one_step;
mod pieces;
mod problem;
mod reference;
mod second;
