"""LDAP as it may be spoken here: encrypted and checked, in time, page by page, and on another server if one is away.

ldap3 is used only behind this file, because six of its habits are dangerous: it checks no certificate unless told
to, binds anonymously for a blank user and calls that a success, waits for delayed acknowledgements, stays with a
server that accepts and then hangs, leaves sockets open, and fails on timeouts that are not whole seconds.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from core.errors import Away, Missing, Refused, Turned, Unfit

with warnings.catch_warnings():
    # ldap3 2.9.1 reads two names that pyasn1 has renamed; nothing of ours depends on them.
    warnings.filterwarnings("ignore", message="(tagMap|typeMap) is deprecated", category=DeprecationWarning)
    import ldap3
    from ldap3 import BASE
    from ldap3.core.exceptions import LDAPExceptionError, LDAPResponseTimeoutError, LDAPSocketOpenError
    from ldap3.protocol.formatters.formatters import format_sid
    from ldap3.utils.conv import escape_bytes, escape_filter_chars
    from ldap3.utils.dn import escape_rdn, parse_dn
    from pyasn1.error import PyAsn1Error

__all__ = [
    "BASE", "Bound", "Credentials", "Row", "Server", "Session", "StrictTls", "Wire", "can_be_sent", "escape_bytes",
    "escape_filter_chars", "escape_rdn", "format_sid", "parse_dn", "strict_context",
]  # fmt: skip

log = logging.getLogger("sorg.directory")

CONNECT_S, RECEIVE_S, TOTAL_S, LEAST_S = 1.5, 2, 4.0, 0.2
LIST_RECEIVE_S, LIST_TOTAL_S = 5, 15.0
BREAKER_S = 30.0
# What one question may bring, in bytes: a page of people is a thousandth of it, a group's whole list of members a tenth.
MOST_BYTES = 32_000_000
IDLE_MOST_S, IDLE_MOST = 60.0, 8
ADDRESS_KEPT_S = 300.0
PAGE_ROWS = 250
LONGEST_SECRET = 256
LONGEST_USER = 512
CLEAR_TEXT_PORTS = {389: 636, 3268: 3269}

PAGING = "1.2.840.113556.1.4.319"  # RFC 2696
PASSWORD_POLICY = "1.3.6.1.4.1.42.2.27.8.5.1"  # draft-behera-ldap-password-policy-10

# Result codes of RFC 4511, appendix A.
SUCCESS, SIZE_LIMIT, REFERRAL, ADMIN_LIMIT = 0, 4, 10, 11
NO_ATTRIBUTE, CONSTRAINT, VALUE_EXISTS, NO_OBJECT, INVALID_DN = 16, 19, 20, 32, 34
INAPPROPRIATE, INVALID_CREDENTIALS, NO_RIGHTS, BUSY, UNAVAILABLE = 48, 49, 50, 51, 52
UNWILLING, OBJECT_CLASS, ENTRY_EXISTS = 53, 65, 68
# What a bind may say of the account itself. Every other code speaks of the server, so another one is asked.
OF_THE_ACCOUNT = {SUCCESS, CONSTRAINT, NO_OBJECT, INVALID_DN, INAPPROPRIATE, INVALID_CREDENTIALS, NO_RIGHTS}
NOTHING_THERE = {NO_OBJECT, INVALID_DN, REFERRAL}

AWAY = "The directory does not answer just now. Try again in a minute."
HALF_DONE = "The directory broke off during a change. Look whether it was made before you try again."
NO_SUCH = "The directory has no such account or group any more. Search for it again."
POOR_PASSWORD = (
    "The directory does not accept this password. Take a longer one that was not used before, "
    "with capitals, small letters and digits."
)

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """One server of the directory. tls_name: the name its certificate must carry, when `host` is an address."""

    host: str
    tls_name: str = ""
    port: int = 636

    @property
    def name(self) -> str:
        return self.tls_name or self.host


@dataclass(frozen=True)
class Credentials:
    """An account of the directory that is Sorg's own."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Row:
    """An entry as it came over the wire: names of attributes in small letters, values as bytes."""

    dn: str
    values: Mapping[str, list[bytes]]

    def first(self, name: str) -> bytes | None:
        found = self.values.get(name.lower())
        return found[0] if found else None

    def text(self, *names: str) -> str:
        """The first value there is of these attributes, without characters that no screen can show."""
        for name in names:
            found = (self.first(name) or b"").decode("utf-8", "replace")
            if told := "".join(c for c in found if c.isprintable()).strip()[:250]:
                return told
        return ""

    def dn_in(self, name: str) -> str:
        """The DN that this attribute holds, whole; "" for none."""
        return (self.first(name) or b"").decode("utf-8", "replace")

    def number(self, name: str) -> int:
        try:
            return int(self.first(name) or b"0")
        except ValueError:
            return 0


