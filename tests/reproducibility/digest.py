"""Runs all cases of the catalog and prints the hashes of their results as JSON; run once for each instruction set."""

import hashlib
import json
import sys

import numpy as np
from catalog import CASES, FEW, digests, observers, passages
from optsde import _core

if __name__ == "__main__":
    out = {}
    with np.errstate(all="ignore"):
        for name, case in CASES.items():
            out[name] = digests(case.run(observe=observers(case), n_paths=150, threads=1, on_divergence="keep"))
        for name in FEW:
            seen = CASES[name].run(observe=passages(), n_paths=150, threads=1, on_divergence="keep")
            out[f"{name}, passages"] = digests(seen)
    for key in (1, 2**63 + 12345):
        for single in (False, True):
            normals = _core.normals(key, 3, 2**32 - 60, 133, 301, single)
            out[f"normals {key} {single}"] = {"all": hashlib.sha256(normals.tobytes()).hexdigest()}
    json.dump({"simd": _core.info()["simd"], "digests": out}, sys.stdout)
