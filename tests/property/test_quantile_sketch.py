"""Quantiles of drawn values lie within the stated error of NumPy's on the same values, whole or in shards."""

import numpy as np
import optsde
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

FLOW = optsde.OrnsteinUhlenbeck(1.0, 0.0, 0.0, dim=1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
alike = st.sampled_from([-1.0, -0.0, 0.0, 1.0, 1.0 + 2.0**-40, 3.0])


@settings(derandomize=True, deadline=None, max_examples=150, database=None)
@given(
    x=drawn.arrays(np.float64, st.integers(1, 300), elements=st.one_of(numbers, alike)),
    q=drawn.arrays(np.float64, st.integers(1, 5), elements=st.floats(0.0, 1.0)),
    bits=st.integers(1, 16),
    cut=st.integers(1, 299),
)
def test_within_the_stated_error(x, q, bits, cut):
    observer = optsde.Quantiles(q, at=[0.0], rtol=2.0**-bits)

    def run(**options):
        return optsde.simulate(
            FLOW, x[:, None], t1=1.0, dt=1.0, rng=1, observe=observer, on_divergence="keep", **options
        )

    whole = run()
    found = whole["quantiles"]
    assert found.error == 2.0**-bits
    position = q * (len(x) - 1)
    ranked = np.sort(x)
    low, high = (ranked[round_(position).astype(int)] for round_ in (np.floor, np.ceil))
    part = position - np.floor(position)
    with np.errstate(over="ignore", invalid="ignore"):
        exact = low + part * (high - low)
        bound = found.error * np.maximum(np.abs(low), np.abs(high)) * (1.0 + 1e-9) + 1e-307
        wrong = np.abs(found.values[0, :, 0] - exact) > bound
    # Differences of the largest numbers overflow in NumPy's formula as well.
    assert not wrong[np.isfinite(exact)].any()
    assert (np.diff(found.values[0, np.argsort(q, kind="stable"), 0]) >= -1e-9 * np.abs(x).max()).all()
    if cut < len(x):
        merged = optsde.merge([run(path_range=(cut, len(x))), run(path_range=(0, cut))])["quantiles"]
        assert merged.values.tobytes() == found.values.tobytes()
