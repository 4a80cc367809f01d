"""Active Directory and OpenLDAP as one Directory: what an account is called, how it stands, which groups hold it.

The two differ in words, not in manners; each has a class with the same methods below, and ldap_wire.py does the
speaking. Identity is objectGUID or entryUUID, and roles hang on group SIDs or entryUUIDs: names may change.
"""

from __future__ import annotations

import base64
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from core.errors import Away, Missing, Outside, Refused, Turned, Unfit
from core.ports.directory import (
    LONGEST_LOGIN,
    LONGEST_PASSWORD,
    AccountState,
    Answer,
    Entry,
    Group,
    Lockout,
    Verdict,
)
from core.ports.ldap_wire import (
    BASE,
    CLEAR_TEXT_PORTS,
    INVALID_CREDENTIALS,
    LONGEST_USER,
    NO_SUCH,
    SUCCESS,
    TOTAL_S,
    Bound,
    Credentials,
    Row,
    Server,
    Session,
    Wire,
    can_be_sent,
    escape_bytes,
    escape_filter_chars,
    escape_rdn,
    format_sid,
    log,
    parse_dn,
    strict_context,
)

MOST_COUNTED = 5_000
DNS_PER_QUESTION = 50
POLICY_KEPT_S = 300.0
TURNS = 64
# A directory that keeps wrong passwords for longer than this is taken to forget none.
LONGEST_WINDOW = timedelta(days=365)


@dataclass(frozen=True)
class LdapConfig:
    """Which directory, and how Sorg comes in. `writer` is the delegated account; without it nothing is written.

    users_dn: where new accounts are made; groups_dn: where groups are looked for; both default to base_dn.
    domain: what follows the @ of a login; read from the DC= parts of base_dn when it is empty.
    """

    kind: str  # "ad", "openldap"
    servers: tuple[Server, ...]
    base_dn: str
    ca_file: Path
    reader: Credentials
    writer: Credentials | None = None
    users_dn: str = ""
    groups_dn: str = ""
    domain: str = ""


