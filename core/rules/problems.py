"""What a check returns: one problem a person can fix."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


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


def each(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The same problems, each once."""
    return tuple(dict.fromkeys(problems))


def as_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems as a row keeps them."""
    return [asdict(problem) for problem in problems]


def from_json(kept: Iterable[dict[str, Any]]) -> tuple[Problem, ...]:
    """Problems as a row kept them."""
    return tuple(Problem(**problem) for problem in kept)
