"""Signing in against a real Active Directory: how long it takes, what happens when a controller is away, and memory.

The reference is ldap3 as its manual shows it (`Stock`), behind the same port and in the same verbs, in turns with ours.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from pyotp.totp import TOTP

from core import factors, groups, people, sessions, signin
from core.errors import Unfit
from core.ports.directory import Answer, Entry, LocalAccounts, Verdict
from core.ports.directory_ldap import LdapDirectory
from core.ports.ldap_wire import Credentials, Server, escape_filter_chars, format_sid
from core.rules.roles import Permission
from core.store.work import nobody, system
from ops.bench.directory_server import BASE_DN, READER, WITH_PASSWORD, Process, SambaDomain
from ops.bench.rows import AT_MOST, Bar, Measured, is_full_run, median, p95
from ops.bench.throwaway import Throwaway, memory_mb, open_throwaway

import ldap3  # isort: skip  After ldap_wire, which quiets what it warns of at its first import.
from ldap3.core.exceptions import LDAPBindError, LDAPExceptionError  # isort: skip

AT_ONCE = 50
# The console checks so many passwords at the same time (console.signin.routes).
PASSWORDS_AT_ONCE = 4
ROUNDS_AWAY = 3
# A code of this step and one of the next: nobody has to wait for a third.
CODES_EACH = 2

BARS = (
    Bar("sign-in AD, p50", "check_password and check_code of somebody in Active Directory", "ms", "the same with stock ldap3"),
    Bar("sign-in AD, p95", "the same", "ms", "the same with stock ldap3", AT_MOST, 150),
    Bar("sign-in AD, directory's part", "find and password_is_right inside that sign-in", "ms", "stock ldap3"),
    Bar("sign-in AD, argon2id's part", "the verifier kept for when the directory is away", "ms"),
    Bar("50 sign-ins at once", "fifty people press the button together, until the last one is in", "s",
        "the same with stock ldap3"),
)  # fmt: skip
AWAY_BARS = (
    Bar("controller gone, first", "the directory's part of the first sign-in after one of two controllers refuses", "ms",
        "ldap3's ServerPool", AT_MOST, 2500),
    Bar("controller gone, next", "of the sign-in after it", "ms", "ldap3's ServerPool", AT_MOST, 100),
    Bar("controller hung, first", "the same when it takes connections and says nothing", "ms", "ldap3's ServerPool", AT_MOST, 2500),
    Bar("controller hung, next", "of the sign-in after it", "ms", "ldap3's ServerPool", AT_MOST, 100),
    Bar("both hung, sign-in", "a whole sign-in by the verifier that was kept", "ms", "", AT_MOST, 4500),
    Bar("both gone, sign-in", "the same when both refuse", "ms"),
)  # fmt: skip
MEMORY_BARS = (
    Bar("console memory, AD", "resident memory of the console's process after 100 sign-ins against the directory (full: 200)", "MB",
        "the same with local accounts", AT_MOST, 300),
)  # fmt: skip


def measure() -> Iterator[Measured]:
    """Ours and stock in turns, then the crowd at once."""
    with open_practice(AT_ONCE) as practice:
        n = 200 if is_full_run() else 40
        ours, stock, hashing = Clocked(practice.ours()), Clocked(Stock(practice.samba)), []
        whole: dict[Clocked, list[float]] = {ours: [], stock: []}
        part: dict[Clocked, list[float]] = {ours: [], stock: []}
        bare = Stock(practice.samba, info=ldap3.NONE)
        bare_part = []
        practice.sign_in(ours, practice.logins[0])
        for _, login in zip(range(n), cycle(practice.logins), strict=False):
            for directory in (ours, stock):
                whole[directory].append(practice.sign_in(directory, login))
                part[directory].append(directory.spent_ms())
            bare_part.append(_timed(practice.ask, bare, login))
            hashing.append(_timed(LocalAccounts().new_verifier, practice.password))
        yield Measured("sign-in AD, p50", median(whole[ours]), median(whole[stock]), n)
        yield Measured("sign-in AD, p95", p95(whole[ours]), p95(whole[stock]), n)
        yield Measured(
            "sign-in AD, directory's part",
            median(part[ours]),
            median(part[stock]),
            n,
            f"p95 {p95(part[ours]):.0f} ms, stock {p95(part[stock]):.0f} ms; stock without schema p50/p95 "
            f"{median(bare_part):.0f}/{p95(bare_part):.0f} ms",
        )
        yield Measured("sign-in AD, argon2id's part", median(hashing), None, n, f"p95 {p95(hashing):.0f} ms")
        yield _many_at_once(practice)


def _many_at_once(practice: Practice) -> Measured:
    walls: dict[str, list[float]] = {"ours": [], "stock": []}
    times: dict[str, list[float]] = {"ours": [], "stock": []}
    rounds = 3 if is_full_run() else 1
    for _ in range(rounds):
        for name, directory in (("ours", practice.ours()), ("stock", Stock(practice.samba))):
            wall_s, each = practice.all_at_once(directory)
            walls[name].append(wall_s)
            times[name] += each
    return Measured(
        "50 sign-ins at once",
        median(walls["ours"]),
        median(walls["stock"]),
        rounds * AT_ONCE,
        f"p50/p95 {_both(times['ours'])} ms, stock {_both(times['stock'])} ms; errors 0",
    )


def _both(times: list[float]) -> str:
    return f"{median(times):.0f}/{p95(times):.0f}"


# Away -----------------------------------------------------------------------------------------------------------


def measure_away() -> Iterator[Measured]:
    """Each time with a connection that was warm: the controller goes away from a practice at work."""
    with _silence(), open_practice(2) as practice:
        first = practice.samba.first
        for what, harm in (("gone", first.stop), ("hung", first.hang)):
            yield from _one_away(practice, what, harm)
        for what, harm in (("hung", Process.hang), ("gone", Process.stop)):
            yield _both_away(practice, what, harm)


@contextmanager
def _silence() -> Iterator[None]:
    """That a controller is away is what is measured; its warnings would stand between the rows."""
    log = logging.getLogger("sorg.directory")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _one_away(practice: Practice, what: str, harm: Callable[[], None]) -> Iterator[Measured]:
    parts: list[list[float]] = [[], []]
    pooled: list[list[float]] = [[], []]
    wholes: list[list[float]] = [[], []]
    trouble: set[str] = set()
    for _ in range(ROUNDS_AWAY):
        directory, pool = Clocked(practice.ours()), Stock(practice.samba, info=ldap3.NONE, pooled=True)
        practice.sign_in(directory, practice.logins[0])
        practice.ask(pool, practice.logins[0])
        harm()
        for at in (0, 1):
            wholes[at].append(practice.sign_in(directory, practice.logins[0]))
            parts[at].append(directory.spent_ms())
        for at in (0, 1):
            begun_s = time.perf_counter()
            try:
                practice.ask(pool, practice.logins[0])
                pooled[at].append((time.perf_counter() - begun_s) * 1000)
            except (LDAPExceptionError, OSError) as error:
                trouble.add(f"the pool: {type(error).__name__} after {time.perf_counter() - begun_s:.1f} s")
        practice.samba.mend()
    for at, when in enumerate(("first", "next")):
        note = f"whole sign-in {median(wholes[at]):.0f} ms"
        if len(pooled[at]) < ROUNDS_AWAY:
            note += f"; {min(trouble)}"
        reference = median(pooled[at]) if len(pooled[at]) == ROUNDS_AWAY else None
        yield Measured(f"controller {what}, {when}", median(parts[at]), reference, ROUNDS_AWAY, note)


def _both_away(practice: Practice, what: str, harm: Callable[[Process], None]) -> Measured:
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS_AWAY):
        directory = practice.ours()
        practice.sign_in(directory, practice.logins[0])
        for process in practice.samba.processes:
            harm(process)
        for at in (0, 1):
            times[at].append(practice.sign_in(directory, practice.logins[0], away=True))
        practice.samba.mend()
    return Measured(
        f"both {what}, sign-in",
        median(times[0]),
        None,
        ROUNDS_AWAY,
        f"the next one {median(times[1]):.0f} ms",
    )


# Memory ---------------------------------------------------------------------------------------------------------


def measure_memory() -> Iterator[Measured]:
    """The console as a process, and people at its forms, with a directory and without."""
    with open_practice(100 if is_full_run() else 50) as practice:
        there = practice.there
        local = replace(there, settings=there.settings.model_copy(update={"directory": "none"}))
        ours = _after_sign_ins(there, practice.secrets, practice.password)
        reference = _after_sign_ins(local, practice.add_locals(), practice.password)
        yield Measured(
            "console memory, AD",
            ours[1],
            reference[1],
            CODES_EACH * len(practice.logins),
            f"before {ours[0]:.0f} MB, without a directory {reference[0]:.0f} MB",
        )


def _after_sign_ins(there: Throwaway, secrets: dict[str, str], password: str) -> tuple[float, float]:
    """MB before the first one, and after everybody's."""
    with there.process("console", health_url=f"{there.console_url}/health") as console:
        before_mb = memory_mb(console)

        def visit(login: str) -> None:
            for ahead in range(CODES_EACH):
                _fill_in(there.console_url, login, password, TOTP(secrets[login]), ahead)

        with ThreadPoolExecutor(PASSWORDS_AT_ONCE) as pool:
            list(pool.map(visit, secrets))
        return before_mb, memory_mb(console)


