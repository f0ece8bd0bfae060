"""The algorithms against torch.optim itself, over 300 steps in double: parameters and every state variable.

torch's gradients are by autograd of its own formulas of the losses; the tests run where torch is installed. The NumPy
transcription that the other tests use is held against torch by the same runs.
"""

import numpy as np
import optsde
import pytest
import reference_optimizers as reference

torch = pytest.importorskip("torch")

STEPS = 300
H = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.7]])
CENTER = np.array([0.3, -0.2, 1.0])


def quadratic(x):
    y = x - torch.tensor(CENTER)
    return 0.5 * y @ torch.tensor(H) @ y


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def quartic(x):
    return (0.7 * x**4 / 4.0 + 1.3 * x**2 / 2.0).sum()


# Loss: torch's formula, the library's, a start, the rate of plain descent, what multiplies rates of adaptive methods:
# between the steep walls of Rosenbrock's valley large ones are chaotic (so is a small eps there), and rounding grows.
LOSSES = {
    "quadratic": (quadratic, lambda: optsde.losses.Quadratic(H, CENTER), (1.0, -1.0, 0.5), 0.05, 1.0),
    "rosenbrock": (rosenbrock, lambda: optsde.losses.Rosenbrock(3), (-0.6, 0.5, 0.4), 2e-4, 0.2),
    "quartic": (quartic, lambda: optsde.losses.Quartic(0.7, 1.3, dim=3), (1.0, -1.5, 0.5), 0.05, 1.0),
}
# Optimizer, its options; "rate" multiplies that of plain descent, "lr" is a rate as it is.
CASES = [
    ("SGD", {"rate": 1.0}),
    ("SGD", {"rate": 1.0, "weight_decay": 0.1}),
    ("SGD", {"rate": 0.3, "momentum": 0.9}),
    ("SGD", {"rate": 0.3, "momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"rate": 0.3, "momentum": 0.8, "nesterov": True}),
    ("SGD", {"rate": 0.3, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.003, "alpha": 0.9, "eps": 1e-2, "weight_decay": 0.2}),
    ("RMSprop", {"lr": 0.002}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 0.1, "weight_decay": 0.2}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 0.1, "weight_decay": 0.3}),
]
NAMES = {"SGD": {"b": "momentum_buffer"}, "RMSprop": {"v": "square_avg"}, "Adam": {"m": "exp_avg", "v": "exp_avg_sq"}}
NAMES["AdamW"] = NAMES["Adam"]


def options(case, loss):
    name, given = case
    *_, rate, factor = LOSSES[loss]
    keywords = {key: value for key, value in given.items() if key != "rate"}
    if "rate" in given:
        return name, keywords | {"lr": given["rate"] * rate}
    steep = {"eps": 5.0} if factor < 1.0 else {}
    return name, keywords | {"lr": given["lr"] * factor} | steep


def torch_run(name, keywords, function, start, *, schedule=None, rates=None):
    """Parameters and state of 0 to STEPS steps of torch.optim, one tensor a parameter where ``rates`` differ."""
    pieces = [(0, len(start))] if rates is None else [(i, i + 1) for i in range(len(start))]
    tensors = [torch.tensor(start[a:b], dtype=torch.float64, requires_grad=True) for a, b in pieces]
    groups = [{"params": [p]} | ({} if rates is None else {"lr": rates[i]}) for i, p in enumerate(tensors)]
    plain = {"foreach": False} | ({"fused": False} if name != "RMSprop" else {})
    opt = getattr(torch.optim, name)(groups, **keywords, **plain)
    wanted = NAMES[name] if name != "SGD" or keywords.get("momentum") else {}
    rows = {key: [np.zeros(len(start))] for key in wanted} | {"theta": [np.array(start, dtype=float)]}
    for k in range(STEPS):
        if schedule is not None:
            for group in opt.param_groups:
                group["lr"] = float(schedule(k))
        opt.zero_grad()
        function(torch.cat(tensors)).backward()
        opt.step()
        rows["theta"].append(torch.cat(tensors).detach().numpy().copy())
        for key, of_torch in wanted.items():
            rows[key].append(torch.cat([opt.state[p][of_torch] for p in tensors]).detach().numpy().copy())
    return {key: np.array(row) for key, row in rows.items()}


