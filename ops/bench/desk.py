"""The console under people: signed-in websocket clients that speak Streamlit's messages as its own page does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from pyotp.totp import TOTP
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from core import signin
from core.errors import Unfit
from core.store.work import nobody
from ops.bench.rows import AT_MOST, Bar, Measured, is_full_run, median, p95
from ops.bench.throwaway import Throwaway, a_patient, memory_mb, open_throwaway

COOKIE = "sorg-staff"
SITTINGS = (1, 10)
CROWD = 25
THINK_S = 3.0
PATIENCE_S = 20  # who has waited so long is counted with that time, and goes
STUDIES = 60
VISITORS = ("reception", "manager", "radiographer")
SEARCHES = ("four", "hendrik", "b", "", "zz", "fourie")
# The console as `python -m console` starts it, but garbage is collected as Streamlit does it by itself.
COLLECTING = (
    "import functools, sys, console.__main__ as c; "
    "c.create_app = functools.partial(c.create_app, freeze=False); sys.exit(c.main())"
)
_WHAT, _BESIDE = (
    "search on the live board, 3 s of thinking between, until the run is over",
    "the same, garbage collected as Streamlit does it",
)
BARS = tuple(Bar(f"console p95, {n} session{'s' * (n > 1)}", _WHAT, "ms", _BESIDE) for n in SITTINGS)
CROWD_BARS = (
    Bar(f"console p95, {CROWD} sessions", _WHAT, "ms", _BESIDE, AT_MOST, 300),
    Bar(
        f"console memory, {CROWD} sessions",
        "resident memory of the console's process",
        "MB",
        _BESIDE,
        AT_MOST,
        300,
    ),
)


def measure() -> Iterator[Measured]:
    """The same sessions against the console as it is and against one that collects garbage as Streamlit does."""
    yield from _measure(SITTINGS)[0]


def measure_crowd() -> Iterator[Measured]:
    """As many people as the bars speak of, and what they leave in memory; in a minute or two, however slow it is."""
    times, (start_mb, end_mb), (_, plain_mb) = _measure((CROWD,))
    yield from times
    yield Measured(f"console memory, {CROWD} sessions", end_mb, plain_mb, 1, f"before {start_mb:.0f} MB")


def _measure(sittings: tuple[int, ...]) -> tuple[list[Measured], tuple[float, float], tuple[float, float]]:
    """The rows of these sittings; memory before and after, as it is and collecting as Streamlit does."""
    with open_throwaway(orthanc=False) as there:
        for number in range(STUDIES):
            there.booked(a_patient(number), number)
        tokens = [_token(there, number) for number in range(max(sittings))]
        frozen, frozen_mb = _visit_all(there, sittings, tokens)
        plain, plain_mb = _visit_all(there, sittings, tokens, "-c", COLLECTING)
    rows = []
    for n in sittings:
        note = f"p50 {median(frozen[n]):.0f} ms, as Streamlit {median(plain[n]):.0f} ms"
        for whose, times in (("ours", frozen[n]), ("as Streamlit", plain[n])):
            if gone := sum(ms >= PATIENCE_S * 1000 for ms in times):
                note += f"; {whose}: {gone} gave up after {PATIENCE_S} s"
        rows.append(
            Measured(
                f"console p95, {n} session{'s' * (n > 1)}",
                p95(frozen[n]),
                p95(plain[n]),
                len(frozen[n]),
                note,
            )
        )
    return rows, frozen_mb, plain_mb


def _token(there: Throwaway, number: int) -> str:
    """A session through the verbs, begun a little earlier than the one after it: each code opens once."""
    login = VISITORS[number % len(VISITORS)]
    password = there.passwords[login]
    at = there.house.clock() - timedelta(seconds=31 * (CROWD - number))
    house, door = replace(there.house, clock=lambda: at), nobody(channel="console", address="127.0.0.1")
    with house.work(door) as work:
        half = signin.check_password(work, login=login, password=password)
    with house.work(door) as work:
        return signin.check_code(work, token=half, code=TOTP(there.story.cast.secrets[login]).at(at))


def _visit_all(
    there: Throwaway, sittings: tuple[int, ...], tokens: list[str], *command: str
) -> tuple[dict[int, list[float]], tuple[float, float]]:
    """Interaction times in ms by number of sessions, and the memory before and after, of one console process."""
    with there.process("console", *command, health_url=f"{there.console_url}/health") as console:
        before_mb = memory_mb(console)
        times = {n: asyncio.run(_sitting(there.console_url, tokens[:n])) for n in sittings}
        return times, (before_mb, memory_mb(console))


async def _sitting(url: str, tokens: list[str]) -> list[float]:
    seconds = (60 if is_full_run() else 12) + (0 if len(tokens) > 1 else 12)
    lobby = asyncio.Barrier(len(tokens))
    visitors = [Visitor(url, token, random.Random(at), lobby) for at, token in enumerate(tokens)]
    await asyncio.gather(*(v.sit(seconds) for v in visitors))
    if not any(v.saw_board for v in visitors):
        raise Unfit("Nobody's board came.")
    return [ms for v in visitors for ms in v.times]


@dataclass
class Visitor:
    """One browser at the board. It redraws live parts when the server asks it to, as Streamlit's page does."""

    url: str
    token: str
    dice: random.Random
    lobby: asyncio.Barrier
    times: list[float] = field(default_factory=list)
    _search: str = ""
    _said: str = ""
    _saw_table: bool = False
    _trouble: str = ""
    _script: str = ""
    _was_early: bool = False
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _live: dict[str, asyncio.Task] = field(default_factory=dict)

    async def sit(self, seconds: float) -> None:
        """Open the board; once everybody has, or gave up, search again and again with time to think between.

        People come in over a morning: what it costs that all open their first page at once is another question.
        """
        await asyncio.sleep(self.dice.uniform(0, THINK_S))
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        headers = {"Cookie": f"{COOKIE}={self.token}"}
        async with connect(
            address,
            subprotocols=[Subprotocol("streamlit")],
            additional_headers=headers,
            origin=Origin(self.url),
            max_size=None,
            compression=None,
            proxy=None,
        ) as socket:
            reader = asyncio.create_task(self._read(socket))
            try:
                await self._come_in(socket)
                ends_s = time.perf_counter() + seconds
                while True:
                    await asyncio.sleep(self.dice.uniform(THINK_S - 1, THINK_S + 1))
                    if time.perf_counter() > ends_s and self.times:
                        return
                    self._said = self.dice.choice([s for s in SEARCHES if s != self._said])
                    self.times.append(await self._run(socket) * 1000)
            except TimeoutError:
                self.times.append(PATIENCE_S * 1000)
            finally:
                for task in (reader, *self._live.values()):
                    task.cancel()

    async def _come_in(self, socket: ClientConnection) -> None:
        """Open the board, then wait until everybody has, or gave up. Raises TimeoutError."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                for _ in range(3):
                    # A live redraw that begins at once makes the server drop what it had not sent of the whole run.
                    if not self.saw_board:
                        await self._run(socket, first=True)
        finally:
            await self.lobby.wait()
        if not self.saw_board:
            raise TimeoutError

    @property
    def saw_board(self) -> bool:
        """The search field and the table of patients came."""
        return bool(self._search) and self._saw_table

    async def _run(self, socket: ClientConnection, *, first: bool = False) -> float:
        """Ask for a run of the page; seconds until all of it has come."""
        self._over.clear()
        self._was_early = False
        begun_s = time.perf_counter()
        await socket.send(self._wish(first=first).SerializeToString())
        await asyncio.wait_for(self._over.wait(), PATIENCE_S)
        if self._trouble:
            raise Unfit(f"The board ended with {self._trouble}.")
        return time.perf_counter() - begun_s

    def _wish(self, *, first: bool = False, fragment: str = "") -> BackMsg:
        wish = BackMsg()
        wish.rerun_script.query_string = ""
        if first:
            wish.rerun_script.page_name = "board"
        wish.rerun_script.page_script_hash = self._script
        if self._search:
            state = wish.rerun_script.widget_states.widgets.add()
            state.id, state.string_value = self._search, self._said
        if fragment:
            wish.rerun_script.fragment_id, wish.rerun_script.is_auto_rerun = fragment, True
        return wish

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for data in socket:
                self._hear(socket, ForwardMsg.FromString(data))  # type: ignore[arg-type]
        except Exception as error:
            self._trouble = type(error).__name__
        self._trouble = self._trouble or "a closed connection"
        self._over.set()

    def _hear(self, socket: ClientConnection, said: ForwardMsg) -> None:
        kind = said.WhichOneof("type")
        if kind == "new_session":
            self._script = said.new_session.page_script_hash
        elif kind == "delta" and said.delta.WhichOneof("type") == "new_element":
            element = said.delta.new_element
            what = element.WhichOneof("type")
            self._saw_table |= what == "dataframe"
            if what == "text_input" and element.text_input.id.endswith("-board-search"):
                self._search = element.text_input.id
            if what == "exception":
                self._trouble = element.exception.type
        elif kind == "auto_rerun":
            fragment = said.auto_rerun.fragment_id
            if fragment in self._live:
                self._live[fragment].cancel()
            self._live[fragment] = asyncio.create_task(self._keep_live(socket, said))
        elif kind == "script_finished":
            self._finished(said.script_finished)

    def _finished(self, how: int) -> None:
        """A whole run is over; one that a live redraw follows at once is told as finished early, then the redraw ends."""
        self._was_early |= how == ForwardMsg.FINISHED_EARLY_FOR_RERUN
        if how == ForwardMsg.FINISHED_SUCCESSFULLY or (
            how == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY and self._was_early
        ):
            self._over.set()

    async def _keep_live(self, socket: ClientConnection, said: ForwardMsg) -> None:
        with suppress(ConnectionClosed):  # The sitting is over.
            while True:
                await asyncio.sleep(said.auto_rerun.interval)
                await socket.send(self._wish(fragment=said.auto_rerun.fragment_id).SerializeToString())
