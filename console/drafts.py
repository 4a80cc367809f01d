"""Texts that were typed and not saved, kept for whoever typed them: when a session ends, they are offered to them again.

They lie in this process's memory only, never on disk: until they are saved, thrown away, or a day old.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.rules.report_text import LONGEST

LASTS = timedelta(days=1)
MOST, MOST_OF_ONE = 300, 20
PERSON = "desk-person"  # who has typed what lies in this tab's state


@dataclass(frozen=True)
class Draft:
    """A text as it was typed, the version it was begun from, and when it last changed."""

    text: str = field(repr=False)
    based_on: UUID | None
    at: datetime


@dataclass
class Drafts:
    """One draft for each person and study, the one that changed last at the end."""

    _kept: OrderedDict[tuple[UUID, UUID], Draft] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, person: UUID, study_id: UUID, *, text: str, based_on: UUID | None, at: datetime) -> None:
        """Keep what somebody typed; an unchanged text keeps its time, so that it is not kept for longer than a day."""
        if len(text) > LONGEST:
            return  # No report holds it, and a few of them would fill the memory.
        with self._lock:
            found = self._kept.get((person, study_id))
            if found is None or (found.text, found.based_on) != (text, based_on):
                self._kept[person, study_id] = Draft(text, based_on, at)
                self._kept.move_to_end((person, study_id))
            self._tidy(at)
            own = [key for key in self._kept if key[0] == person]
            for key in own[:-MOST_OF_ONE]:
                del self._kept[key]
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)

    def find(self, person: UUID, study_id: UUID, *, now: datetime) -> Draft | None:
        """What this person typed for this study and did not save."""
        with self._lock:
            self._tidy(now)
            return self._kept.get((person, study_id))

    def drop(self, person: UUID, study_id: UUID) -> None:
        """It was saved, has gone on, or is not wanted any more."""
        with self._lock:
            self._kept.pop((person, study_id), None)

    def tidy(self, now: datetime) -> None:
        """Forget what is older than a day."""
        with self._lock:
            self._tidy(now)

    def _tidy(self, now: datetime) -> None:
        while self._kept and now - next(iter(self._kept.values())).at >= LASTS:
            self._kept.popitem(last=False)


def rescue(drafts: Drafts, state: MutableMapping[Any, Any], *, now: datetime) -> bool:
    """Before a tab's state is cleared: keep its unsaved texts for whoever typed them. True when there are any.

    The field may hold more than the last run knew: the very step that found the session over has brought it.
    """
    person = state.get(PERSON)
    if person is None:
        return False
    found = False
    for name in [n for n in state if str(n).startswith("draft-")]:
        study_id = UUID(str(name).removeprefix("draft-"))
        text = state.get(f"text-{study_id}", state[name])
        if text and text != state.get(f"start-{study_id}"):
            drafts.keep(person, study_id, text=text, based_on=state.get(f"base-{study_id}"), at=now)
            found = True
    return found