def library_run(opt, loss, start):
    ens = optsde.simulate(
        opt.discrete(optsde.Problem(loss, optsde.noise.Zero())), start, steps=STEPS, observe=optsde.Paths(at=STEPS + 1)
    )
    return {"theta": ens.paths[:, 0]} | {name: s.paths[:, 0] for name, s in ens.state.items() if name != "theta"}


def assert_same(found, exact):
    for name, value in exact.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-10 * scale, err_msg=name)


def in_library_units(name, keywords, trajectory):
    if "b" not in trajectory:
        return trajectory
    return reference.from_buffer(trajectory, keywords["lr"], keywords["momentum"], keywords.get("nesterov", False))


def transcription(name, keywords):
    if name == "SGD":
        return reference.sgd(**keywords), ("theta", "b")
    if name == "RMSprop":
        return reference.rmsprop(**keywords), ("theta", "v")
    decay = {"weight_decay": 1e-2, **keywords} if name == "AdamW" else keywords
    return reference.adam(**decay, decoupled=name == "AdamW"), ("theta", "m", "v")


def identify(value):
    if isinstance(value, tuple):
        return "-".join([value[0], *(f"{key}={v}" for key, v in value[1].items())]).replace(" ", "")
    return None


@pytest.mark.parametrize("case", CASES, ids=identify)
@pytest.mark.parametrize("loss", LOSSES)
def test_transcription_equals_torch(case, loss):
    function, make, start, *_ = LOSSES[loss]
    name, keywords = options(case, loss)
    exact = torch_run(name, keywords, function, start)
    update, names = transcription(name, keywords)
    state = {key: np.zeros(3) for key in names} | {"theta": np.array(start)}
    grad = make().grad
    assert_same(reference.run(update, state, lambda k, x: grad(x), STEPS), exact)


@pytest.mark.parametrize("case", CASES, ids=identify)
@pytest.mark.parametrize("loss", LOSSES)
def test_library_equals_torch(case, loss):
    function, make, start, *_ = LOSSES[loss]
    name, keywords = options(case, loss)
    exact = in_library_units(name, keywords, torch_run(name, keywords, function, start))
    assert_same(library_run(getattr(optsde, name)(**keywords), make(), np.array(start)), exact)


@pytest.mark.parametrize("case", [case for case in CASES if not case[1].get("nesterov")], ids=identify)
def test_rates_of_each_parameter(case):
    function, make, start, *_ = LOSSES["quadratic"]
    name, keywords = options(case, "quadratic")
    rates = keywords["lr"] * np.array([1.0, 0.3, 0.6])
    exact = torch_run(name, keywords, function, start, rates=rates.tolist())
    found = library_run(getattr(optsde, name)(**keywords | {"lr": rates}), make(), np.array(start))
    exact.pop("b", None)  # the unit of the velocity is a convention where rates differ
    assert_same(found, exact)


@pytest.mark.parametrize("case", [case for case in CASES if not case[1].get("nesterov")], ids=identify)
def test_schedules(case):
    function, make, start, *_ = LOSSES["quartic"]
    name, keywords = options(case, "quartic")
    schedule = optsde.schedules.Cosine(keywords["lr"], 200, 0.1 * keywords["lr"])
    exact = torch_run(name, keywords, function, start, schedule=schedule)
    found = library_run(getattr(optsde, name)(**keywords | {"lr": schedule}), make(), np.array(start))
    exact.pop("b", None)
    assert_same(found, exact)


def test_the_comparison_sees_the_order_of_the_second_moment():
    # The other ordering is far away at this tolerance.
    function, make, start, *_ = LOSSES["quadratic"]
    keywords = {"lr": 0.01, "eps": 1e-3}
    exact = torch_run("RMSprop", keywords, function, start)
    state = {"theta": np.array(start), "v": np.full(3, 1e-4)}
    grad = make().grad
    lagged = reference.run(reference.rmsprop(**keywords, ordering="lagged"), state, lambda k, x: grad(x), STEPS)
    with pytest.raises(AssertionError):
        assert_same(lagged, exact)
