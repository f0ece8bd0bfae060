"""How much memory is to be had, so that a run which needs more says so before it starts."""

from __future__ import annotations

import os
from pathlib import Path


def _meminfo() -> int | None:
    """MemAvailable of Linux, in bytes."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _cgroup() -> int | None:
    """What a container's limit leaves, in bytes (cgroup 2, then 1)."""
    for limit, usage in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return max(int(Path(limit).read_text()) - int(Path(usage).read_text()), 0)
        except (OSError, ValueError):  # no such file; or "max", no limit
            continue
    return None


def _physical() -> int | None:
    """All memory of the machine, where nothing better is known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def available_memory() -> int | None:
    """Bytes that can be had; None where the system does not say."""
    known = [n for n in (_meminfo(), _cgroup()) if n is not None]
    return min(known) if known else _physical()


def readable(size: int) -> str:
    """Bytes for people."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024.0:
            return f"{number:.4g} {unit}"
        number /= 1024.0
    return f"{number:.4g} PiB"


def check_memory(needs: dict[str, int]) -> None:
    """MemoryError with the sum, and who needs what, where it cannot be had."""
    total, have = sum(needs.values()), available_memory()
    if have is not None and total > have:
        listing = ", ".join(f"{name} {readable(size)}" for name, size in needs.items())
        raise MemoryError(f"observe: the results need {total} bytes ({listing}), {readable(have)} can be had")
