"""One file of a JSON document and NumPy arrays: plain values go in and come out, and nothing is executed on the way."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_DOCUMENT = "description.json"
# What reading a file that is no archive, or a broken one, may raise.
_BROKEN = (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, KeyError, ValueError, NotImplementedError, OverflowError)


class Unstorable(Exception):
    """A value that no file can hold, such as a function; the text says which."""


class Packer:
    """Plain values as a JSON document, with arrays apart; ``other`` turns what is not plain into what is."""

    def __init__(self, other: Callable[[Any], Any]) -> None:
        self.arrays: list[NDArray[Any]] = []
        self._places: dict[int, int] = {}
        self._other = other

    def _array(self, array: NDArray[Any]) -> int:
        if array.dtype.hasobject:
            raise Unstorable(f"an array of {array.dtype}")
        # One array in two places is stored once. The list keeps it alive, so its id is its own.
        if id(array) not in self._places:
            self._places[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._places[id(array)]

    def pack(self, value: Any) -> Any:
        """The JSON form of a value."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, np.ndarray):
            return {"$array": self._array(value)}
        if isinstance(value, bytes):
            return {"$bytes": self._array(np.frombuffer(value, dtype=np.uint8))}
        if isinstance(value, (np.bool_, np.integer, np.floating)):
            return self.pack(value.item())
        if type(value) is int:
            return value
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
        if isinstance(value, tuple):
            return {"$tuple": [self.pack(item) for item in value]}
        if isinstance(value, list):
            return [self.pack(item) for item in value]
        if isinstance(value, dict):
            if not all(isinstance(name, str) and not name.startswith("$") for name in value):
                raise Unstorable(f"a dict with keys {list(value)}")
            return {name: self.pack(item) for name, item in value.items()}
        return self.pack(self._other(value)) if not isinstance(value, Tagged) else value.packed(self)


class Tagged:
    """A value of a kind of its own: ``{"$tag": name, "fields": {...}}``."""

    def __init__(self, tag: str, name: str, fields: dict[str, Any]) -> None:
        self.tag, self.name, self.fields = tag, name, fields

    def packed(self, packer: Packer) -> dict[str, Any]:
        """The JSON form."""
        fields = {name: packer.pack(value) for name, value in self.fields.items()}
        return {f"${self.tag}": self.name, "fields": fields}


def unpack(document: Any, array: Callable[[int], NDArray[Any]], other: Callable[[Tagged], Any]) -> Any:
    """The value that a document stands for; ``array(k)`` is its k-th array, ``other`` makes the tagged ones."""

    def value(node: Any) -> Any:
        if isinstance(node, list):
            return [value(item) for item in node]
        if not isinstance(node, dict):
            return node
        tag = next((name for name in node if name.startswith("$")), None)
        if tag is None:
            return {name: value(item) for name, item in node.items()}
        inner = node[tag]
        if tag == "$array":
            return array(inner)
        if tag == "$bytes":
            return array(inner).tobytes()
        if tag == "$float":
            return float(inner)
        if tag == "$tuple":
            return tuple(value(item) for item in inner)
        return other(Tagged(tag[1:], inner, value(node["fields"])))

    return value(document)


def write_archive(path: Path, document: dict[str, Any], arrays: list[NDArray[Any]]) -> None:
    """Writes the file beside its place and moves it there, so that at every moment there is the old one or the new."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(draft, "xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(_DOCUMENT, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
                for k, array in enumerate(arrays):
                    with archive.open(_member(k), "w", force_zip64=True) as member:
                        npy.write_array(cast(BinaryIO, member), np.asanyarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _member(k: int) -> str:
    return f"arrays/{k}.npy"


def _read_array(archive: zipfile.ZipFile, k: int) -> NDArray[Any]:
    """One array, whose size is compared with the bytes that are there before memory is taken for it."""
    name = _member(k)
    size = archive.getinfo(name).file_size
    with archive.open(name) as member:
        stream = cast(BinaryIO, member)
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(stream)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != size - member.tell():
            raise ValueError(f"{name} has {size} bytes, which is not an array of shape {shape} and dtype {dtype}")
    with archive.open(name) as member:
        array: NDArray[Any] = npy.read_array(cast(BinaryIO, member), allow_pickle=False)
        # The checksum is compared at the end of the member.
        if member.read(1):
            raise ValueError(f"{name} goes on after its array")
    return array


def read_archive(path: Path, expected: str) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """The document and all arrays of a file, or ValueError with its path, what was found and what was expected."""
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read(_DOCUMENT).decode("utf-8"))
            count = sum(name.startswith("arrays/") for name in archive.namelist())
            arrays = [_read_array(archive, k) for k in range(count)]
    except _BROKEN as error:
        raise ValueError(f"{path}: expected {expected}, found {_what_is_there(path, error)}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: expected {expected}, found a document that is a {type(document).__name__}")
    return document, arrays


def _what_is_there(path: Path, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "an empty file"
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            return f"a file that begins with {file.read(8)!r}; it is another kind of file, or was cut off"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"a damaged one: {text}"
