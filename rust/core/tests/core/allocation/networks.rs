//! Losses over networks allocate nothing once their working memory is there, whatever is asked of them.

use optsde_core::block::Span;
use optsde_core::error::Result;
use optsde_core::lanes::Real;
use optsde_core::linalg::Matrix;
use optsde_core::loss::{Activation, Builtin, Criterion, MatrixFactorization, Network};

/// Asks for everything, and gives the allocations that this made.
fn allocations<T: Real>(loss: &Builtin) -> Result<u64> {
    let span = Span::of(40);
    let (block, data, d) = (loss.block::<T>(), loss.data::<T>(), loss.dim());
    let (x, mut out) = (vec![T::from_f64(0.3); d * span.width], vec![T::default(); d * span.width]);
    let (weights, indices) = (vec![T::from_f64(1.0); 40 * span.width], vec![1; 3 * span.width]);
    let before = super::made();
    block.value(&x, &mut out, span)?;
    block.grad(&x, &mut out, span)?;
    block.hess_vec(&x, &x, &mut out, span)?;
    if let Some(data) = data {
        data.weighted_grad(&x, &weights, &mut out, span)?;
        data.batch_grad(&x, &indices, None, &mut out, span)?;
        data.grad_variances(&x, &mut out, span)?;
        data.grad_variances_along(&x, &x, &mut out, span)?;
        if data.outputs().is_some() {
            data.batch_grad(&x, &indices, Some(&weights), &mut out, span)?;
            data.weighted_jacobian(&x, &weights, &mut out, span)?;
            data.jacobian_squares(&x, &mut out, span)?;
            data.jacobian_squares_along(&x, &x, &mut out, span)?;
        }
    }
    Ok(super::made() - before)
}

pub fn allocate_nothing_from_the_second_call_on() -> Result<()> {
    let inputs = Matrix::from_fn(10, 3, |i, j| (i + 2 * j) as f64 / 10.0);
    let targets = Matrix::from_fn(10, 2, |i, j| if i % 2 == j { 1.0 } else { 0.0 });
    let mlp = |criterion| Network::mlp(&inputs, &targets, &[5, 4], Activation::Tanh, criterion);
    let losses = [
        Builtin::Network(mlp(Criterion::SquaredError)?),
        Builtin::Network(mlp(Criterion::CrossEntropy)?),
        Builtin::Network(Network::diagonal_linear(&inputs, vec![0.5; 10])?),
        Builtin::MatrixFactorization(MatrixFactorization::new(&inputs, 2)?),
    ];
    let mut first = 0;
    for loss in losses {
        first += allocations::<f64>(&loss)? + allocations::<f32>(&loss)?;
        assert_eq!(allocations::<f64>(&loss)?, 0, "{loss:?}");
        assert_eq!(allocations::<f32>(&loss)?, 0, "{loss:?}");
    }
    assert!(first > 0, "allocations are not counted");
    Ok(())
}
