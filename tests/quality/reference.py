"""Philox4x32 with any number of rounds and Box–Muller, in NumPy: the noise addresses by other means."""

import numpy as np

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = 0x9E3779B9, 0xBB67AE85
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox4x32(counter, key, rounds=10):
    """Four words (uint64 arrays below 2^32) of counters (four arrays or numbers) under a key (two numbers)."""
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint64) for c in counter)
    k0, k1 = (int(k) for k in key)
    for _ in range(rounds):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ np.uint64(k0), p1 & LOW, (p0 >> HALF) ^ c3 ^ np.uint64(k1), p0 & LOW
        k0, k1 = (k0 + W0) & 0xFFFFFFFF, (k1 + W1) & 0xFFFFFFFF
    return np.broadcast_arrays(c0, c1, c2, c3)


def words(key, tag, blocks, paths, rounds=10):
    """The words of blocks q of paths, each (len(blocks), len(paths)), by the layout of the counter."""
    q = np.asarray(blocks, dtype=np.uint64)[:, None]
    path = np.asarray(paths, dtype=np.uint64)[None, :]
    second = (q >> HALF) & np.uint64(0xFFFFFF) | np.uint64(tag << 24)
    return philox4x32((q & LOW, second, path & LOW, path >> HALF), (key & 0xFFFFFFFF, key >> 32), rounds)


def _interleaved(slots):
    """(blocks, paths) arrays of each slot as (numbers, paths)."""
    return np.stack(slots, axis=1).reshape(-1, slots[0].shape[1])


def normals(key, tag, blocks, paths, rounds=10):
    """Normals of double precision: numbers 2 q and 2 q + 1 of each block q."""
    w0, w1, w2, w3 = words(key, tag, blocks, paths, rounds)
    a, b = w0 << HALF | w1, w2 << HALF | w3
    u = 1.0 - (a >> np.uint64(12)).astype(np.float64) * 2.0**-52
    x = ((b & np.uint64(2**52 - 1)).astype(np.float64) + 0.5) * 2.0**-52 - 0.5
    radius = np.sqrt(-2.0 * np.log(u))
    # The cosine of an angle next to a right one keeps its digits as the sine of the rest.
    cosine = np.sin(np.pi * (0.5 - np.abs(x)))
    sign = 1.0 - 2.0 * (b >> np.uint64(63)).astype(np.float64)
    return _interleaved([sign * radius * cosine, radius * np.sin(np.pi * x)])


def normals_f32(key, tag, blocks, paths, rounds=10):
    """Normals of single precision, as doubles: numbers 4 q to 4 q + 3 of each block q."""
    w = words(key, tag, blocks, paths, rounds)
    slots = []
    for a, b in ((w[0], w[1]), (w[2], w[3])):
        u = (a.astype(np.float32).astype(np.float64) * 2.0**-32 + 2.0**-32).astype(np.float32).astype(np.float64)
        low = (b << np.uint64(1) & LOW).astype(np.uint32).view(np.int32).astype(np.float32).astype(np.float64)
        x = (low * 2.0**-32 + 2.0**-33).astype(np.float32).astype(np.float64)
        radius = np.sqrt(-2.0 * np.log(u))
        sign = 1.0 - 2.0 * (b >> np.uint64(31)).astype(np.float64)
        slots += [sign * radius * np.cos(np.pi * x), radius * np.sin(np.pi * x)]
    return _interleaved(slots)


def signs(key, tag, count, paths):
    """Random signs, number i from bit i % 32 of word i % 128 / 32 of block i / 128: (count, paths)."""
    numbers = np.arange(count)
    out = np.empty((count, len(paths)))
    for i in numbers:
        word = words(key, tag, [i // 128], paths)[i % 128 // 32][0]
        out[i] = 1.0 - 2.0 * (word >> np.uint64(i % 32) & np.uint64(1)).astype(np.float64)
    return out
