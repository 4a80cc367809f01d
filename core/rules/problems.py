"""What a check returns: one problem a person can fix."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """code: stable name for tests and statistics; sentence: what the person reads; field: where it is.

    stop: False for a warning that a person may overrule.
    """

    code: str
    sentence: str
    field: str = ""
    stop: bool = True


def stops(problems: tuple[Problem, ...]) -> bool:
    """True when at least one of the problems forbids going on."""
    return any(p.stop for p in problems)
