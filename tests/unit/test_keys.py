"""Keys from all that SPEC 7 allows."""

import copy
import json
import pickle

import numpy as np
import optsde
from optsde._keys import key_from


def test_seed_is_stable():
    assert key_from(7) == key_from(np.int64(7)) == key_from(np.random.SeedSequence(7))
    assert int(key_from(7)) == int(np.random.SeedSequence(7).generate_state(1, np.uint64)[0])
    assert key_from(7) != key_from(8)


def test_key_is_itself_and_its_number_a_seed():
    key = key_from(7)
    assert key_from(key) is key
    assert key_from(int(key)) != key
    for again in (pickle.loads(pickle.dumps(key)), copy.deepcopy(key)):
        assert isinstance(again, optsde.Key)
        assert again == key


def test_generators_advance():
    generator = np.random.default_rng(1)
    assert key_from(generator) != key_from(generator)
    bits = np.random.MT19937(1)
    assert key_from(bits) != key_from(bits)


def test_fresh_keys_differ():
    assert key_from(None) != key_from(None)


def test_prints_as_a_key():
    assert repr(optsde.Key(255)) == "Key(0x00000000000000ff)"
    assert json.loads(json.dumps(int(optsde.Key(255)))) == 255
