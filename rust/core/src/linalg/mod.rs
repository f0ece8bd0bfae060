//! Small dense matrices: products over lanes for the time loop, factorisations and exponentials for its preparation.

mod cholesky;
mod dense;
#[cfg(test)]
mod expm;
mod matmul;
mod ou;
mod solve;
