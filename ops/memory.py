"""What a process that checks passwords does with memory that it no longer needs."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # mallopt(3)
_LARGE_BYTES = 1 << 20


def give_back_large_blocks() -> None:
    """Have blocks of 1 MiB and more returned to the machine as soon as they are free. Elsewhere than on glibc: nothing.

    argon2id needs 19 MiB for each password. Left alone, glibc takes the first such block for the usual size and keeps
    the next ones in its heaps, a heap for each thread: 100 MB after a hundred sign-ins (docs/bench.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