class LdapDirectory:
    """core.ports.directory.Directory over LDAP. Threads share one; `close` ends what it keeps open.

    Unfit, with every reason, when the settings would send a password in clear text or to nobody known.
    `search_people` reads no groups: `look_up` one of them for those.
    """

    def __init__(
        self,
        config: LdapConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        refuse_unsafe(config)
        self.kind = config.kind
        self.writes = config.writer is not None
        self._kind: _Kind = KINDS[config.kind](config, clock, now)
        self._wire = Wire(
            config.servers, context=strict_context(config.ca_file), reader=config.reader, writer=config.writer,
            clock=clock,
        )  # fmt: skip
        # Accounts that share a turn by chance wait for each other, which they hardly notice.
        self._turns = tuple(threading.Lock() for _ in range(TURNS))

    def close(self) -> None:
        self._wire.close()

    # Who somebody is.

    def find(self, login: str) -> Entry | None:
        spelling = _askable(login)
        if not spelling:
            return None

        def question(session: Session) -> Entry | None:
            row = self._kind.by_login(session, spelling)
            return self._kind.entry(session, row) if row else None

        return self._wire.asking(question)

    def look_up(self, entry_id: str) -> Entry | None:
        wanted = _uuid(entry_id)
        return self._wire.asking(lambda session: self._look_up(session, wanted)) if wanted else None

    def known_as(self, identity: str) -> Entry | None:
        spelled = _askable(identity)
        if not spelled:
            return None

        def question(session: Session) -> Entry | None:
            row = self._kind.by_identity(session, spelled)
            return self._kind.entry(session, row) if row else None

        return self._wire.asking(question)

    def _look_up(self, session: Session, wanted: uuid.UUID, *, with_groups: bool = True) -> Entry | None:
        row = self._kind.by_id(session, wanted)
        return self._kind.entry(session, row, with_groups=with_groups) if row else None

    def _as_it_stands(self, entry_id: str) -> Entry | None:
        wanted = _uuid(entry_id)
        if wanted is None:
            return None
        return self._wire.asking(lambda session: self._look_up(session, wanted, with_groups=False))

    def password_is_right(self, entry: Entry, password: str, *, spare: int = 0) -> Answer:
        if not can_be_sent(password, most=LONGEST_PASSWORD) or not can_be_sent(entry.dn, most=LONGEST_USER):
            return Answer(Verdict.WRONG, reason="blank or overlong: not sent to the directory")
        if not entry.wrong_tries or entry.state is AccountState.LOCKED:
            return self._asked(entry, password)
        # Where the directory counts wrong tries already, each waits for the one before, and looks at the count again.
        turn = self._turns[hash(entry.id) % TURNS]
        if not turn.acquire(timeout=TOTAL_S):
            return Answer(
                Verdict.HELD, reason="held back: other tries of this account wait for the directory"
            )
        try:
            now = self._as_it_stands(entry.id)
            if _would_lock(entry.lockout, now and now.wrong_tries, spare=spare):
                return Answer(Verdict.HELD, reason=WOULD_LOCK)
            return self._asked(entry, password)
        finally:
            turn.release()

    def _asked(self, entry: Entry, password: str) -> Answer:
        bound = self._wire.bind(entry.dn, password)
        if bound.code not in (SUCCESS, INVALID_CREDENTIALS):
            return Answer(Verdict.WRONG, reason=f"result {bound.code}")
        if bound.code == SUCCESS:
            # Read again by its identity: the name that was bound must still be this account's.
            now = self._as_it_stands(entry.id)
            if now is None or now.dn.casefold() != entry.dn.casefold():
                return Answer(Verdict.WRONG, reason="the account is gone or was moved meanwhile")
            state = self._kind.state_despite_success(bound) or now.state
            if state is AccountState.OK:
                return Answer(Verdict.RIGHT)
            return Answer(Verdict.REFUSED, state, f"bound, but {state}")
        state, reason = self._kind.why_not(bound, lambda: self._as_it_stands(entry.id))
        if state is AccountState.OK:
            return Answer(Verdict.WRONG, reason=reason)
        return Answer(Verdict.REFUSED, state, reason)

    def lockouts(self) -> tuple[tuple[str, Lockout | None], ...]:
        return self._wire.asking(self._kind.lockouts)

    # Whom there is.

    def search_people(self, text: str, *, most: int = 50) -> tuple[Entry, ...]:
        wanted = _askable(text, blank="everybody")
        if wanted is None:
            return ()
        found = self._wire.listing(lambda session: self._kind.people(session, wanted, most=most))
        return tuple(sorted(found, key=lambda entry: (entry.name.casefold(), entry.login.casefold())))

    def search_groups(self, text: str, *, most: int = 50) -> tuple[Group, ...]:
        wanted = _askable(text, blank="all")
        if wanted is None:
            return ()
        found = self._wire.listing(lambda session: self._kind.groups(session, wanted, most=most))
        return tuple(sorted(found, key=lambda group: (group.name.casefold(), group.path)))

    def group(self, group_id: str) -> Group | None:
        def question(session: Session) -> Group | None:
            row = self._kind.group_row(session, group_id)
            return self._kind.counted(session, row) if row else None

        return self._wire.listing(question) if _askable(group_id) else None

    def answers(self) -> bool:
        try:
            return self._wire.asking(self._kind.is_there)
        except Away:
            return False
        except Outside as error:
            log.warning("the directory answers, but: %s", error.sentence)
            return False

    # What the delegated account changes.

    def create(
        self, *, login: str, name: str, email: str, password: str, groups: tuple[str, ...] = ()
    ) -> Entry:
        login, name, email = (text.strip() for text in (login, name, email))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}", login):
            raise Refused("A login is 1 to 20 letters a to z, digits, dots, dashes or underscores.")
        if not name or len(name) > 64 or not name.isprintable():
            raise Refused("The directory takes a name of 1 to 64 characters.")
        if len(email) > 250 or not email.isprintable():
            raise Refused("The directory takes an e-mail address of at most 250 characters.")
        _refuse_password(password)

        def change(session: Session) -> Entry:
            if self._kind.by_login(session, login, any_class=True):
                raise Refused(TAKEN.format(login=login))
            dn = self._kind.add(session, login=login, name=name, email=email, password=password)
            joined: list[str] = []
            try:
                entry = self._whole(session, dn, login)
                for group_id in groups:
                    group = self._group_or_missing(session, group_id)
                    session.add_value(group.dn, "member", dn)
                    joined.append(group.dn)
                return entry
            except BaseException:
                # Half an account is worse than none: whoever tries again finds the name free.
                for group_dn in joined:
                    session.remove_value(group_dn, "member", dn, last=LAST_MEMBER)
                session.delete(dn)
                raise

        return self._wire.changing(change)

    def _whole(self, session: Session, dn: str, login: str) -> Entry:
        row = self._kind.by_login(session, login)
        entry = self._kind.entry(session, row) if row else None
        if entry is None or entry.state is not AccountState.OK:
            state = entry.state if entry else "not to be found"
            raise Refused(
                f"The directory made the account {login}, but it is {state}; it was taken away again."
            )
        return entry

    def set_enabled(self, entry_id: str, *, enabled: bool) -> None:
        self._on_person(entry_id, lambda session, row: self._kind.set_enabled(session, row, enabled=enabled))

    def set_password(self, entry_id: str, password: str) -> None:
        _refuse_password(password)
        self._on_person(entry_id, lambda session, row: self._kind.set_password(session, row, password))

    def add_to_group(self, entry_id: str, group_id: str) -> None:
        def change(session: Session, row: Row) -> None:
            group = self._group_or_missing(session, group_id)
            if not self._is_member(session, group, row):
                session.add_value(group.dn, "member", row.dn)

        self._on_person(entry_id, change)

    def remove_from_group(self, entry_id: str, group_id: str) -> None:
        def change(session: Session, row: Row) -> None:
            group = self._group_or_missing(session, group_id)
            if self._is_member(session, group, row):
                session.remove_value(group.dn, "member", row.dn, last=LAST_MEMBER)

        self._on_person(entry_id, change)

    def _on_person(self, entry_id: str, change: Callable[[Session, Row], None]) -> None:
        wanted = _uuid(entry_id)

        def find_and_change(session: Session) -> None:
            row = self._kind.by_id(session, wanted) if wanted else None
            if row is None:
                raise Missing(NO_SUCH)
            change(session, row)

        self._wire.changing(find_and_change)

    def _group_or_missing(self, session: Session, group_id: str) -> Row:
        row = self._kind.group_row(session, group_id)
        if row is None:
            raise Missing(NO_SUCH)
        return row

    def _is_member(self, session: Session, group: Row, person: Row) -> bool:
        return (
            session.only(group.dn, f"(member={escape_filter_chars(person.dn)})", ("cn",), scope=BASE)
            is not None
        )