def _fill_in(url: str, login: str, password: str, totp: TOTP, ahead: int) -> None:
    """Both forms, as a browser sends them."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False, headers={"accept": "text/html"}) as browser:
        for path, said in (("/login", {"login": login, "password": password}), ("/login/code", {})):
            token = browser.get(path).text.partition('name="token" value="')[2].partition('"')[0]
            if not said:
                said = {"code": totp.at(datetime.now().astimezone(), counter_offset=ahead)}
            answer = browser.post(path, data={"token": token, **said})
            if answer.status_code != 303:
                raise Unfit(f"{path} answered {answer.status_code}.")


# The practice ---------------------------------------------------------------------------------------------------


@dataclass
class Practice:
    """A throwaway practice at a Samba domain, with people whose groups lie in groups that give the role."""

    there: Throwaway
    samba: SambaDomain
    logins: tuple[str, ...]
    secrets: dict[str, str]
    _ticks: int = 0
    _opened: list[LdapDirectory] = field(default_factory=list)

    @property
    def password(self) -> str:
        return self.samba.password

    def ours(self) -> LdapDirectory:
        """The port, fresh: nothing is warm, and every controller is thought to be well."""
        self._opened.append(LdapDirectory(self.samba.config()))
        return self._opened[-1]

    def close(self) -> None:
        for directory in self._opened:
            directory.close()

    def ask(self, directory: Any, login: str) -> None:
        """The directory's part of a sign-in, alone."""
        entry = directory.find(login)
        if entry is None or directory.password_is_right(entry, self.password).verdict is not Verdict.RIGHT:
            raise Unfit(f"The trial directory does not let {login} in.")

    def sign_in(self, directory: Any, login: str, *, away: bool = False) -> float:
        """Both halves, in ms. Each is told a little later than the last one, since a code works once."""
        house, code = self._later(directory, login)
        begun_s = time.perf_counter()
        token = self._password(house, login)
        with house.work(nobody(channel="console")) as work:
            token = signin.check_code(work, token=token, code=code)
        took_ms = (time.perf_counter() - begun_s) * 1000
        with house.work(nobody(channel="console")) as work:
            actor = sessions.actor_of(work, token=token, channel="console")
        if actor is None or actor.bounds.reduced is not away:
            raise Unfit(f"{login} came in {'by the directory' if away else 'without the directory'}.")
        return took_ms

    def all_at_once(self, directory: Any) -> tuple[float, list[float]]:
        """Everybody together: seconds until the last one is in, and how long it took each in ms."""
        few, ready = threading.BoundedSemaphore(PASSWORDS_AT_ONCE), threading.Barrier(len(self.logins) + 1)
        places = {login: self._later(directory, login) for login in self.logins}

        def one(login: str) -> float:
            house, code = places[login]
            ready.wait()
            begun_s = time.perf_counter()
            with few:
                token = self._password(house, login)
            with house.work(nobody(channel="console")) as work:
                signin.check_code(work, token=token, code=code)
            return (time.perf_counter() - begun_s) * 1000

        with ThreadPoolExecutor(len(self.logins)) as pool:
            waiting = [pool.submit(one, login) for login in self.logins]
            ready.wait()
            begun_s = time.perf_counter()
            times = [one.result() for one in waiting]
            return time.perf_counter() - begun_s, times

    def add_locals(self) -> dict[str, str]:
        """As many people with a password here, who need no directory: their secrets."""
        accounts = {
            f"local{number}": {"login": f"local{number}", "name": f"Local {number}", "roles": ["radiologist"]}
            for number in range(len(self.logins))
        }
        verifier = LocalAccounts().new_verifier(self.password)
        return _found(self.there, accounts, verifier=verifier)

    def _password(self, house: Any, login: str) -> str:
        with house.work(nobody(channel="console")) as work:
            return signin.check_password(work, login=login, password=self.password)

    def _later(self, directory: Any, login: str) -> tuple[Any, str]:
        self._ticks += 1
        house = self.there.house
        at = house.clock() + timedelta(seconds=31 * self._ticks)
        there = replace(house, ports=replace(house.ports, directory=directory), clock=lambda: at)
        return there, TOTP(self.secrets[login]).at(at)


