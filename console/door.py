"""The door: this process's practice, and who stands behind a session cookie."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from console.drafts import Drafts
from core import sessions
from core.store.work import Actor, House, Openings, Work, nobody

Kept = TypeVar("Kept")

CHANNEL = "console"
_KEPT_SITTINGS = 5_000  # of which something is remembered; an older one only records its openings anew
_TOUCH_EVERY = timedelta(minutes=1)
_ASK_EVERY = timedelta(seconds=30)
# A directory that hangs takes seconds to say nothing, and a page asks who is there a dozen times.
_ASK_THE_SILENT_EVERY = timedelta(seconds=10)


@dataclass
class Door:
    """The opened practice as this process serves it."""

    house: House
    https: bool = False
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    single_sign_on: str = ""  # what its button is called; empty without one
    unencrypted: tuple[str, ...] = ()  # sentences about doors that other machines reach without HTTPS
    drafts: Drafts = field(default_factory=Drafts)
    _openings: OrderedDict[UUID, Openings] = field(default_factory=OrderedDict)
    _touched: OrderedDict[UUID, datetime] = field(default_factory=OrderedDict)
    _asked: OrderedDict[UUID, datetime] = field(default_factory=OrderedDict)
    _is_silent: bool = False  # what the directory did when it was asked last
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def cookie(self) -> str:
        """The session cookie's name; under HTTPS the prefix makes browsers refuse it from anywhere else."""
        return "__Host-sorg-staff" if self.https else "sorg-staff"

    def who(self, token: str | None, *, address: str = "") -> Actor | None:
        """The actor behind a cookie, asked of the database each time: an ended session is over at once."""
        if not token or len(token) > 100:
            return None
        with self.stranger(address) as work:
            actor = sessions.actor_of(work, token=token, channel=CHANNEL, address=address)
        if actor is None or not self._is_due(actor):
            return actor
        # The directory is asked again between two pieces of work; what it says counts for this very request.
        with self.stranger(address) as work:
            self._note_word(actor.session, sessions.recheck(work, token=token))
        with self.stranger(address) as work:
            return sessions.actor_of(work, token=token, channel=CHANNEL, address=address)

    def _is_due(self, actor: Actor) -> bool:
        """At most every half minute; oftener while the session stands on the directory's silence."""
        if self.house.ports.directory is None or actor.session is None:
            return False
        now, every = self.house.clock(), _ASK_THE_SILENT_EVERY if actor.bounds.reduced else _ASK_EVERY
        with self._lock:
            if now - self._asked.get(actor.session, now - every) < every:
                return False
            _note(self._asked, actor.session, now)
        return True

    def _note_word(self, session: UUID | None, heard: bool | None) -> None:
        """The first word after a silence makes everybody due at once: who was disabled meanwhile goes at their next step."""
        with self._lock:
            if heard and self._is_silent:
                self._asked = OrderedDict((s, at) for s, at in self._asked.items() if s == session)
            if heard is not None:
                self._is_silent = not heard

    def stranger(self, address: str = "") -> Work:
        """A piece of work by somebody who has not signed in."""
        return self.house.work(nobody(channel=CHANNEL, address=address))

    def work(self, actor: Actor) -> Work:
        """A piece of work by this actor, who has opened before what this sitting has opened."""
        return self.house.work(actor, openings=self._openings_of(actor))

    @property
    def touch_every(self) -> timedelta:
        """How often it is worth a write that somebody is here; oftener where sessions rest after a few minutes."""
        return min(_TOUCH_EVERY, self.house.rules["session_idle"] / 15)

    def keep_awake(self, actor: Actor, token: str) -> None:
        """A person did something: remember it, at most once a minute."""
        now, every = self.house.clock(), self.touch_every
        self.drafts.tidy(now)
        if actor.session is None:
            return
        with self._lock:
            if now - self._touched.get(actor.session, now - every) < every:
                return
            _note(self._touched, actor.session, now)
        with self.stranger(actor.address) as work:
            sessions.keep_awake(work, token=token)

    def _openings_of(self, actor: Actor) -> Openings:
        if actor.session is None:
            return Openings()
        with self._lock:
            return _note(self._openings, actor.session, self._openings.get(actor.session, Openings()))


def _note(kept: OrderedDict[UUID, Kept], session: UUID, what: Kept) -> Kept:
    """Remember something of this session; of too many, the one that was longest not heard of is forgotten."""
    kept[session] = what
    kept.move_to_end(session)
    while len(kept) > _KEPT_SITTINGS:
        kept.popitem(last=False)
    return what


_door: Door | None = None


def hang(door: Door) -> None:
    """Make `door` the one of this process, where the Streamlit script finds it."""
    global _door
    _door = door


def door() -> Door:
    """This process's door."""
    if _door is None:
        raise RuntimeError("The console was not started through console.asgi.")
    return _door


def hosts_of(*names: str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Host names that a browser may use for us, in lower case, without those that mean every address."""
    every = {"0.0.0.0", "::", ""}
    return tuple(dict.fromkeys(n.strip().lower() for n in (*names, *more) if n.strip() not in every))
