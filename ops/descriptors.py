"""How many files and connections a process may have open at once."""

from __future__ import annotations

import resource

MOST = 65_536


def open_as_many_as_allowed() -> None:
    """Take as many as the machine allows, up to MOST.

    What a login gives is 1024: a thousand silent connections would shut a door, and with it the database, before the
    door's own limit and patience count for anything.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