@contextmanager
def open_practice(count: int) -> Iterator[Practice]:
    """A domain of a thousand people; so many of them can sign in, by a group of a thousand three groups deep."""
    # Samba's sockets want a short path.
    with tempfile.TemporaryDirectory(prefix="sorg-dir-") as folder, SambaDomain(Path(folder)) as samba:
        logins = tuple(f"p{number:04}" for number in range(1, count + 1))
        for login in logins[WITH_PASSWORD - 1 :]:
            samba.set_password(login, samba.password)
        samba.add_to_group("Locums", "Everybody")
        password_file = Path(folder) / "reader.password"
        password_file.touch(mode=0o600)
        password_file.write_text(samba.password)
        servers = ",".join(f"{p.server.name}@{p.address}:{p.port}" for p in samba.processes)
        changes = {
            "directory": "ad",
            "directory_servers": servers,
            "directory_base": BASE_DN,
            "directory_domain": "clinic.test",
            "directory_ca": samba.ca_file,
            "directory_user": samba.dn_of(READER),
            "directory_password_file": password_file,
        }
        with open_throwaway(orthanc=False, **changes) as there:
            directory = there.house.ports.directory
            entries = {login: directory.find(login) for login in logins}
            [group] = directory.search_groups("PACS-Radiologists")
            directory.close()
            accounts = {
                login: {"login": login, "name": e.name, "roles": ["radiologist"], "id": e.id}
                for login, e in entries.items()
            }
            mapping = [{"group_id": group.id, "group_name": group.name, "role": "radiologist"}]
            practice = Practice(there, samba, logins, _found(there, accounts, mapping=mapping))
            try:
                yield practice
            finally:
                practice.close()


