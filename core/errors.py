"""Everything that can be told to a person, as one small tree, caught at the edges.

SorgError               one sentence a person can act on
├── Refused             a rule says no; trying again unchanged will not help
│   ├── Denied          this person may not do this
│   ├── Missing         there is no such thing, or it is not yours to see: both look the same
│   ├── Stale           somebody else changed it meanwhile, or is just doing so: the same again may work
│   └── WrongAnswer     a password, code or date of birth was wrong; the attempt itself is kept on record
├── Outside             another system stands in the way
│   ├── Away            it did not answer: try again later
│   └── Turned          it answered, and the answer is no
└── Unfit               the practice itself cannot start or go on: wrong key, full disk, missing setting
"""

from __future__ import annotations

from core.rules.problems import Problem


class SorgError(Exception):
    """One sentence a person can act on, and every problem behind it."""

    def __init__(self, sentence: str, *, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.problems = problems


class Refused(SorgError):
    """A rule says no."""


class Denied(Refused):
    """This person may not do this."""


class Missing(Refused):
    """No such row, or a row outside this person's scope."""


class Stale(Refused):
    """The row changed since it was read, or others hold it at this moment."""


class WrongAnswer(Refused):
    """A secret was answered wrongly. The edge commits what the verb noted about the attempt, then raises.

    why: the true reason, for the record alone; the sentence is what the person reads.
    """

    def __init__(self, sentence: str, *, problems: tuple[Problem, ...] = (), why: str = "") -> None:
        super().__init__(sentence, problems=problems)
        self.why = why


class Outside(SorgError):
    """Another system stands in the way."""


class Away(Outside):
    """The other system did not answer; an errand will try again."""


class Turned(Outside):
    """The other system answered no; `sentence` says why."""


class Unfit(SorgError):
    """The installation cannot start or go on."""