WOULD_LOCK = "held back: one more wrong password would lock the account there"
TAKEN = "The directory has an account {login} already. Take another login, or search for that person."
LAST_MEMBER = "This group may not be empty in the directory: put somebody else into it first."


def refuse_unsafe(config: LdapConfig) -> None:
    """Unfit with every reason why no password may be sent under this configuration."""
    found = []
    if config.kind not in KINDS:
        found.append("SORG_DIRECTORY is ad or openldap.")
    if not config.servers:
        found.append("SORG_DIRECTORY_SERVERS names no server: dc1.practice.local:636,dc2.practice.local:636.")
    for server in config.servers:
        if server.port in CLEAR_TEXT_PORTS:
            found.append(
                f"SORG_DIRECTORY_SERVERS names port {server.port} of {server.name}, where passwords travel in clear "
                f"text. Take {CLEAR_TEXT_PORTS[server.port]} (LDAPS)."
            )
    if not config.base_dn.strip():
        found.append("SORG_DIRECTORY_BASE says where people are searched: DC=practice,DC=local.")
    for setting, who in (("USER", config.reader), ("WRITER", config.writer)):
        if who and not (can_be_sent(who.user, most=LONGEST_USER) and can_be_sent(who.password)):
            found.append(f"SORG_DIRECTORY_{setting} and the file of its password may not be blank.")
    if not config.ca_file.is_file():
        found.append("SORG_DIRECTORY_CA names no file that is there: the certificates to trust, as PEM.")
    if found:
        raise Unfit(" ".join(found))


class _Kind(Protocol):
    """What the two kinds of directory say differently."""

    def by_login(self, session: Session, login: str, *, any_class: bool = False) -> Row | None: ...
    def by_id(self, session: Session, wanted: uuid.UUID) -> Row | None: ...
    def by_identity(self, session: Session, identity: str) -> Row | None: ...
    def entry(self, session: Session, row: Row, *, with_groups: bool = True) -> Entry: ...
    def people(self, session: Session, text: str, *, most: int) -> list[Entry]: ...
    def groups(self, session: Session, text: str, *, most: int) -> list[Group]: ...
    def group_row(self, session: Session, group_id: str) -> Row | None: ...
    def counted(self, session: Session, row: Row) -> Group: ...
    def is_there(self, session: Session) -> bool: ...
    def lockouts(self, session: Session) -> tuple[tuple[str, Lockout | None], ...]: ...
    def state_despite_success(self, bound: Bound) -> AccountState | None: ...
    def why_not(self, bound: Bound, fresh: Callable[[], Entry | None]) -> tuple[AccountState, str]: ...
    def add(self, session: Session, *, login: str, name: str, email: str, password: str) -> str: ...
    def set_enabled(self, session: Session, row: Row, *, enabled: bool) -> None: ...
    def set_password(self, session: Session, row: Row, password: str) -> None: ...


# userAccountControl and msDS-User-Account-Control-Computed (MS-ADTS 2.2.16).
UAC_DISABLED, UAC_LOCKED, UAC_NORMAL, UAC_NEVER_EXPIRES, UAC_PASSWORD_EXPIRED = (
    0x2,
    0x10,
    0x200,
    0x10000,
    0x800000,
)
NEVER = (0, 0x7FFFFFFFFFFFFFFF)
# After how many wrong passwords, in which time: of the domain's head, and of settings for some (MS-ADA1, MS-ADA2).
DOMAIN_LIMIT = ("lockoutThreshold", "lockOutObservationWindow")
SETTINGS_LIMIT = ("msDS-LockoutThreshold", "msDS-LockoutObservationWindow")
IS_SID = re.compile(r"S-1-\d{1,15}(-\d{1,10}){1,15}")
IS_SETTINGS = "(objectClass=msDS-PasswordSettings)"
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
# What stands after "data" in the answer to a bind (Win32 error codes, hexadecimal).
SUB_CODES = {
    "525": AccountState.OK,
    "52e": AccountState.OK,
    "530": AccountState.OUTSIDE_HOURS,
    "531": AccountState.OUTSIDE_HOURS,
    "532": AccountState.PASSWORD_EXPIRED,
    "533": AccountState.DISABLED,
    "701": AccountState.EXPIRED,
    "773": AccountState.MUST_CHANGE,
    "775": AccountState.LOCKED,
}


