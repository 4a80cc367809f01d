"""The door: this process's practice, and who stands behind a session cookie."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from console.drafts import Drafts
from core import sessions
from core.store.work import Actor, House, Openings, Work, nobody

CHANNEL = "console"
_KEPT_OPENINGS = 5_000  # sittings whose openings are remembered; an older one only records its openings anew
_TOUCH_EVERY = timedelta(minutes=1)
_ASK_EVERY = timedelta(seconds=30)


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
            sessions.recheck(work, token=token)
        with self.stranger(address) as work:
            return sessions.actor_of(work, token=token, channel=CHANNEL, address=address)

    def _is_due(self, actor: Actor) -> bool:
        """At most every half minute, and at each step while the session stands on the directory's silence."""
        if self.house.ports.directory is None or actor.session is None:
            return False
        now = self.house.clock()
        with self._lock:
            if (
                not actor.bounds.reduced
                and now - self._asked.get(actor.session, now - _ASK_EVERY) < _ASK_EVERY
            ):
                return False
            self._asked[actor.session] = now
            _shorten(self._asked)
        return True

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
            self._touched[actor.session] = now
            _shorten(self._touched)
        with self.stranger(actor.address) as work:
            sessions.keep_awake(work, token=token)

    def _openings_of(self, actor: Actor) -> Openings:
        if actor.session is None:
            return Openings()
        with self._lock:
            found = self._openings.setdefault(actor.session, Openings())
            self._openings.move_to_end(actor.session)
            _shorten(self._openings)
            return found


def _shorten(kept: OrderedDict) -> None:
    while len(kept) > _KEPT_OPENINGS:
        kept.popitem(last=False)


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