@dataclass(frozen=True)
class Bound:
    """What a server said to a name and a password. policy_error: of the password policy control, where it has one."""

    code: int
    message: str = ""
    policy_error: int | None = None


def can_be_sent(text: str | None, *, most: int = LONGEST_SECRET) -> bool:
    """False for what must never reach a bind: blank, with a NUL, or so long that it keeps the server busy."""
    return isinstance(text, str) and bool(text.strip()) and "\0" not in text and len(text) <= most


class TimedSocket(ssl.SSLSocket):
    """Reads until the time of its question is over, however often the server says a little meanwhile, and no more than
    a directory may sensibly bring: ldap3 waits for each piece anew, and would keep whatever comes."""

    left_s: Callable[[], float] | None = None
    room = MOST_BYTES

    def allow(self, left_s: Callable[[], float]) -> None:
        """For the next question."""
        self.left_s, self.room = left_s, MOST_BYTES

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self.left_s is None:
            return super().recv(buflen, flags)
        wait_s, left_s = self.gettimeout(), self.left_s()
        if left_s <= 0:
            raise TimeoutError("out of time")
        self.settimeout(left_s if wait_s is None else min(wait_s, max(left_s, LEAST_S)))
        piece = super().recv(buflen, flags)
        self.settimeout(wait_s)
        self.room -= len(piece)
        if self.room < 0:
            raise OSError("more than a directory may bring")
        return piece


class StrictTls(ldap3.Tls):
    """OpenSSL checks chain and name, TLS 1.2 at least, no delay; there is no way to an unchecked certificate."""

    def __init__(self, context: ssl.SSLContext, server: Server, *, timeout_s: float) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED, version=ssl.PROTOCOL_TLS_CLIENT)
        self._context, self._server, self._timeout_s = context, server, timeout_s

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        plain = connection.socket
        receive_s = plain.gettimeout()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(self._timeout_s)
        try:
            connection.socket = self._context.wrap_socket(plain, server_hostname=self._server.name)
        except ssl.SSLError as error:
            # Apart from servers that are merely away (ASVS 5, 16.3.4), and without a word of what was sent.
            log.error("TLS with %s failed: %s", self._server.name, type(error).__name__)
            raise
        connection.socket.settimeout(receive_s)


def strict_context(ca_file: Path) -> ssl.SSLContext:
    """The certificates that we trust: those of the file, and no others. Unfit says what is wrong with it."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError):
        raise Unfit(
            f"SORG_DIRECTORY_CA names {ca_file}, which cannot be read as PEM certificates. Export the certificate "
            "of the directory's own authority there; without it no password is sent."
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = TimedSocket
    return context


class Addresses:
    """Where servers are. A domain controller often is the name server too: when it hangs, so do questions for names,
    for much longer than anybody may wait. So each is asked aside, and the last address known serves meanwhile."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}

    def of(self, host: str, *, timeout_s: float) -> str:
        """The address of this name. NoAnswer when it cannot be told in time and never was."""
        with suppress(ValueError):
            return str(ipaddress.ip_address(host))
        address, until_s = self._known.get(host, ("", 0.0))
        if address and self._clock() < until_s:
            return address
        if found := self._ask_aside(host, timeout_s=timeout_s):
            self._known[host] = (found, self._clock() + ADDRESS_KEPT_S)
            return found
        if not address:
            raise NoAnswer("its address is not known", hung=True)
        log.warning("the address of %s cannot be looked up; the last one known is used", host)
        self._known[host] = (address, self._clock() + BREAKER_S)
        return address

    def _ask_aside(self, host: str, *, timeout_s: float) -> str | None:
        told: SimpleQueue[str | None] = SimpleQueue()

        def ask() -> None:
            try:
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except OSError:
                told.put(None)
                return
            first = min(found, key=lambda one: one[0] != socket.AF_INET)
            told.put(str(first[4][0]))

        # Nobody waits for the thread, not even the end of the process.
        threading.Thread(target=ask, name="directory-names", daemon=True).start()
        try:
            return told.get(timeout=timeout_s)
        except Empty:
            return None


