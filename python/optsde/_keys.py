"""The key of a run: 64 bits that, with path, step and slot, fix every random number."""

from __future__ import annotations

from typing import Any

import numpy as np

from optsde._arrays import integer


class Key(int):
    """The 64-bit key of a run. Passed as ``rng`` it gives exactly the same noise; an ordinary int is a seed instead.

    Examples
    --------
    >>> import optsde
    >>> optsde.Key(255)
    Key(0x00000000000000ff)
    """

    def __new__(cls, value: int) -> Key:
        return super().__new__(cls, integer("Key", value, 0, (1 << 64) - 1))

    def __repr__(self) -> str:
        return f"Key(0x{int(self):016x})"

    __str__ = __repr__


def key_from(rng: Any) -> Key:
    """A key from None (fresh), a seed, SeedSequence, BitGenerator, Generator, or another run's key (SPEC 7)."""
    if isinstance(rng, Key):
        return rng
    if isinstance(rng, np.random.BitGenerator):
        rng = np.random.Generator(rng)
    if isinstance(rng, np.random.Generator):
        return Key(int(rng.integers(0, 1 << 64, dtype=np.uint64)))
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, (bool, np.bool_)):
        if rng < 0:
            raise ValueError(f"rng: expected a seed of at least 0, got {rng}")
        rng = np.random.SeedSequence(int(rng))
    elif rng is None:
        rng = np.random.SeedSequence()
    if not isinstance(rng, np.random.SeedSequence):
        raise TypeError(
            "rng: expected an int, numpy SeedSequence, BitGenerator or Generator, or the key of another run, "
            f"got {type(rng).__name__}"
        )
    # SeedSequence's words are guaranteed to stay the same over NumPy's versions; a Generator's streams are not.
    return Key(int(rng.generate_state(1, np.uint64)[0]))
