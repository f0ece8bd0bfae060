"""Path i of n is path i of any larger ensemble, and shards merge to the bits of the whole."""

import pickle
from itertools import pairwise

import numpy as np
import optsde
import pytest
from catalog import CASES, FEW, assert_same_bits, observers, passages

pytestmark = pytest.mark.filterwarnings("ignore::optsde.DivergenceWarning")
N = 1000
CUTS = {
    "a group and a bit": [100],
    "on a group": [640],
    "three": [333, 700],
    "a middle of one path": [500, 501],
    "one path at either end": [1, 999],
    "all within one group": [3, 7, 8, 20, 63],
    "many": sorted(set(np.random.default_rng(3).integers(1, N, 12).tolist())),
}


def shards(case, cuts, n_paths=N, **options):
    ends = [0, *cuts, n_paths]
    return [
        case.run(observe=observers(case), n_paths=n_paths, path_range=pair, threads=1 + k % 3, **options)
        for k, pair in enumerate(pairwise(ends))
    ]


@pytest.mark.parametrize("name", CASES)
def test_path_of_a_larger_ensemble(name):
    case = CASES[name]
    watch = [optsde.Final(), optsde.Paths(at=4)]
    large = case.run(observe=watch, n_paths=1300, threads=2, on_divergence="keep")
    for n_paths in case.sizes(1, 17, 130, 1299):
        small = case.run(observe=watch, n_paths=n_paths, threads=2, on_divergence="keep")
        assert small.final.tobytes() == large.final[:n_paths].tobytes(), n_paths
        assert small.paths.tobytes() == large.paths[:, :n_paths].tobytes(), n_paths


@pytest.mark.parametrize("name", CASES)
def test_range_of_an_ensemble(name):
    case = CASES[name]
    watch = [optsde.Final(), optsde.Paths(at=4)]
    whole = case.run(observe=watch, n_paths=500, on_divergence="keep")
    for first, last in ((0, 1), (1, 100), (37, 38), (63, 66), (130, 500)):
        part = case.run(observe=watch, n_paths=500, path_range=(first, last), on_divergence="keep")
        assert part.path_index.tolist() == list(range(first, last))
        assert part.final.tobytes() == whole.final[first:last].tobytes(), (first, last)
        assert part.paths.tobytes() == whole.paths[:, first:last].tobytes(), (first, last)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_merged_shards(name, cuts):
    case = CASES[name]
    whole = case.run(observe=observers(case), n_paths=N, threads=2)
    parts = shards(case, cuts)
    np.random.default_rng(1).shuffle(parts)
    merged = optsde.merge(parts)
    assert_same_bits(whole, merged)
    assert merged.path_range == (0, N)
    assert merged.key == whole.key


def test_merged_shards_of_a_callback_observer():
    case = CASES["euler affine"]
    watch = observers(case, calls_python=True)
    whole = case.run(observe=watch, n_paths=N)
    parts = [case.run(observe=watch, n_paths=N, path_range=pair) for pair in ((0, 1), (1, 70), (70, 129), (129, N))]
    assert_same_bits(whole, optsde.merge(parts))


@pytest.mark.parametrize("name", FEW)
def test_merged_shards_of_first_passages(name):
    case = CASES[name]
    whole = case.run(observe=passages(), n_paths=300)
    parts = [case.run(observe=passages(), n_paths=300, path_range=pair) for pair in ((0, 1), (1, 70), (70, 300))]
    assert_same_bits(whole, optsde.merge(parts))


def test_one_path_shards():
    case = CASES["milstein sde full"]
    n_paths = 150
    whole = case.run(observe=observers(case), n_paths=n_paths)
    assert_same_bits(whole, optsde.merge(shards(case, range(1, n_paths), n_paths)))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_merging_step_by_step(order):
    case = CASES["euler affine"]
    whole = case.run(observe=observers(case), n_paths=N)
    a, b, c, d = shards(case, [11, 300, 301])
    assert_same_bits(whole, optsde.merge([optsde.merge([a, b]), optsde.merge([d, c])]))
    assert_same_bits(whole, optsde.merge([optsde.merge([optsde.merge([a, b]), c]), d]))
    parts = [a, b, c, d]
    assert_same_bits(whole, optsde.merge(parts[k] for k in order))


