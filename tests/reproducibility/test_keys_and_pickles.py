"""Every form of rng, the reuse of keys, and descriptions and results that go through pickle."""

import copy
import pickle

import numpy as np
import optsde
import pytest
from catalog import CASES, arrays, assert_same_bits, observers

CASE = CASES["milstein affine"]


def key(rng):
    return CASE.run(rng=rng, n_paths=1, observe=[]).key


def test_int_and_seed_sequence_agree():
    assert key(7) == key(np.int64(7)) == key(np.random.SeedSequence(7))
    assert key(7) != key(8)
    assert key(2**200) == key(np.random.SeedSequence(2**200))
    assert key(np.random.SeedSequence(7).spawn(2)[0]) != key(np.random.SeedSequence(7).spawn(2)[1])


def test_generator_and_bit_generator_agree_and_move_on():
    generator = np.random.Generator(np.random.PCG64(3))
    bits = np.random.PCG64(3)
    first, second = key(generator), key(generator)
    assert first != second
    assert (key(bits), key(bits)) == (first, second)
    for kind in (np.random.Philox, np.random.MT19937, np.random.SFC64, np.random.PCG64DXSM):
        assert key(kind(1)) == key(np.random.Generator(kind(1)))


def test_global_state_is_left_alone():
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    CASE.run(rng=None)
    CASE.run(rng=5)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_no_rng_is_fresh():
    assert len({int(key(None)) for _ in range(5)}) == 5


def test_a_seed_sequence_is_not_spent():
    sequence = np.random.SeedSequence(3)
    assert key(sequence) == key(sequence)
    assert sequence.n_children_spawned == 0


@pytest.mark.parametrize("rng", [None, 11, np.random.default_rng(3)])
def test_a_key_gives_the_run_again(rng):
    one = CASE.run(observe=observers(CASE), rng=rng)
    assert_same_bits(one, CASE.run(observe=observers(CASE), rng=one.key))
    assert one.key == CASE.run(rng=one.key).key
    assert_same_bits(one, CASE.run(observe=observers(CASE), rng=optsde.Key(int(one.key))))


def test_a_key_is_no_seed():
    one = CASE.run(rng=11)
    assert not (CASE.run(rng=int(one.key)).final == one.final).any()


def test_extreme_keys():
    ends = [CASE.run(rng=optsde.Key(k)).final for k in (0, 1, 2**32, 2**63, 2**64 - 1)]
    for i, one in enumerate(ends):
        assert np.isfinite(one).all()
        assert not any((one == other).any() for other in ends[:i])


def test_keys_that_are_none():
    for value in (-1, 2**64):
        with pytest.raises(ValueError, match="Key: expected an integer of at"):
            optsde.Key(value)


def test_key_goes_through_pickle_and_copy():
    k = optsde.Key(2**64 - 1)
    for other in (pickle.loads(pickle.dumps(k)), copy.copy(k), copy.deepcopy(k)):
        assert type(other) is optsde.Key
        assert other == k


@pytest.mark.parametrize("bad", [3.0, "7", True, b"7", [1, 2], np.float64(3.0), (1,), object()])
def test_forms_that_are_none(bad):
    with pytest.raises(TypeError, match=f"^rng: expected an int.* got {type(bad).__name__}"):
        key(bad)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_descriptions_go_through_pickle(name, protocol):
    dynamics = CASES[name].dynamics
    again = pickle.loads(pickle.dumps(dynamics, protocol))
    assert type(again) is type(dynamics)
    assert again == dynamics
    assert hash(again) == hash(dynamics)
    assert repr(again) == repr(dynamics)
    assert again.describe() == dynamics.describe()
    assert copy.deepcopy(dynamics) == dynamics


def test_unpickled_description_runs_to_the_same_bits():
    for name in ("milstein affine", "euler function full", "exact ou", "milstein sde full"):
        case = CASES[name]
        again = pickle.loads(pickle.dumps(case))
        assert_same_bits(case.run(observe=observers(case)), again.run(observe=observers(again)))


def test_unpickled_arrays_stay_closed():
    case = CASES["euler additive_full"]
    loss = pickle.loads(pickle.dumps(case.dynamics)).problem.loss
    with pytest.raises(ValueError, match="read-only"):
        loss.H[0, 0] = 3.0


@pytest.mark.parametrize("name", ["milstein affine", "euler function full", "initial gaussian", "exact ou, f32"])
def test_ensembles_go_through_pickle(name):
    case = CASES[name]
    one = case.run(observe=observers(case, calls_python=True))
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert_same_bits(one, again)
        assert repr(again) == repr(one)
        for field in (
            "n_paths",
            "n_diverged",
            "first_divergence",
            "complete",
            "key",
            "method",
            "dt",
            "n_steps",
            "wall_time",
            "threads",
            "path_range",
        ):
            assert getattr(again, field) == getattr(one, field), field
        assert again.replay(3).final.tobytes() == one.final[3:4].tobytes()
        assert_same_bits(one, optsde.merge([again]))
        assert again.expectations["square"].mean.tobytes() == one.expectations["square"].mean.tobytes()
    twice = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(one))))
    assert_same_bits(one, twice)


def test_an_ensemble_of_a_lambda_keeps_its_results():
    loss = optsde.losses.Function(lambda x: x * x * x, dim=1)
    one = optsde.simulate(optsde.Langevin(loss, 0.1), 0.5, n_paths=20, t1=1.0, dt=0.1, rng=1)
    again = pickle.loads(pickle.dumps(one))
    assert arrays(again).keys() == arrays(one).keys()
    assert_same_bits(one, again)
    assert repr(again) == repr(one)
    with pytest.raises(ValueError, match="replay: this ensemble was unpickled without"):
        again.replay(0)
    with pytest.raises(ValueError, match="merge: this ensemble was unpickled without"):
        optsde.merge([again])
    with pytest.raises(AttributeError, match=r"paths: not observed; .*optsde\.Paths"):
        _ = again.paths
    assert_same_bits(one, pickle.loads(pickle.dumps(again)))