# What ldap3 raises where nothing comes in time, and where what comes is no LDAP at all.
_NO_LDAP = (
    LDAPExceptionError,
    OSError,
    PyAsn1Error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
)


class NoAnswer(Exception):
    """A server did not answer, or spoke of its own trouble: another one may be asked. Never leaves this file."""

    def __init__(self, why: str, *, hung: bool = False) -> None:
        super().__init__(why)
        self.hung = hung


class Session:
    """What is asked over one bound connection, until `end_s` on the clock."""

    def __init__(
        self, connection: Any, *, end_s: float, clock: Callable[[], float], receive_s: float = RECEIVE_S
    ) -> None:
        self._connection, self._end_s, self._clock, self._receive_s = connection, end_s, clock, receive_s

    def search(
        self,
        base: str,
        wanted: str,
        attributes: tuple[str, ...],
        *,
        scope: str = ldap3.SUBTREE,
        most: int | None = None,
    ) -> list[Row]:
        """The entries below `base`, page by page, so that no server's limit on one answer cuts them off."""
        rows: list[Row] = []
        cookie = None
        while True:
            size: int | None = PAGE_ROWS if most is None else max(1, min(PAGE_ROWS, most - len(rows)))
            if scope == BASE:
                size = None  # One entry needs no pages, and the one that describes a server may have none.
            result = self._send(
                "search",
                base,
                wanted,
                scope,
                attributes=list(attributes),
                paged_size=size,
                paged_cookie=cookie,
            )
            if result["result"] in NOTHING_THERE:
                return rows
            if result["result"] == NO_RIGHTS:
                raise Turned(
                    "The directory does not let Sorg's reading account read this. Give it that right there."
                )
            if result["result"] not in (SUCCESS, SIZE_LIMIT, ADMIN_LIMIT):
                raise NoAnswer(result["description"])
            rows += [
                _row(found) for found in self._connection.response or () if found["type"] == "searchResEntry"
            ]
            cookie = ((result.get("controls") or {}).get(PAGING) or {}).get("value", {}).get("cookie")
            if not cookie or result["result"] != SUCCESS or (most is not None and len(rows) >= most):
                return rows

    def only(
        self, base: str, wanted: str, attributes: tuple[str, ...], *, scope: str = ldap3.SUBTREE
    ) -> Row | None:
        """The one entry that fits; None when there is none, and when there is more than one."""
        rows = self.search(base, wanted, attributes, scope=scope, most=2)
        return rows[0] if len(rows) == 1 else None

    def add(self, dn: str, classes: tuple[str, ...], values: Mapping[str, Any], *, taken: str) -> None:
        """A new entry, whole or not at all. `taken`: the sentence when there is one of this name."""
        self._change("add", dn, list(classes), dict(values), said={ENTRY_EXISTS: Refused(taken)})

    def replace(self, dn: str, values: Mapping[str, Any]) -> None:
        """Other values for these attributes; an empty list takes the attribute away."""
        self._change("modify", dn, {k: [(ldap3.MODIFY_REPLACE, v)] for k, v in values.items()})

    def add_value(self, dn: str, name: str, value: str) -> None:
        """One value more; none happens where it was there already."""
        self._change("modify", dn, {name: [(ldap3.MODIFY_ADD, [value])]}, fine={VALUE_EXISTS, ENTRY_EXISTS})

    def remove_value(self, dn: str, name: str, value: str, *, last: str) -> None:
        """One value less. `last`: the sentence when the directory wants one left."""
        change = {name: [(ldap3.MODIFY_DELETE, [value])]}
        self._change("modify", dn, change, fine={NO_ATTRIBUTE}, said={OBJECT_CLASS: Refused(last)})

    def delete(self, dn: str) -> None:
        self._change("delete", dn, fine={NO_OBJECT})

    def _change(
        self,
        verb: str,
        *args: Any,
        fine: AbstractSet[int] = frozenset(),
        said: Mapping[int, Exception] | None = None,
    ) -> None:
        result = self._send(verb, *args)
        code = result["result"]
        if code == SUCCESS or code in fine:
            return
        if code in (BUSY, UNAVAILABLE):
            raise NoAnswer(result["description"])
        # Active Directory says 53 with 0000052D to a password that its policy refuses (MS-ADTS 3.1.1.3.1.5).
        if code == CONSTRAINT or (code == UNWILLING and "0000052D" in result["message"].upper()):
            raise Refused(POOR_PASSWORD)
        raise (said or {}).get(code) or _refusal(code, result["description"])

    def _send(self, verb: str, *args: Any, **named: Any) -> dict[str, Any]:
        left_s = self._end_s - self._clock()
        if left_s <= 0:
            raise NoAnswer("out of time", hung=True)
        if self._connection.socket is None:
            raise NoAnswer("closed")
        self._connection.socket.settimeout(min(self._receive_s, max(left_s, LEAST_S)))
        self._connection.socket.allow(lambda: self._end_s - self._clock())
        begun_s = time.monotonic()
        try:
            getattr(self._connection, verb)(*args, **named)
        except _NO_LDAP as error:
            raise _no_answer(error, waited_s=time.monotonic() - begun_s) from None
        return self._connection.result