def test_merged_middle_is_the_run_of_that_range():
    case = CASES["euler affine"]
    middle = case.run(observe=observers(case), n_paths=N, path_range=(11, 700))
    assert_same_bits(middle, optsde.merge(shards(case, [11, 300, 700])[1:3]))


@pytest.mark.parametrize("cuts", [[100], [333, 334], list(range(50, 1000, 50))])
def test_merged_shards_with_diverged_paths(cuts):
    dynamics = optsde.Langevin(optsde.losses.Quartic(4.0, 1.0, dim=2), 1.0)
    options = {
        "t1": 3.0,
        "dt": 0.15,
        "n_paths": N,
        "rng": 3,
        "observe": [
            optsde.Moments(at=6, cov=True),
            optsde.Final(),
            optsde.Paths(at=21),
            optsde.Histogram(9, (-1, 1), at=6),
            optsde.Loss(at=6),
        ],
    }
    whole = optsde.simulate(dynamics, [0.0, 0.1], **options)
    assert 20 < whole.n_diverged < 980
    ends = [0, *cuts, N]
    parts = [optsde.simulate(dynamics, [0.0, 0.1], path_range=p, **options) for p in pairwise(ends)]
    merged = optsde.merge(parts)
    assert_same_bits(whole, merged)
    assert merged.n_diverged == whole.n_diverged
    assert merged.first_divergence == whole.first_divergence


def test_merged_shards_with_given_points():
    points = np.random.default_rng(2).normal(size=(300, 3))
    case = CASES["euler additive_full"]
    options = {"steps": 3, "rng": 7, "observe": observers(case)}
    whole = optsde.simulate(case.dynamics, points, **options)
    parts = [optsde.simulate(case.dynamics, points, path_range=p, **options) for p in ((0, 10), (10, 217), (217, 300))]
    assert_same_bits(whole, optsde.merge(parts))


def test_merged_shards_went_through_pickle():
    case = CASES["euler affine"]
    whole = case.run(observe=observers(case), n_paths=N)
    parts = [pickle.loads(pickle.dumps(part)) for part in shards(case, [100, 700])]
    assert_same_bits(whole, optsde.merge(parts))


def test_paths_far_out():
    """Path numbers beyond 2^32 have their own noise, and ranges meet across the border."""
    case = CASES["euler additive_full"]
    first = 2**32 - 40
    watch = [optsde.Final(), optsde.Moments(cov=True)]
    options = {"n_paths": 2**40, "observe": watch}
    whole = case.run(path_range=(first, first + 100), **options)
    parts = [
        case.run(path_range=p, **options)
        for p in ((first, first + 40), (first + 40, first + 41), (first + 41, first + 100))
    ]
    merged = optsde.merge(parts)
    assert merged.final.tobytes() == whole.final.tobytes()
    assert merged.cov.tobytes() == whole.cov.tobytes()
    near = case.run(n_paths=200, observe=watch)
    assert not (whole.final[40:] == near.final[:60]).any()
    assert len(np.unique(whole.final[:, 0])) == 100


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([(0, 10), (11, 20)], "leave a gap"),
        ([(0, 10), (9, 20)], "overlap"),
        ([(0, 10), (0, 10)], "overlap"),
    ],
)
def test_ranges_must_follow_each_other(ranges, message):
    case = CASES["euler affine"]
    with pytest.raises(ValueError, match=message):
        optsde.merge([case.run(n_paths=20, path_range=pair) for pair in ranges])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rng": 8}, "rng"),
        ({"n_paths": 21}, "n_paths"),
        ({"method": "milstein"}, "method"),
        ({"observe": [optsde.Final()]}, "observe"),
        ({"dtype": "float32"}, "dtype"),
        ({"steps": 4}, "times and steps"),
    ],
)
def test_shards_of_different_runs_are_refused(change, named):
    case = CASES["euler affine"]
    with pytest.raises(ValueError, match=f"differ in .*{named}"):
        optsde.merge(
            [case.run(n_paths=20, path_range=(0, 10)), case.run(**{"n_paths": 20, "path_range": (10, 20)} | change)]
        )


def test_nothing_to_merge():
    with pytest.raises(ValueError, match="ensembles: expected at least one"):
        optsde.merge([])
    with pytest.raises(TypeError, match="ensembles: expected ensembles, got int"):
        optsde.merge([3])
