"""Who stands behind a session at a door: asked of the database at each step, of the practice's directory now and then.

A directory that hangs takes seconds to say nothing, and a page asks who is there a dozen times. So each session is asked
about at most every half minute, and every ten seconds while it stands on the directory's silence. The first word after a
silence makes everybody due at once: who was disabled meanwhile is out at their next step, at either door.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from core import sessions
from core.store.work import Actor, House, Openings, Work, nobody

Kept = TypeVar("Kept")

MOST = 5_000  # sessions of which something is remembered; an older one is only asked about and recorded anew
_LONGEST_TOKEN = 100
_TOUCH_EVERY = timedelta(minutes=1)
_ASK_EVERY = timedelta(seconds=30)
_ASK_THE_SILENT_EVERY = timedelta(seconds=10)


class Remembered(Generic[Kept]):
    """A little of each of many; of too many, the one that was longest not heard of is forgotten. Whoever asks holds a lock."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def get(self, whose: str) -> Kept | None:
        return self._kept.get(whose)

    def put(self, whose: str, what: Kept) -> Kept:
        self._kept[whose] = what
        self._kept.move_to_end(whose)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return what

    def forget_all_but(self, whose: str) -> None:
        self._kept = OrderedDict((w, what) for w, what in self._kept.items() if w == whose)


class Rounds:
    """What is to be done once in a while for each session, the first time at once."""

    def __init__(self) -> None:
        self._last: Remembered[datetime] = Remembered()
        self._lock = threading.Lock()

    def is_due(self, session: UUID, *, every: timedelta, now: datetime) -> bool:
        """True once in `every`: whoever hears it does it now."""
        with self._lock:
            last = self._last.get(str(session))
            if last is not None and now - last < every:
                return False
            self._last.put(str(session), now)
            return True

    def all_are_due_but(self, session: UUID) -> None:
        with self._lock:
            self._last.forget_all_but(str(session))


class Sittings:
    """What each open session or link has opened already, so that a reload is not a second entry."""

    def __init__(self) -> None:
        self._openings: Remembered[Openings] = Remembered()
        self._lock = threading.Lock()

    def of(self, actor: Actor) -> Openings | None:
        """None for whoever holds neither."""
        if actor.session is None:
            return None
        with self._lock:
            return self._openings.put(
                str(actor.session), self._openings.get(str(actor.session)) or Openings()
            )


class Presence:
    """Whoever is at one door. channel: console or gateway, as sessions of it are begun."""

    def __init__(self, house: House, *, channel: str) -> None:
        self.house, self.channel = house, channel
        self._asked, self._touched = Rounds(), Rounds()
        self._is_silent = False  # what the directory did when it was asked last

    def who(self, token: str | None, *, address: str = "") -> Actor | None:
        """The actor behind a token, asked of the database each time: an ended session is over at once."""
        if not token or len(token) > _LONGEST_TOKEN:
            return None
        actor = self._actor(token, address)
        if actor is None or actor.session is None or not self._is_due(actor, actor.session):
            return actor
        # The directory is asked between two pieces of work; what it says counts for this very request.
        with self.stranger(address) as work:
            heard = sessions.recheck(work, token=token)
        self._note_word(actor.session, heard)
        return self._actor(token, address)

    def keep_awake(self, actor: Actor, token: str) -> None:
        """A person did something: remember it, at most once in `touch_every`."""
        if actor.session is None:
            return
        if self._touched.is_due(actor.session, every=self.touch_every, now=self.house.clock()):
            with self.stranger(actor.address) as work:
                sessions.keep_awake(work, token=token)

    @property
    def touch_every(self) -> timedelta:
        """How often it is worth a write that somebody is here; oftener where sessions rest after a few minutes."""
        return min(_TOUCH_EVERY, self.house.rules["session_idle"] / 15)

    def stranger(self, address: str = "") -> Work:
        """A piece of work by somebody who has not signed in."""
        return self.house.work(nobody(channel=self.channel, address=address))

    def _actor(self, token: str, address: str) -> Actor | None:
        with self.stranger(address) as work:
            return sessions.actor_of(work, token=token, channel=self.channel, address=address)

    def _is_due(self, actor: Actor, session: UUID) -> bool:
        if self.house.ports.directory is None:
            return False
        every = _ASK_THE_SILENT_EVERY if actor.bounds.reduced else _ASK_EVERY
        return self._asked.is_due(session, every=every, now=self.house.clock())

    def _note_word(self, session: UUID, heard: bool | None) -> None:
        if heard and self._is_silent:
            self._asked.all_are_due_but(session)
        if heard is not None:
            self._is_silent = not heard