class Wire:
    """The servers of one directory. Threads may share it; each uses a connection of its own meanwhile."""

    def __init__(
        self,
        servers: tuple[Server, ...],
        *,
        context: ssl.SSLContext,
        reader: Credentials,
        writer: Credentials | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers, self._context, self._clock = servers, context, clock
        self._reader, self._writer = reader, writer
        self._closed_until_s: dict[Server, float] = {}
        self._idle: dict[Server, list[tuple[Any, float]]] = {server: [] for server in servers}
        self._addresses = Addresses(clock)
        self._lock = threading.Lock()
        self._last_resort = threading.Lock()

    def asking(self, question: Callable[[Session], T]) -> T:
        """The answer of the first server that gives one, over a connection of the reading account kept warm."""
        return self._anywhere(lambda server, end_s: self._ask(server, end_s, question))

    def listing(self, question: Callable[[Session], T]) -> T:
        """The same with more time, for searches that may find thousands. A slow one counts against no server:
        somebody who looks through the directory must not send everybody who signs in to another."""

        def attempt(server: Server, end_s: float) -> T:
            return self._ask(server, end_s, question, receive_s=LIST_RECEIVE_S)

        return self._anywhere(attempt, total_s=LIST_TOTAL_S, trips=False)

    def changing(self, change: Callable[[Session], T]) -> T:
        """What the delegated account does, on one server. A change that broke off is not repeated on another."""
        writer = self._writer
        if writer is None:
            raise Refused(
                "Sorg only reads this directory. Make the change in the directory itself, or give Sorg an account "
                "that may (SORG_DIRECTORY_WRITER)."
            )

        def attempt(server: Server, end_s: float) -> T:
            with self._bound(server, writer, end_s, setting="SORG_DIRECTORY_WRITER") as connection:
                try:
                    return change(Session(connection, end_s=end_s, clock=self._clock))
                except NoAnswer as why:
                    log.warning("%s broke off during a change: %s", server.name, why)
                    raise Away(HALF_DONE) from None

        return self._anywhere(attempt)

    def bind(self, dn: str, password: str) -> Bound:
        """What the directory says to this name and password. The connection is gone again when it has spoken."""
        return self._anywhere(lambda server, end_s: self._bind_once(server, dn, password, end_s))

    def close(self) -> None:
        """End every connection that is kept warm."""
        with self._lock:
            idle = [connection for kept in self._idle.values() for connection, _ in kept]
            for kept in self._idle.values():
                kept.clear()
        for connection in idle:
            _end(connection)

    # Which server is asked, and in what time.

    def _anywhere(
        self, attempt: Callable[[Server, float], T], *, total_s: float = TOTAL_S, trips: bool = True
    ) -> T:
        end_s = self._clock() + total_s
        good, bad = self._by_health()
        with self._alone_if(not good):
            for server in good + bad:
                if end_s - self._clock() <= LEAST_S:
                    break
                try:
                    answer = attempt(server, end_s)
                except NoAnswer as why:
                    log.warning("%s does not answer: %s", server.name, why)
                    if trips:
                        with self._lock:
                            self._closed_until_s[server] = self._clock() + BREAKER_S
                    continue
                with self._lock:
                    self._closed_until_s.pop(server, None)
                return answer
        raise Away(AWAY)

    def _by_health(self) -> tuple[list[Server], list[Server]]:
        with self._lock:
            now_s = self._clock()
            bad = [server for server in self._servers if self._closed_until_s.get(server, now_s) > now_s]
        return [server for server in self._servers if server not in bad], bad

    @contextmanager
    def _alone_if(self, all_bad: bool) -> Iterator[None]:
        """While every server is known to be away, one caller tries whether that is still so; the others don't wait."""
        if not all_bad:
            yield
            return
        if not self._last_resort.acquire(blocking=False):
            raise Away(AWAY)
        try:
            yield
        finally:
            self._last_resort.release()

    # Connections.

    def _ask(
        self, server: Server, end_s: float, question: Callable[[Session], T], *, receive_s: float = RECEIVE_S
    ) -> T:
        while (warm := self._take_warm(server)) is not None:
            try:
                return self._use(server, warm, question, end_s=end_s, receive_s=receive_s)
            except NoAnswer as why:
                if why.hung:
                    raise
                # Servers close what is idle (MaxConnIdleTime, olcIdleTimeout): a new connection will tell.
        fresh = self._open_reader(server, end_s)
        return self._use(server, fresh, question, end_s=end_s, receive_s=receive_s)

    def _use(
        self,
        server: Server,
        connection: Any,
        question: Callable[[Session], T],
        *,
        end_s: float,
        receive_s: float,
    ) -> T:
        session = Session(connection, end_s=end_s, clock=self._clock, receive_s=receive_s)
        try:
            answer = question(session)
        except BaseException:
            _end(connection)
            raise
        with self._lock:
            kept = self._idle[server]
            keep = len(kept) < IDLE_MOST
            if keep:
                kept.append((connection, self._clock()))
        if not keep:
            _end(connection)
        return answer

    def _take_warm(self, server: Server) -> Any | None:
        with self._lock:
            kept = self._idle[server]
            stale = [one for one, since_s in kept if self._clock() - since_s > IDLE_MOST_S]
            kept[:] = [pair for pair in kept if pair[0] not in stale]
            warm = kept.pop()[0] if kept else None
        for connection in stale:
            _end(connection)
        return warm

    def _open_reader(self, server: Server, end_s: float) -> Any:
        connection = self._open(server, self._reader, end_s)
        try:
            self._introduce(connection, setting="SORG_DIRECTORY_USER")
        except BaseException:
            _end(connection)
            raise
        return connection

    @contextmanager
    def _bound(self, server: Server, who: Credentials, end_s: float, *, setting: str) -> Iterator[Any]:
        connection = self._open(server, who, end_s)
        try:
            self._introduce(connection, setting=setting)
            yield connection
        finally:
            _end(connection)

    def _introduce(self, connection: Any, *, setting: str) -> None:
        bound = _bind(connection)
        if bound.code in OF_THE_ACCOUNT - {SUCCESS}:
            log.error("the directory refuses the account of %s: %s", setting, bound.message or bound.code)
            raise Turned(
                f"The directory refuses Sorg's own account. Check {setting} and the file of its password."
            )

    def _bind_once(self, server: Server, dn: str, password: str, end_s: float) -> Bound:
        connection = self._open(server, Credentials(dn, password), end_s)
        try:
            return _bind(connection)
        finally:
            _end(connection)

    def _open(self, server: Server, who: Credentials, end_s: float) -> Any:
        if not can_be_sent(who.user, most=LONGEST_USER) or not can_be_sent(who.password):
            raise Refused("A blank or overlong name or password is not sent to the directory.")
        timeout_s = min(CONNECT_S, max(end_s - self._clock(), LEAST_S))
        address = self._addresses.of(server.host, timeout_s=timeout_s)
        tls = StrictTls(self._context, server, timeout_s=timeout_s)
        there = ldap3.Server(
            address, server.port, use_ssl=True, tls=tls, connect_timeout=timeout_s, get_info=ldap3.NONE
        )
        # As bytes, because ldap3 would otherwise fold some letters of a password into others (RFC 4013).
        connection: Any = ldap3.Connection(
            there,
            who.user,
            cast(Any, who.password.encode()),
            authentication=ldap3.SIMPLE,
            receive_timeout=RECEIVE_S,
            auto_referrals=False,
            check_names=False,
            return_empty_attributes=False,
        )
        begun_s = time.monotonic()
        try:
            connection.open(read_server_info=False)
        except (LDAPExceptionError, OSError) as error:
            _end(connection)
            raise _no_answer(error, waited_s=time.monotonic() - begun_s) from None
        connection.socket.allow(lambda: end_s - self._clock())
        return connection


def _bind(connection: Any) -> Bound:
    begun_s = time.monotonic()
    try:
        connection.bind(read_server_info=False, controls=[(PASSWORD_POLICY, False, None)])
    except _NO_LDAP as error:
        raise _no_answer(error, waited_s=time.monotonic() - begun_s) from None
    result = connection.result
    if result["result"] not in OF_THE_ACCOUNT:
        raise NoAnswer(result["description"])
    policy = ((result.get("controls") or {}).get(PASSWORD_POLICY) or {}).get("value")
    return Bound(result["result"], str(result.get("message") or ""), _policy_error(policy))


def _policy_error(value: object) -> int | None:
    # SEQUENCE { warning [0] CHOICE OPTIONAL, error [1] ENUMERATED OPTIONAL }: the error, if any, comes last.
    if isinstance(value, bytes) and len(value) >= 5 and value[-3:-1] == b"\x81\x01":
        return value[-1]
    return None


def _row(found: Mapping[str, Any]) -> Row:
    return Row(found["dn"], {name.lower(): list(values) for name, values in found["raw_attributes"].items()})


def _no_answer(error: Exception, *, waited_s: float) -> NoAnswer:
    hung = isinstance(error, (LDAPResponseTimeoutError, LDAPSocketOpenError)) or waited_s >= 0.9 * CONNECT_S
    return NoAnswer(type(error).__name__, hung=hung)


def _refusal(code: int, description: str) -> Exception:
    if code == NO_OBJECT:
        return Missing(NO_SUCH)
    if code == NO_RIGHTS:
        return Turned(
            "The directory does not let Sorg's account make this change. Ask whoever keeps the directory to "
            "delegate it to that account."
        )
    return Turned(f"The directory did not make the change ({description}).")


def _end(connection: Any) -> None:
    left = connection.socket
    try:
        if not connection.closed:
            connection.unbind()
    except (LDAPExceptionError, OSError) as error:
        log.debug("a connection ended without a farewell: %s", type(error).__name__)
    finally:
        # After a failed opening ldap3 forgets its socket.
        if left is not None:
            left.close()
