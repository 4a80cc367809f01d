"""The door: this process's practice, and who stands behind a session cookie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from console.drafts import Drafts
from core.store.work import Actor, House, Work
from doors.presence import Presence, Sittings
from ops.settings import host_of

CHANNEL = "console"


@dataclass
class Door:
    """The opened practice as this process serves it."""

    house: House
    https: bool = False
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    origins: tuple[
        str, ...
    ] = ()  # where browsers have it, as the practice has said; keys then answer there alone
    single_sign_on: str = ""  # what its button is called; empty without one
    unencrypted: tuple[str, ...] = ()  # sentences about doors that other machines reach without HTTPS
    drafts: Drafts = field(default_factory=Drafts)
    presence: Presence = field(init=False)
    _sittings: Sittings = field(default_factory=Sittings)

    def __post_init__(self) -> None:
        self.presence = Presence(self.house, channel=CHANNEL)

    @property
    def cookie(self) -> str:
        """The session cookie's name; under HTTPS the prefix makes browsers refuse it from anywhere else."""
        return "__Host-sorg-staff" if self.https else "sorg-staff"

    def who(self, token: str | None, *, address: str = "") -> Actor | None:
        """The actor behind a cookie, asked of the database each time: an ended session is over at once."""
        return self.presence.who(token, address=address)

    def stranger(self, address: str = "") -> Work:
        """A piece of work by somebody who has not signed in."""
        return self.presence.stranger(address)

    def work(self, actor: Actor) -> Work:
        """A piece of work by this actor, who has opened before what this sitting has opened."""
        return self.house.work(actor, openings=self._sittings.of(actor))

    @property
    def touch_every(self) -> timedelta:
        """How often it is worth a write that somebody is here."""
        return self.presence.touch_every

    def keep_awake(self, actor: Actor, token: str) -> None:
        """A person did something: remember it, at most once a minute."""
        self.drafts.tidy(self.house.clock())
        self.presence.keep_awake(actor, token)


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
    """Host names that a browser may use for us, in lower case and without a port; none that means every address."""
    every = {"0.0.0.0", "::", ""}
    bare = (host_of(n).strip("[]").lower() for n in (*names, *more))
    return tuple(dict.fromkeys(n for n in bare if n not in every))
