"""Files that are not what they should be: errors that name the path, what was found and what was expected."""

import json
import os
import zipfile

import numpy as np
import optsde
import pytest
from optsde import _archive

OU = optsde.OrnsteinUhlenbeck([[1.0, 0.2], [0.2, 0.5]], 0.0, 1.0)


@pytest.fixture
def saved(tmp_path):
    ens = optsde.simulate(OU, [0.0, 1.0], n_paths=70, t1=1.0, dt=0.1, rng=7)
    ens.save(tmp_path / "run.optsde")
    return tmp_path / "run.optsde"


def rewritten(path, change, arrays=None):
    """The same file with another document, and perhaps other arrays."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(parts["description.json"])
    change(document)
    parts["description.json"] = json.dumps(document).encode()
    parts |= arrays or {}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            if data is not None:
                archive.writestr(name, data)
    return path


def refuses(path, *words):
    with pytest.raises(ValueError) as caught:
        optsde.load(path)
    text = str(caught.value)
    assert text.startswith(
        f"{path}: expected a file of 'optsde ensemble' or 'optsde stationary law', format version 1, found"
    ), text
    assert all(word in text for word in words), text


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        optsde.load(tmp_path / "none")
    with pytest.raises(TypeError, match="path: expected a str or a path, got int"):
        optsde.load(3)


def test_other_files(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"")
    refuses(file, "an empty file")
    file.write_bytes(b"\x93NUMPY and more")
    refuses(file, "begins with b'\\x93NUMPY")
    np.savez(file.with_suffix(".npz"), a=np.zeros(3))
    refuses(file.with_suffix(".npz"), "damaged", "description.json")


def test_every_cut(saved):
    data = saved.read_bytes()
    for length in range(0, len(data), len(data) // 40):
        saved.write_bytes(data[:length])
        refuses(saved)


def test_flipped_bytes_never_pass_unseen(saved):
    """Every byte of an array is under a checksum: the answer is an error or the same ensemble."""
    data, whole = saved.read_bytes(), optsde.load(saved)
    for place in range(0, len(data), 97):
        saved.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            found = optsde.load(saved)
        except ValueError:
            refuses(saved)
        else:
            assert found.final.tobytes() == whole.final.tobytes()
            assert found.var.tobytes() == whole.var.tobytes()


def test_other_versions(saved):
    refuses(rewritten(saved, lambda d: d.update(format_version=2, optsde="9.9")), "version 2", "optsde 9.9")
    refuses(rewritten(saved, lambda d: d.update(format_version=0)), "version 0")
    refuses(rewritten(saved, lambda d: d.update(format="something else")), "something else")
    refuses(rewritten(saved, lambda d: d.clear()), "None")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("raw"), "raw"),
        (lambda d: d["raw"].pop("observers"), "observers"),
        (lambda d: d["raw"].update(observers=[]), "damaged"),
        (lambda d: d["recipe"]["fields"].pop("key"), "key"),
        (lambda d: d["recipe"]["fields"].update(dynamics=3), "damaged"),
        (lambda d: d["recipe"]["fields"]["dynamics"].update({"$object": "os.system"}), "nothing called 'os.system'"),
        (lambda d: d["recipe"]["fields"]["dynamics"].update({"$object": "dynamics.Dynamics"}), "knows nothing"),
        (lambda d: d["recipe"]["fields"]["dynamics"]["fields"].update(mean={"$array": 99}), "damaged"),
        (lambda d: d["recipe"]["fields"]["dynamics"]["fields"].update(dim=7), "do"),
        (lambda d: d["recipe"]["fields"]["grid"]["fields"].update(first_cell=5), "first_cell"),
        (lambda d: d.update(recipe={"$key": "0x7", "fields": {}}), "recipe that is a Key"),
        (lambda d: d.update(n_arrays=2), "arrays of 2"),
    ],
)
def test_damaged_descriptions(saved, change, words):
    refuses(rewritten(saved, change), words)


def test_nothing_is_executed(saved, tmp_path):
    """Pickled arrays are not taken from a file."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    np.save(tmp_path / "evil.npy", np.array([Evil()]), allow_pickle=True)
    evil = (tmp_path / "evil.npy").read_bytes()
    refuses(rewritten(saved, lambda d: None, {"arrays/0.npy": evil}), "arrays/0.npy")
    assert not (tmp_path / "executed").exists()


def test_addresses_of_functions_are_not_taken_from_a_file(saved):
    address = {"$object": "losses.Compiled", "fields": {"grad": 4096, "dim": 2}}
    langevin = {"$object": "langevin.Langevin", "fields": {"loss": address, "temperature": 1.0, "mobility": 1.0}}
    refuses(rewritten(saved, lambda d: d["recipe"]["fields"].update(dynamics=langevin)), "losses.Compiled")


def test_a_header_that_promises_too_much(saved, tmp_path):
    np.save(tmp_path / "small.npy", np.zeros(3))
    data = (tmp_path / "small.npy").read_bytes().replace(b"(3,), }", b"(3000000000000,), }"[: len(b"(3,), }") + 12])
    refuses(rewritten(saved, lambda d: None, {"arrays/1.npy": data}), "damaged")


def test_a_failed_save_leaves_what_was_there(saved, monkeypatch):
    before = saved.read_bytes()
    ens = optsde.load(saved)

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(_archive.npy, "write_array", full)
    with pytest.raises(OSError, match="no space"):
        ens.save(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_compiled_functions_are_named(tmp_path):
    loss = optsde.losses.Compiled(4096, dim=1)  # never called: no run
    ens = optsde.simulate(optsde.OrnsteinUhlenbeck(1.0, 0.0, 1.0, dim=1), 0.0, t1=1.0, dt=0.5, rng=1)
    object.__setattr__(ens._recipe, "dynamics", optsde.Langevin(loss, 1.0))
    ens.save(tmp_path / "x")
    with pytest.raises(ValueError, match="it holds a C function by its address in Compiled"):
        optsde.load(tmp_path / "x").replay(0)


def test_an_ensemble_without_its_recipe_is_not_saved(saved):
    ens = optsde.load(saved)
    ens._recipe = None
    with pytest.raises(ValueError, match="save: this ensemble was unpickled without its description"):
        ens.save(saved)