def _found(
    there: Throwaway,
    accounts: dict[str, dict],
    *,
    verifier: str = "",
    mapping: list[dict[str, str]] | None = None,
) -> dict[str, str]:
    """People with an app, as if each had used a slip: login to secret."""
    secrets = {}
    with there.house.work(system("bench")) as work, work.act(Permission.PEOPLE_FOUND):
        if mapping:
            groups.set_mapping(work, mapping)
        for login, account in accounts.items():
            entry_id = account.get("id")
            person = people.new_person(
                work, account, directory="directory" if entry_id else "local", directory_id=entry_id
            )
            person.password_hash = verifier
            secrets[login], _ = factors.new_totp(work, person)
    return secrets


@dataclass(eq=False)
class Clocked:
    """A directory that tells how long it took of a sign-in."""

    directory: Any
    _spent_s: float = 0.0

    def find(self, login: str) -> Entry | None:
        return self._clocked(self.directory.find, login)

    def password_is_right(self, entry: Entry, password: str, *, spare: int = 0) -> Answer:
        return self._clocked(self.directory.password_is_right, entry, password)

    def spent_ms(self) -> float:
        """Since this was last asked."""
        spent_s, self._spent_s = self._spent_s, 0.0
        return spent_s * 1000

    def _clocked(self, question: Callable[..., Any], *what: Any) -> Any:
        begun_s = time.perf_counter()
        try:
            return question(*what)
        finally:
            self._spent_s += time.perf_counter() - begun_s


