"""The words and normals at their addresses, against the published vectors and two independent implementations."""

import numpy as np
import optsde
import pytest
from optsde import _core
from randomgen import Philox
from reference import normals, normals_f32, philox4x32, signs, words

KEYS = [0, 1, 7, 2**32 - 1, 2**32, 0x299F31D0082EFA98, 2**64 - 1]
PATHS = [0, 1, 12_345, 2**31, 2**32 - 7, 2**32, 2**33 + 5, 2**40, 2**63 - 50]
PI = ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0])
VECTORS = [
    (([0] * 4, [0] * 2), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    (([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (PI, "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("arguments", "answer"), VECTORS, ids=["zeros", "ones", "pi"])
def test_published_vectors(arguments, answer):
    """Those of the Random123 distribution: the reference that the other tests stand on."""
    assert " ".join(f"{int(word):08x}" for word in philox4x32(*arguments)) == answer


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("counter", [1, 2**32, 0x0123456789ABCDEF_FEDCBA9876543210, 2**96 + 5, 2**128 - 3])
def test_words_are_those_of_randomgen(key, counter):
    generator = Philox(key=key, counter=counter - 1, number=4, width=32)
    theirs = generator.random_raw(8)
    for block in range(2):
        parts = [(counter + block) % 2**128 >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96)]
        ours = philox4x32(parts, (key & 0xFFFFFFFF, key >> 32))
        assert [int(word) for word in ours] == theirs[4 * block : 4 * block + 4].tolist()


def test_layout_of_the_counter_is_that_of_randomgen():
    """Block q of path p under a tag: the counter is (q low, q high and tag, path low, path high), least word first."""
    key, tag, q, path = 0x0123456789ABCDEF, 3, 2**33 + 9, 2**34 + 77
    counter = q & 0xFFFFFFFF | (q >> 32 | tag << 24) << 32 | (path & 0xFFFFFFFF) << 64 | path >> 32 << 96
    theirs = Philox(key=key, counter=counter - 1, number=4, width=32).random_raw(4)
    assert [int(word[0, 0]) for word in words(key, tag, [q], [path])] == theirs.tolist()


@pytest.mark.parametrize("first", PATHS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("tag", [0, 1, 3, 255])
def test_normals(key, tag, first):
    got = _core.normals(key, tag, first, 37, 131, False)
    expected = normals(key, tag, np.arange(66), first + np.arange(37, dtype=np.uint64))[:131]
    assert got.shape == (131, 37)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("first", PATHS)
@pytest.mark.parametrize("key", KEYS)
def test_normals_of_single_precision(key, first):
    got = _core.normals(key, 0, first, 37, 131, True)
    expected = normals_f32(key, 0, np.arange(33), first + np.arange(37, dtype=np.uint64))[:131]
    assert (got == got.astype(np.float32)).all()
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("paths", [1, 2, 15, 16, 17, 64, 1000])
@pytest.mark.parametrize("numbers", [1, 2, 3, 4, 5, 127, 128, 129, 300])
@pytest.mark.parametrize("single", [False, True])
def test_part_of_a_larger_block(paths, numbers, single):
    large = _core.normals(9, 0, 100, 1000, 300, single)
    assert _core.normals(9, 0, 100, paths, numbers, single).tobytes() == large[:numbers, :paths].tobytes()
    shifted = _core.normals(9, 0, 101, min(paths, 999), numbers, single)
    assert shifted.tobytes() == large[:numbers, 1 : 1 + shifted.shape[1]].tobytes()


def test_many_normals_to_rounding():
    """A million addresses: the worst relative error is a few units in the last place."""
    got = _core.normals(5, 0, 0, 1000, 1000, False)
    expected = normals(5, 0, np.arange(500), np.arange(1000))
    error = np.abs(got - expected)
    assert (error / np.maximum(np.abs(expected), 1e-3)).max() < 5e-15
    single = _core.normals(5, 0, 0, 1000, 1000, True)
    error = np.abs(single - normals_f32(5, 0, np.arange(250), np.arange(1000)))
    assert (error / np.maximum(np.abs(single), 1e-3)).max() < 3e-6


def test_reach():
    """The largest normal there can be is finite."""
    assert np.sqrt(-2.0 * np.log(2.0**-52)) == pytest.approx(8.49, abs=0.005)
    assert np.sqrt(-2.0 * np.log(2.0**-32)) == pytest.approx(6.66, abs=0.005)
    assert np.abs(_core.normals(1, 0, 0, 1000, 1000, False)).max() < 8.5
    assert np.abs(_core.normals(1, 0, 0, 1000, 1000, True)).max() < 6.67


def unit_steps(dim, steps, n_paths, key, first=0, **options):
    """The Wiener increments of a run, (steps, paths, dim): flat equations that take one step of length 1 each."""
    flat = optsde.OrnsteinUhlenbeck(0.0, 0.0, 1.0, dim=dim)
    return np.stack(
        [
            optsde.simulate(
                flat,
                np.zeros(dim),
                n_paths=n_paths + first,
                path_range=(first, first + n_paths),
                t0=float(k),
                t1=float(k + 1),
                dt=1.0,
                rng=optsde.Key(key),
                observe=[optsde.Final()],
                method="euler_maruyama",
                **options,
            ).final
            for k in range(steps)
        ]
    )


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("options", "single"), [({}, False), ({"dtype": "float32"}, True), ({"increments": "gaussian_f32"}, True)]
)
def test_a_run_reads_the_normals_of_its_address(dim, options, single):
    """Number ``step · m + component`` of the path."""
    steps, n_paths, key = 9, 70, 2**60 + 3
    got = unit_steps(dim, steps, n_paths, key, **options)
    expected = _core.normals(key, 0, 0, n_paths, steps * dim, single)
    assert got.astype(np.float64).tobytes() == expected.reshape(steps, dim, n_paths).transpose(0, 2, 1).tobytes()


def test_a_run_far_out_reads_the_normals_of_its_address():
    first = 2**32 - 30
    got = unit_steps(2, 3, 70, 17, first=first)
    expected = _core.normals(17, 0, first, 70, 6, False)
    assert got.tobytes() == expected.reshape(3, 2, 70).transpose(0, 2, 1).tobytes()


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_two_point_increments_are_bits_of_the_words(dim, dtype):
    steps, n_paths, key = 140, 40, 2**50 + 3
    got = unit_steps(dim, steps, n_paths, key, increments="two_point", dtype=dtype)
    expected = signs(key, 0, steps * dim, np.arange(n_paths))
    assert (got == expected.reshape(steps, dim, n_paths).transpose(0, 2, 1)).all()
