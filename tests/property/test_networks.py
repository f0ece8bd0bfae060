"""Networks and matrix factorisations: value and gradient against NumPy, higher derivatives against differences."""

import numpy as np
import optsde
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optsde import losses

fixed = settings(derandomize=True, deadline=None, max_examples=25, database=None)
widths = st.integers(1, 5)


def mlp_value_and_grad(mlp, theta):
    """Backpropagation as the textbooks have it, on all examples at once."""
    parts, n = mlp.split(theta), mlp.n_examples
    layers = len(mlp.hidden) + 1
    units = [mlp.X]
    for l in range(1, layers + 1):
        z = units[-1] @ parts[f"W{l}"].T + parts[f"b{l}"]
        if l < layers:
            z = {"tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "identity": lambda z: z}[mlp.activation](z)
        units.append(z)
    out = units[-1]
    if mlp.loss == "mse":
        residual = out - mlp.y.reshape(n, -1)
        value, back = 0.5 * np.square(residual).sum() / n, residual / n
    else:
        shifted = out - out.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        value = -log_p[np.arange(n), mlp.y].mean()
        back = (np.exp(log_p) - np.eye(out.shape[1])[mlp.y]) / n
    grads = {}
    for l in range(layers, 0, -1):
        grads[f"W{l}"], grads[f"b{l}"] = back.T @ units[l - 1], back.sum(axis=0)
        a = units[l - 1]
        slope = {"tanh": 1 - a**2, "sigmoid": a * (1 - a), "identity": 1.0}[mlp.activation]
        back = (back @ parts[f"W{l}"]) * slope
    return value, mlp.join(grads)


@st.composite
def perceptrons(draw):
    n, p, k = draw(st.integers(1, 9)), draw(widths), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    X = rng.standard_normal((n, p))
    loss = draw(st.sampled_from(["mse", "cross_entropy"]))
    if loss == "cross_entropy":
        y = rng.integers(0, k + 1, n)
        y[-1] = k
    else:
        y = rng.standard_normal((n, k)) if draw(st.booleans()) else rng.standard_normal(n)
    activation = draw(st.sampled_from(["tanh", "sigmoid", "identity"]))
    return losses.MLP(X, y, draw(st.lists(widths, max_size=2)), activation, loss), rng


@st.composite
def diagonal_networks(draw):
    n, p = draw(st.integers(1, 9)), draw(widths)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return losses.DiagonalLinearNetwork(rng.standard_normal((n, p)), rng.standard_normal(n)), rng


@st.composite
def factorizations(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    target = rng.standard_normal((draw(widths), draw(widths)))
    return losses.MatrixFactorization(target, draw(st.integers(1, 3))), rng


everything = st.one_of(perceptrons(), diagonal_networks(), factorizations())


@given(perceptrons())
@fixed
def test_mlp_is_its_transcription(drawn):
    mlp, rng = drawn
    theta = rng.standard_normal(mlp.dim)
    value, grad = mlp_value_and_grad(mlp, theta)
    np.testing.assert_allclose(mlp.value(theta), value, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(mlp.grad(theta), grad, rtol=1e-11, atol=1e-13 * (1 + np.abs(grad).max()))
    out = mlp.predict(theta)
    assert out.shape == (mlp.n_examples, mlp.n_outputs)
    if mlp.loss == "mse":
        by_outputs = 0.5 * np.square(out - mlp.y.reshape(len(out), -1)).sum(axis=1).mean()
        np.testing.assert_allclose(by_outputs, value, rtol=1e-12)


@given(diagonal_networks())
@fixed
def test_diagonal_network_is_its_transcription(drawn):
    loss, rng = drawn
    p = loss.X.shape[1]
    theta = rng.standard_normal(2 * p)
    u, v = theta[:p], theta[p:]
    residual = loss.X @ (u**2 - v**2) - loss.y
    slope = loss.X.T @ residual / loss.n_examples
    np.testing.assert_allclose(loss.value(theta), np.square(residual).mean() / 2, rtol=1e-12)
    np.testing.assert_allclose(
        loss.grad(theta), np.concatenate([2 * u * slope, -2 * v * slope]), rtol=1e-11, atol=1e-12
    )
    J = np.concatenate([2 * u, -2 * v]) * np.concatenate([loss.X, loss.X], axis=1)
    H = J.T @ J / loss.n_examples + np.diag(np.concatenate([2 * slope, -2 * slope]))
    np.testing.assert_allclose(loss.hessian(theta), H, rtol=1e-11, atol=1e-11 * (1 + np.abs(H).max()))
    np.testing.assert_allclose(loss.predictor(theta), u**2 - v**2, rtol=1e-15)


@given(factorizations())
@fixed
def test_matrix_factorization_is_its_transcription(drawn):
    loss, rng = drawn
    theta = rng.standard_normal((2, loss.dim))
    parts = loss.split(theta)
    residual = loss.product(theta) - loss.target
    np.testing.assert_allclose(loss.value(theta), 0.5 * np.square(residual).sum(axis=(1, 2)), rtol=1e-12)
    grad = loss.join({"U": residual @ parts["V"], "V": np.swapaxes(residual, 1, 2) @ parts["U"]})
    np.testing.assert_allclose(loss.grad(theta), grad, rtol=1e-11, atol=1e-12)


@given(everything)
@fixed
def test_higher_derivatives_are_differences(drawn):
    loss, rng = drawn
    d, h = loss.dim, 1e-5
    x, s = 0.7 * rng.standard_normal(d), rng.standard_normal((d, d))
    hessian = loss.hessian(x)
    np.testing.assert_array_equal(hessian, hessian.T)
    ends = x + h * np.eye(d)[None] * np.array([1.0, -1.0])[:, None, None]

    def close(analytic, above, below):
        scale = 1e-6 * (1 + np.abs(analytic).max() + np.abs(hessian).max())
        np.testing.assert_allclose(analytic, (above - below) / (2 * h), rtol=1e-6, atol=scale)

    close(loss.grad(x), *loss.value(ends))
    close(hessian, *loss.grad(ends))
    close(loss.third(x, s), *np.einsum("ij,epij->ep", s, loss.hessian(ends)))
    np.testing.assert_array_equal(loss.third(x, s), loss.third(x, (s + s.T) / 2))


@given(everything, st.sampled_from([(), (1,), (2, 3), (0,), (17,)]))
@settings(fixed, max_examples=15)
def test_points_of_any_shape(drawn, shape):
    loss, rng = drawn
    x = rng.standard_normal((*shape, loss.dim))
    assert loss.value(x).shape == shape
    assert loss.grad(x).shape == x.shape
    assert loss.hessian(x).shape == (*x.shape, loss.dim)
    for index in np.ndindex(shape):
        for f in (loss.value, loss.grad, loss.hessian):
            np.testing.assert_array_equal(f(x)[index], f(x[index]))
    np.testing.assert_array_equal(loss.join(loss.split(x)), x)
    sizes = {name: np.prod(block) for name, block in loss.blocks.items()}
    assert sum(sizes.values()) == loss.dim


@given(everything)
@fixed
def test_a_run_steps_with_this_gradient_in_both_precisions(drawn):
    loss, rng = drawn
    x, lr = 0.5 * rng.standard_normal((3, loss.dim)), 1e-2
    algorithm = optsde.SGD(lr).discrete(optsde.Problem(loss, optsde.noise.Zero()))
    one = optsde.simulate(algorithm, x, steps=1).final
    np.testing.assert_allclose(one, x - lr * loss.grad(x), rtol=1e-13, atol=1e-13)
    single = optsde.simulate(algorithm, x, steps=1, dtype="float32").final
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, one, rtol=1e-5, atol=1e-6 * (1 + np.abs(one).max()))


@given(everything)
@settings(fixed, max_examples=10)
def test_gradient_flow_decreases_the_loss(drawn):
    loss, rng = drawn
    x = 0.5 * rng.standard_normal(loss.dim)
    # Slow enough for explicit steps: the largest curvature met is not much above that at the start.
    lr = 0.1 / (1 + np.abs(np.linalg.eigvalsh(loss.hessian(x))).max())
    flow = optsde.SGD(lr).flow(optsde.Problem(loss, optsde.noise.Zero()))
    ens = optsde.simulate(flow, x, steps=60, observe=optsde.Loss(at=20))
    assert (np.diff(ens.loss_mean) <= 1e-12 * ens.loss_mean[0]).all()
    assert ens.loss_mean[-1] < ens.loss_mean[0] or np.abs(loss.grad(x)).max() < 1e-6


@pytest.mark.parametrize("n", [7, 30])
def test_trace_of_the_hessian_where_a_diagonal_network_fits(n):
    # On the set of zero loss, tr H = (4/N) Σ_j |A_j|² (u_j² + v_j²).
    rng = np.random.default_rng(4)
    X = rng.standard_normal((n, 6))
    theta = rng.standard_normal((5, 12))
    squares = np.square(theta[:, :6]) + np.square(theta[:, 6:])
    for point, sums in zip(theta, squares, strict=True):
        w = np.square(point[:6]) - np.square(point[6:])
        loss = losses.DiagonalLinearNetwork(X, X @ w)
        assert loss.value(point) < 1e-28
        trace = 4 / n * (np.square(X).sum(axis=0) * sums).sum()
        np.testing.assert_allclose(np.trace(loss.hessian(point)), trace, rtol=1e-12)
        # Away from the set the residuals count too.
        away = point + 0.1
        trace = 4 / n * (np.square(X).sum(axis=0) @ (np.square(away[:6]) + np.square(away[6:])))
        assert abs(np.trace(loss.hessian(away)) - trace) < 1e-12 * trace  # 2 slope - 2 slope: they cancel in the trace
        np.testing.assert_allclose(
            np.diag(loss.hessian(away))[:6],
            4 / n * np.square(X).sum(axis=0) * np.square(away[:6]) + 2 / n * X.T @ (X @ loss.predictor(away) - loss.y),
            rtol=1e-10,
        )


@given(diagonal_networks() | factorizations())
@fixed
def test_minima(drawn):
    loss, rng = drawn
    (x,) = loss.minima
    assert np.abs(loss.grad(x)).max() < 1e-12 * (1 + np.abs(loss.hessian(x)).max())
    around = x + 0.3 * rng.standard_normal((200, loss.dim))
    assert (loss.value(around) >= loss.value(x) - 1e-12).all()


def test_flow_of_a_factorization_keeps_the_balance():
    loss = losses.MatrixFactorization(np.diag([2.0, 1.0, 0.5]), rank=2)
    x = 0.5 * np.random.default_rng(1).standard_normal(loss.dim)
    flow = optsde.SGD(0.05).flow(optsde.Problem(loss, optsde.noise.Zero()))
    ens = optsde.simulate(flow, x, steps=400, observe=[optsde.Paths(at=5), optsde.Final()])
    parts = loss.split(ens.paths[:, 0])
    balance = np.swapaxes(parts["U"], 1, 2) @ parts["U"] - np.swapaxes(parts["V"], 1, 2) @ parts["V"]
    np.testing.assert_allclose(balance, np.broadcast_to(balance[0], balance.shape), atol=1e-9)
    np.testing.assert_allclose(loss.value(ens.final[0]), 0.5 * 0.25, atol=1e-6)  # the best of rank two