class Stock:
    """ldap3 as its manual shows it: a new server and connection each time, and groups by the chain of members.

    It checks the certificate, which its manual leaves to the reader. info: what it reads of the server at each
    connection; it reads the schema unless told otherwise. pooled: both controllers, with the timeouts that are ours.
    """

    kind, writes = "ad", False
    IN_CHAIN = "1.2.840.113556.1.4.1941"

    def __init__(self, samba: SambaDomain, *, info: Any = ldap3.SCHEMA, pooled: bool = False) -> None:
        self._reader = Credentials(samba.dn_of(READER), samba.password)
        self._info, self._pooled, self._ca_file = info, pooled, str(samba.ca_file)
        self._servers = [process.server for process in samba.processes]

    def find(self, login: str) -> Entry | None:
        with self._connection(self._reader) as connection:
            wanted = f"(&(objectClass=user)(sAMAccountName={escape_filter_chars(login)}))"
            asked = ["objectGUID", "sAMAccountName", "displayName", "mail", "userAccountControl"]
            connection.search(BASE_DN, wanted, attributes=asked)
            found = [row for row in connection.response or [] if row["type"] == "searchResEntry"]
            if len(found) != 1:
                return None
            dn, values = found[0]["dn"], found[0]["raw_attributes"]
            connection.search(
                BASE_DN, f"(member:{self.IN_CHAIN}:={escape_filter_chars(dn)})", attributes=["objectSid"]
            )
            sids = [row["raw_attributes"]["objectSid"][0] for row in connection.response or [] if "dn" in row]
        entry_id = str(UUID(bytes_le=values["objectGUID"][0]))
        name, mail = ((values[key] or [b""])[0].decode() for key in ("displayName", "mail"))
        return Entry(entry_id, login, name, mail, dn, groups=frozenset(str(format_sid(sid)) for sid in sids))

    def password_is_right(self, entry: Entry, password: str, *, spare: int = 0) -> Answer:
        try:
            with self._connection(Credentials(entry.dn, password)):
                return Answer(Verdict.RIGHT)
        except LDAPBindError:
            return Answer(Verdict.WRONG)

    @contextmanager
    def _connection(self, who: Credentials) -> Iterator[Any]:
        where: Any = self._server(self._servers[0])
        how: dict[str, Any] = {}
        if self._pooled:
            where = ldap3.ServerPool(
                [self._server(s) for s in self._servers], ldap3.FIRST, active=True, exhaust=True
            )
            how["receive_timeout"] = 2
        connection: Any = ldap3.Connection(where, who.user, who.password, auto_bind=True, **how)
        try:
            yield connection
        finally:
            with suppress(LDAPExceptionError, OSError):
                connection.unbind()

    def _server(self, server: Server) -> ldap3.Server:
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=self._ca_file, valid_names=[server.name])
        return ldap3.Server(
            server.host,
            server.port,
            use_ssl=True,
            tls=tls,
            get_info=self._info,
            connect_timeout=1.5 if self._pooled else None,
        )


def _timed(deed: Callable[..., Any], *what: Any) -> float:
    begun_s = time.perf_counter()
    deed(*what)
    return (time.perf_counter() - begun_s) * 1000
