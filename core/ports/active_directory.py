"""Active Directory's words (MS-ADTS): attributes, account states, tokenGroups, password settings."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from core.errors import Turned
from core.ports.directory import AccountState, Entry, Group, Lockout
from core.ports.ldap_kind import (
    POLICY_KEPT_S,
    TAKEN,
    LdapConfig,
    domain_of,
    group_of,
    id_of,
    name_of,
    rdns_of,
    uuid_of,
    words_filter,
)
from core.ports.ldap_wire import (
    BASE,
    Bound,
    Row,
    Session,
    escape_bytes,
    escape_filter_chars,
    escape_rdn,
    format_sid,
)

MOST_COUNTED = 5_000
# A directory that keeps wrong passwords for longer than this is taken to forget none.
LONGEST_WINDOW = timedelta(days=365)

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
        "objectGUID",
        "sAMAccountName",
        "displayName",
        "cn",
        "mail",
        "userAccountControl",
        "accountExpires",
        "pwdLastSet",
        "logonHours",
        "msDS-User-Account-Control-Computed",
        "badPwdCount",
        "badPasswordTime",
    )
    GROUP = ("objectSid", "sAMAccountName", "cn")
    IS_PERSON = "(objectCategory=person)(objectClass=user)"
    # Only security groups stand in tokenGroups, so only they can carry a role (bit 0x80000000 of groupType).
    IS_GROUP = "(objectCategory=group)(groupType:1.2.840.113556.1.4.803:=2147483648)"

    def __init__(self, config: LdapConfig, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
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
        wanted = uuid_of(identity) or _uuid_in_base64(identity)
        return self.by_id(session, wanted) if wanted else None

    def entry(self, session: Session, row: Row, *, with_groups: bool = True) -> Entry:
        groups, own_rules = self._computed(session, row.dn) if with_groups else (frozenset(), "")
        lockout = self._lockout(session, own_rules)
        return Entry(
            id=id_of(row, "objectGUID"),
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
        wanted = (
            f"(&{self.IS_PERSON}{words_filter(text, ('sAMAccountName', 'displayName', 'sn', 'cn', 'mail'))})"
        )
        rows = session.search(self._base, wanted, self.PERSON, most=most)
        return [self.entry(session, row, with_groups=False) for row in rows]

    def groups(self, session: Session, text: str, *, most: int) -> list[Group]:
        wanted = f"(&{self.IS_GROUP}{words_filter(text, ('sAMAccountName', 'cn', 'description'))})"
        return [
            group_of(_sid(row), row)
            for row in session.search(self._groups_base, wanted, self.GROUP, most=most)
        ]

    def group_row(self, session: Session, group_id: str) -> Row | None:
        if not IS_SID.fullmatch(group_id):
            return None
        return session.only(self._groups_base, f"(&(objectCategory=group)(objectSid={group_id}))", self.GROUP)

    def counted(self, session: Session, row: Row) -> Group:
        members = session.search(
            self._base, f"(memberOf={escape_filter_chars(row.dn)})", ("cn",), most=MOST_COUNTED
        )
        return group_of(_sid(row), row, members=len(members))

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
        return tuple((name_of(dn), self._lockout(session, dn)) for dn in ("", *own))

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
            "userPrincipalName": f"{login}@{domain_of(self._config)}",
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
            known = {self._netbios(session).casefold(), domain_of(self._config).casefold()}
            return f"(sAMAccountName={escape_filter_chars(name)})" if domain.casefold() in known else None
        spelled = escape_filter_chars(login)
        if "@" not in login:
            return f"(sAMAccountName={spelled})"
        name, domain = login.rsplit("@", 1)
        if domain.casefold() != domain_of(self._config).casefold():
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
        return self._short_name or domain_of(self._config).split(".")[0]

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
        return ",".join(part for part in rdns_of(self._config.base_dn) if part.upper().startswith("DC="))

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


def _uuid_in_base64(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(bytes_le=base64.b64decode(text, validate=True))
    except ValueError:
        return None


def _sid(row: Row) -> str:
    return str(format_sid(row.first("objectSid")))


def _quoted(password: str) -> bytes:
    return f'"{password}"'.encode("utf-16-le")


def _from_filetime(ticks: int) -> datetime | None:
    return EPOCH + timedelta(microseconds=ticks // 10) if ticks > 0 and ticks not in NEVER else None


def _to_filetime(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 10


def _within_hours(hours: bytes | None, now: datetime) -> bool:
    """logonHours: a bit for each hour of the week, from Sunday midnight UTC, lowest first (MS-ADSC 2.381)."""
    if hours is None or len(hours) != 21:
        return True
    hour = (now.isoweekday() % 7) * 24 + now.hour
    return bool(hours[hour // 8] >> hour % 8 & 1)