class ActiveDirectory:
    """Microsoft's words (MS-ADTS), as Windows and Samba speak them."""

    PERSON = (
        "objectGUID", "sAMAccountName", "displayName", "cn", "mail", "userAccountControl", "accountExpires",
        "pwdLastSet", "logonHours", "msDS-User-Account-Control-Computed", "badPwdCount", "badPasswordTime",
    )  # fmt: skip
    GROUP = ("objectSid", "sAMAccountName", "cn")
    IS_PERSON = "(objectCategory=person)(objectClass=user)"
    # Only security groups stand in tokenGroups, so only they can carry a role (bit 0x80000000 of groupType).
    IS_GROUP = "(objectCategory=group)(groupType:1.2.840.113556.1.4.803:=2147483648)"

    def __init__(
        self, config: LdapConfig, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:  # fmt: skip
        self._config, self._clock, self._now = config, clock, now
        self._short_name = ""
        self._lockouts: dict[str, tuple[Lockout | None, float]] = {}

    def by_login(self, session: Session, login: str, *, any_class: bool = False) -> Row | None:
        if (spelled := self._spelled(session, login)) is None:
            return None
        # sAMAccountName is one name space for people, groups and computers.
        kind = "" if any_class else self.IS_PERSON
        return session.only(self._base, f"(&{kind}{spelled})", self.PERSON)

    def by_id(self, session: Session, wanted: uuid.UUID) -> Row | None:
        guid = escape_bytes(wanted.bytes_le)
        return session.only(self._base, f"(&{self.IS_PERSON}(objectGUID={guid}))", self.PERSON)

    def by_identity(self, session: Session, identity: str) -> Row | None:
        if IS_SID.fullmatch(identity):
            return session.only(self._base, f"(&{self.IS_PERSON}(objectSid={identity}))", self.PERSON)
        # Entra's immutable id, and ADFS where it passes on objectGUID: its sixteen bytes in base64.
        wanted = _uuid(identity) or _uuid_in_base64(identity)
        return self.by_id(session, wanted) if wanted else None

    def entry(self, session: Session, row: Row, *, with_groups: bool = True) -> Entry:
        groups, own_rules = self._computed(session, row.dn) if with_groups else (frozenset(), "")
        lockout = self._lockout(session, own_rules)
        return Entry(
            id=_id_of(row, "objectGUID"),
            login=row.text("sAMAccountName"),
            name=row.text("displayName", "cn"),
            email=row.text("mail"),
            dn=row.dn,
            state=self._state(row),
            groups=groups,
            password_set_at=_from_filetime(row.number("pwdLastSet")),
            lockout=lockout,
            wrong_tries=self._wrong_tries(row, lockout),
        )

    def people(self, session: Session, text: str, *, most: int) -> list[Entry]:
        wanted = f"(&{self.IS_PERSON}{_words(text, ('sAMAccountName', 'displayName', 'sn', 'cn', 'mail'))})"
        rows = session.search(self._base, wanted, self.PERSON, most=most)
        return [self.entry(session, row, with_groups=False) for row in rows]

    def groups(self, session: Session, text: str, *, most: int) -> list[Group]:
        wanted = f"(&{self.IS_GROUP}{_words(text, ('sAMAccountName', 'cn', 'description'))})"
        return [
            _group(_sid(row), row) for row in session.search(self._groups_base, wanted, self.GROUP, most=most)
        ]

    def group_row(self, session: Session, group_id: str) -> Row | None:
        if not IS_SID.fullmatch(group_id):
            return None
        return session.only(self._groups_base, f"(&(objectCategory=group)(objectSid={group_id}))", self.GROUP)

    def counted(self, session: Session, row: Row) -> Group:
        members = session.search(
            self._base, f"(memberOf={escape_filter_chars(row.dn)})", ("cn",), most=MOST_COUNTED
        )
        return _group(_sid(row), row, members=len(members))

    def is_there(self, session: Session) -> bool:
        return session.only(self._config.base_dn, "(objectClass=*)", ("objectClass",), scope=BASE) is not None

    def lockouts(self, session: Session) -> tuple[tuple[str, Lockout | None], ...]:
        settings = session.search(
            f"CN=Password Settings Container,CN=System,{self._root}", IS_SETTINGS, ("cn",)
        )
        # Some whose name alone is known, from the people whom they are for.
        met = [
            dn
            for dn, (_, read_s) in list(self._lockouts.items())  # other threads add to it meanwhile
            if dn and self._clock() - read_s < POLICY_KEPT_S
        ]
        own = sorted({row.dn for row in settings} | set(met))
        return tuple((_name(dn), self._lockout(session, dn)) for dn in ("", *own))

    def state_despite_success(self, bound: Bound) -> AccountState | None:
        return None

    def why_not(self, bound: Bound, fresh: Callable[[], Entry | None]) -> tuple[AccountState, str]:
        said = re.search(r"data ([0-9a-f]{3,4})\b", bound.message)
        return (
            (SUB_CODES.get(said[1], AccountState.OK), f"data {said[1]}") if said else (AccountState.OK, "49")
        )

    def add(self, session: Session, *, login: str, name: str, email: str, password: str) -> str:
        dn = f"CN={escape_rdn(login)},{self._config.users_dn or self._config.base_dn}"
        values: dict[str, object] = {
            "sAMAccountName": login,
            "userPrincipalName": f"{login}@{_domain(self._config)}",
            "displayName": name,
            "sn": name.split()[-1],
            "unicodePwd": _quoted(password),
            "userAccountControl": UAC_NORMAL,
        }
        classes = ("top", "person", "organizationalPerson", "user")
        session.add(dn, classes, values | ({"mail": email} if email else {}), taken=TAKEN.format(login=login))
        return dn

    def set_enabled(self, session: Session, row: Row, *, enabled: bool) -> None:
        control = row.number("userAccountControl")
        control = control & ~UAC_DISABLED if enabled else control | UAC_DISABLED
        session.replace(row.dn, {"userAccountControl": [str(control)]})

    def set_password(self, session: Session, row: Row, password: str) -> None:
        session.replace(row.dn, {"unicodePwd": [_quoted(password)]})

    @property
    def _base(self) -> str:
        return self._config.base_dn

    @property
    def _groups_base(self) -> str:
        return self._config.groups_dn or self._config.base_dn

    def _spelled(self, session: Session, login: str) -> str | None:
        if "\\" in login:
            domain, name = login.split("\\", 1)
            known = {self._netbios(session).casefold(), _domain(self._config).casefold()}
            return f"(sAMAccountName={escape_filter_chars(name)})" if domain.casefold() in known else None
        spelled = escape_filter_chars(login)
        if "@" not in login:
            return f"(sAMAccountName={spelled})"
        name, domain = login.rsplit("@", 1)
        if domain.casefold() != _domain(self._config).casefold():
            return f"(userPrincipalName={spelled})"
        # Everybody has name@domain, also where no userPrincipalName is written (MS-ADTS 5.1.1.1.1).
        return f"(|(userPrincipalName={spelled})(sAMAccountName={escape_filter_chars(name)}))"

    def _netbios(self, session: Session) -> str:
        if not self._short_name:
            there = session.only("", "(objectClass=*)", ("configurationNamingContext",), scope=BASE)
            partitions = f"CN=Partitions,{there.text('configurationNamingContext') if there else ''}"
            wanted = f"(&(objectClass=crossRef)(nCName={escape_filter_chars(self._root)}))"
            row = session.only(partitions, wanted, ("nETBIOSName",))
            self._short_name = row.text("nETBIOSName") if row else ""
        return self._short_name or _domain(self._config).split(".")[0]

    def _computed(self, session: Session, dn: str) -> tuple[frozenset[str], str]:
        """The groups by SID, and the DN of the password settings of their own."""
        # Computed by the server, nested ones included, and only for one entry at a time (MS-ADTS 3.1.1.4.5.19).
        row = session.only(dn, "(objectClass=*)", ("tokenGroups", "msDS-ResultantPSO"), scope=BASE)
        if row is None:
            return frozenset(), ""
        return frozenset(str(format_sid(sid)) for sid in row.values.get("tokengroups", [])), row.dn_in(
            "msDS-ResultantPSO"
        )

    def _lockout(self, session: Session, own: str) -> Lockout | None:
        """The limit of these password settings, or, for whoever has none of their own, of the domain's head."""
        now_s = self._clock()
        known, read_s = self._lockouts.get(own, (None, -POLICY_KEPT_S))
        if now_s - read_s < POLICY_KEPT_S:
            return known
        most, window = SETTINGS_LIMIT if own else DOMAIN_LIMIT
        try:
            row = session.only(own or self._root, "(objectClass=*)", (most, window), scope=BASE)
        except Turned:
            row = None  # Not being shown a limit is no reason to let nobody in.
        # Negative intervals of 100 ns.
        length = timedelta(microseconds=-row.number(window) // 10) if row else timedelta(0)
        found = (
            Lockout(row.number(most), length if length < LONGEST_WINDOW else None)
            if row and row.first(most)
            else None
        )
        self._lockouts[own] = (found, now_s)
        return found

    def _wrong_tries(self, row: Row, lockout: Lockout | None) -> int | None:
        """What this controller counts: each has a count of its own, and the one with the PDC role hears of all."""
        if row.first("badPwdCount") is None:
            return None
        last = _from_filetime(row.number("badPasswordTime"))
        if lockout and lockout.window is not None and last and last + lockout.window < self._now():
            return 0
        return row.number("badPwdCount")

    @property
    def _root(self) -> str:
        """The head of the domain, below which people may be searched in one folder alone."""
        return ",".join(part for part in _rdns(self._config.base_dn) if part.upper().startswith("DC="))

    def _state(self, row: Row) -> AccountState:
        control, computed = row.number("userAccountControl"), row.number("msDS-User-Account-Control-Computed")
        expires, now = row.number("accountExpires"), self._now()
        if control & UAC_DISABLED:
            return AccountState.DISABLED
        if computed & UAC_LOCKED:
            return AccountState.LOCKED
        if expires not in NEVER and expires <= _to_filetime(now):
            return AccountState.EXPIRED
        if not _within_hours(row.first("logonHours"), now):
            return AccountState.OUTSIDE_HOURS
        if row.number("pwdLastSet") == 0 and not control & UAC_NEVER_EXPIRES:
            return AccountState.MUST_CHANGE
        if computed & UAC_PASSWORD_EXPIRED:
            return AccountState.PASSWORD_EXPIRED
        return AccountState.OK


@dataclass(frozen=True)
class _Policy:
    """What of a pwdPolicy decides how an account stands; zero means for ever."""

    lockout_s: int
    max_age_s: int
    lockout: Lockout | None = None
    name: str = ""


# "Locked until an administrator says otherwise" (draft-behera-ldap-password-policy-10, 5.3.3).
LOCKED_FOR_GOOD = "000001010000Z"


class OpenLdap:
    """OpenLDAP's words: inetOrgPerson (RFC 2798), groupOfNames (RFC 4519), the ppolicy overlay."""

    PERSON = (
        "entryUUID", "uid", "displayName", "cn", "mail", "pwdAccountLockedTime", "pwdReset", "pwdChangedTime",
        "pwdStartTime", "pwdEndTime", "pwdPolicySubentry", "pwdFailureTime",
    )  # fmt: skip
    GROUP = ("entryUUID", "cn")
    POLICY = ("pwdLockoutDuration", "pwdMaxAge", "pwdLockout", "pwdMaxFailure", "pwdFailureCountInterval")
    IS_PERSON = "(objectClass=person)(uid=*)"
    IS_GROUP = "(objectClass=groupOfNames)"

    def __init__(
        self, config: LdapConfig, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:  # fmt: skip
        self._config, self._clock, self._now = config, clock, now
        self._policies: dict[str, _Policy] = {}
        self._policies_read_s: float | None = None
        self._hides_tries = False

    def by_login(self, session: Session, login: str, *, any_class: bool = False) -> Row | None:
        domain = _domain(self._config).casefold()
        if "\\" in login:
            said, name = login.split("\\", 1)
            if said.casefold() not in (domain, domain.split(".")[0]):
                return None
        elif "@" in login:
            name, said = login.rsplit("@", 1)
            if said.casefold() != domain:
                return None
        else:
            name = login
        kind = "" if any_class else self.IS_PERSON
        return session.only(self._config.base_dn, f"(&{kind}(uid={escape_filter_chars(name)}))", self.PERSON)

    def by_id(self, session: Session, wanted: uuid.UUID) -> Row | None:
        return session.only(self._config.base_dn, f"(&{self.IS_PERSON}(entryUUID={wanted}))", self.PERSON)

    def by_identity(self, session: Session, identity: str) -> Row | None:
        wanted = _uuid(identity)
        return self.by_id(session, wanted) if wanted else None

    def entry(self, session: Session, row: Row, *, with_groups: bool = True) -> Entry:
        lockout = self._policy_of(session, row).lockout
        return Entry(
            id=_id_of(row, "entryUUID"),
            login=row.text("uid"),
            name=row.text("displayName", "cn"),
            email=row.text("mail"),
            dn=row.dn,
            state=self._state(session, row),
            groups=self._groups_of(session, row.dn) if with_groups else frozenset(),
            password_set_at=_from_generalized(row.text("pwdChangedTime")),
            lockout=lockout,
            wrong_tries=self._wrong_tries(row, lockout),
        )

    def people(self, session: Session, text: str, *, most: int) -> list[Entry]:
        wanted = f"(&{self.IS_PERSON}{_words(text, ('uid', 'displayName', 'sn', 'cn', 'mail'))})"
        rows = session.search(self._config.base_dn, wanted, self.PERSON, most=most)
        return [self.entry(session, row, with_groups=False) for row in rows]

    def groups(self, session: Session, text: str, *, most: int) -> list[Group]:
        wanted = f"(&{self.IS_GROUP}{_words(text, ('cn', 'description'))})"
        rows = session.search(self._groups_base, wanted, self.GROUP, most=most)
        return [_group(row.text("entryUUID"), row) for row in rows]

    def group_row(self, session: Session, group_id: str) -> Row | None:
        wanted = _uuid(group_id)
        if wanted is None:
            return None
        return session.only(self._groups_base, f"(&{self.IS_GROUP}(entryUUID={wanted}))", self.GROUP)

    def counted(self, session: Session, row: Row) -> Group:
        whole = session.only(row.dn, "(objectClass=*)", ("member",), scope=BASE)
        return _group(
            row.text("entryUUID"), row, members=len(whole.values.get("member", [])) if whole else None
        )

    def is_there(self, session: Session) -> bool:
        return session.only(self._config.base_dn, "(objectClass=*)", ("objectClass",), scope=BASE) is not None

    def lockouts(self, session: Session) -> tuple[tuple[str, Lockout | None], ...]:
        policies = self._read_policies(session)
        named = sorted((policy.name, policy.lockout) for policy in policies.values())
        return (("", self._default().lockout), *(named if len(named) > 1 else ()))

    def state_despite_success(self, bound: Bound) -> AccountState | None:
        return PASSWORD_POLICY_ERRORS.get(bound.policy_error if bound.policy_error is not None else -1)

    def why_not(self, bound: Bound, fresh: Callable[[], Entry | None]) -> tuple[AccountState, str]:
        if bound.policy_error is not None and bound.policy_error in PASSWORD_POLICY_ERRORS:
            state = PASSWORD_POLICY_ERRORS[bound.policy_error]
            if state is not AccountState.LOCKED:
                return state, f"49, policy error {bound.policy_error}"
        # The server says 49 to everything; the entry tells whether it would have said so to the right password too.
        now = fresh()
        if now and now.state is AccountState.OK and now.lockout and now.lockout.most and not now.wrong_tries:
            # It counted this one a moment ago, and we do not see it.
            self._hides_tries = True
        if now and now.state in (AccountState.LOCKED, AccountState.DISABLED, AccountState.EXPIRED):
            return now.state, f"49, {now.state}"
        return AccountState.OK, "49"

    def add(self, session: Session, *, login: str, name: str, email: str, password: str) -> str:
        dn = f"uid={escape_rdn(login)},{self._config.users_dn or self._config.base_dn}"
        values: dict[str, object] = {
            "uid": login,
            "cn": name,
            "displayName": name,
            "sn": name.split()[-1],
            "userPassword": password,
        }
        classes = ("top", "person", "organizationalPerson", "inetOrgPerson")
        session.add(dn, classes, values | ({"mail": email} if email else {}), taken=TAKEN.format(login=login))
        return dn

    def set_enabled(self, session: Session, row: Row, *, enabled: bool) -> None:
        session.replace(row.dn, {"pwdAccountLockedTime": [] if enabled else [LOCKED_FOR_GOOD]})

    def set_password(self, session: Session, row: Row, password: str) -> None:
        session.replace(row.dn, {"userPassword": [password]})
        # The overlay asks for yet another password after one that somebody else set (pwdMustChange). Ours was
        # chosen by the person, through a link.
        session.replace(row.dn, {"pwdReset": []})

    @property
    def _groups_base(self) -> str:
        return self._config.groups_dn or self._config.base_dn

    def _groups_of(self, session: Session, dn: str) -> frozenset[str]:
        """Every group that holds it, through others too: breadth first, each asked once, so that circles end."""
        seen: dict[str, str] = {}
        front = [dn]
        while front:
            found: list[Row] = []
            for start in range(0, len(front), DNS_PER_QUESTION):
                held = "".join(
                    f"(member={escape_filter_chars(one)})" for one in front[start : start + DNS_PER_QUESTION]
                )
                found += session.search(self._groups_base, f"(&{self.IS_GROUP}(|{held}))", self.GROUP)
            new = {row.dn.casefold(): row for row in found if row.dn.casefold() not in seen}
            seen |= {name: row.text("entryUUID") for name, row in new.items()}
            front = [row.dn for row in new.values()]
        return frozenset(seen.values())

    def _state(self, session: Session, row: Row) -> AccountState:
        policy, now = self._policy_of(session, row), self._now()
        locked, changed_at = row.text("pwdAccountLockedTime"), _from_generalized(row.text("pwdChangedTime"))
        if locked == LOCKED_FOR_GOOD:
            return AccountState.DISABLED
        locked_at = _from_generalized(locked)
        if locked_at and (not policy.lockout_s or now < locked_at + timedelta(seconds=policy.lockout_s)):
            return AccountState.LOCKED
        ends_at, begins_at = (_from_generalized(row.text(name)) for name in ("pwdEndTime", "pwdStartTime"))
        if (ends_at and ends_at <= now) or (begins_at and begins_at > now):
            return AccountState.EXPIRED
        if row.text("pwdReset").upper() == "TRUE":
            return AccountState.MUST_CHANGE
        if changed_at and policy.max_age_s and changed_at + timedelta(seconds=policy.max_age_s) <= now:
            return AccountState.PASSWORD_EXPIRED
        return AccountState.OK

    def _wrong_tries(self, row: Row, lockout: Lockout | None) -> int | None:
        if self._hides_tries:
            return None
        failed_at = [
            _from_generalized(one.decode("ascii", "replace")) for one in row.values.get("pwdfailuretime", [])
        ]
        if lockout is None or lockout.window is None:
            return len(failed_at)
        since = self._now() - lockout.window
        return sum(one is None or one >= since for one in failed_at)

    def _policy_of(self, session: Session, row: Row) -> _Policy:
        policies = self._read_policies(session)
        return policies.get(row.text("pwdPolicySubentry").casefold()) or self._default()

    def _default(self) -> _Policy:
        """For whoever has none of their own. It is named in the server's own configuration, which a reader does not see."""
        if len(self._policies) == 1:
            return next(iter(self._policies.values()))
        # One of them it is: the strictest is never too lenient.
        return _Policy(0, 0, _strictest(policy.lockout for policy in self._policies.values()))

    def _read_policies(self, session: Session) -> dict[str, _Policy]:
        now_s = self._clock()
        if self._policies_read_s is None or now_s - self._policies_read_s > POLICY_KEPT_S:
            rows = session.search(self._config.base_dn, "(objectClass=pwdPolicy)", self.POLICY)
            self._policies = {
                found.dn.casefold(): _Policy(
                    found.number("pwdLockoutDuration"),
                    found.number("pwdMaxAge"),
                    _ppolicy_lockout(found),
                    _name(found.dn),
                )
                for found in rows
            }
            self._policies_read_s = now_s
        return self._policies


# PasswordPolicyResponseValue of draft-behera-ldap-password-policy-10, 6.2; the others speak of changes.
PASSWORD_POLICY_ERRORS = {
    0: AccountState.PASSWORD_EXPIRED,
    1: AccountState.LOCKED,
    2: AccountState.MUST_CHANGE,
}
KINDS: dict[str, Callable[[LdapConfig, Callable[[], float], Callable[[], datetime]], _Kind]] = {
    "ad": ActiveDirectory,
    "openldap": OpenLdap,
}


def _would_lock(lockout: Lockout | None, wrong_tries: int | None, *, spare: int) -> bool:
    """True when one more wrong password would leave less than `spare` before the one that locks.

    Where the first one locks already nobody could come in: there it is passed on, and the pages warn.
    """
    if lockout is None or not lockout.most or not wrong_tries:
        return False
    return wrong_tries + 1 >= lockout.most - spare


def _ppolicy_lockout(row: Row) -> Lockout:
    """draft-behera-ldap-password-policy-10, 5.2.10 to 5.2.12: a count interval of 0 forgets only after a success."""
    most = row.number("pwdMaxFailure") if row.text("pwdLockout").upper() == "TRUE" else 0
    window_s = row.number("pwdFailureCountInterval")
    return Lockout(most, timedelta(seconds=window_s) if window_s else None)


def _strictest(lockouts: Iterable[Lockout | None]) -> Lockout | None:
    locking = [one for one in lockouts if one is not None and one.most]
    windows = [one.window for one in locking]
    window = None if None in windows else max((w for w in windows if w is not None), default=None)
    return Lockout(min(one.most for one in locking), window) if locking else None


def _askable(text: str | None, *, blank: str = "") -> str | None:
    """What may be put into a question, trimmed; None for what no name of a directory can be."""
    if not isinstance(text, str) or len(text) > LONGEST_LOGIN or not text.isprintable():
        return None
    return text.strip() if text.strip() or blank else None


def _words(text: str, attributes: tuple[str, ...]) -> str:
    """A filter: one of the attributes has a word that begins with the text. Nothing typed is a wildcard."""
    if not text:
        return ""
    typed = escape_filter_chars(text)
    return (
        "(|"
        + "".join(f"({name}={typed}*)({name}=* {typed}*)({name}=*-{typed}*)" for name in attributes)
        + ")"
    )


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if isinstance(text, str) and len(text) <= 40 else None
    except ValueError:
        return None


def _id_of(row: Row, attribute: str) -> str:
    """The id that stays when names change. Raises Turned where our account is not shown it."""
    value = row.first(attribute) or b""
    found = (
        uuid.UUID(bytes_le=value)
        if attribute == "objectGUID" and len(value) == 16
        else _uuid(value.decode("ascii", "replace"))
    )
    if found is None:
        raise Turned(f"The directory does not show our account the {attribute} of {row.dn[:100]}.")
    return str(found)


def _uuid_in_base64(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(bytes_le=base64.b64decode(text, validate=True))
    except ValueError:
        return None


def _sid(row: Row) -> str:
    return str(format_sid(row.first("objectSid")))


def _group(group_id: str, row: Row, *, members: int | None = None) -> Group:
    return Group(group_id, row.text("cn", "sAMAccountName"), _path(row.dn), members)


def _path(dn: str) -> str:
    """Where an entry lies, from the domain down, as Active Directory's canonicalName has it."""
    parts = parse_dn(dn)[1:]
    domain = ".".join(value for kind, value, _ in parts if kind.upper() == "DC")
    return "/".join([domain, *reversed([value for kind, value, _ in parts if kind.upper() != "DC"])])


def _rdns(dn: str) -> list[str]:
    return [f"{kind}={value}" for kind, value, _ in parse_dn(dn)]


def _name(dn: str) -> str:
    return parse_dn(dn)[0][1] if dn else ""


def _domain(config: LdapConfig) -> str:
    return config.domain or ".".join(
        part[3:] for part in _rdns(config.base_dn) if part.upper().startswith("DC=")
    )


def _quoted(password: str) -> bytes:
    return f'"{password}"'.encode("utf-16-le")


def _refuse_password(password: str) -> None:
    if not can_be_sent(password, most=LONGEST_PASSWORD):
        raise Refused(f"A password has 1 to {LONGEST_PASSWORD} characters.")


def _from_filetime(ticks: int) -> datetime | None:
    return EPOCH + timedelta(microseconds=ticks // 10) if ticks > 0 and ticks not in NEVER else None


def _to_filetime(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 10


def _from_generalized(text: str) -> datetime | None:
    # RFC 4517, 3.3.13; OpenLDAP writes whole seconds in UTC, with a fraction or without.
    found = re.fullmatch(r"(\d{14})(?:[.,]\d+)?Z", text)
    if not found or found[1].startswith("0000"):
        return None
    return datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _within_hours(hours: bytes | None, now: datetime) -> bool:
    """logonHours: a bit for each hour of the week, from Sunday midnight UTC, lowest first (MS-ADSC 2.381)."""
    if hours is None or len(hours) != 21:
        return True
    hour = (now.isoweekday() % 7) * 24 + now.hour
    return bool(hours[hour // 8] >> hour % 8 & 1)
