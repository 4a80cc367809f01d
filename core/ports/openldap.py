"""OpenLDAP's words: inetOrgPerson, groupOfNames walked one inside another, and the ppolicy overlay's states."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.ports.directory import AccountState, Entry, Group, Lockout
from core.ports.ldap_kind import (
    POLICY_KEPT_S,
    TAKEN,
    LdapConfig,
    domain_of,
    group_of,
    id_of,
    name_of,
    uuid_of,
    words_filter,
)
from core.ports.ldap_wire import BASE, Bound, Row, Session, escape_filter_chars, escape_rdn

DNS_PER_QUESTION = 50


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
        "entryUUID",
        "uid",
        "displayName",
        "cn",
        "mail",
        "pwdAccountLockedTime",
        "pwdReset",
        "pwdChangedTime",
        "pwdStartTime",
        "pwdEndTime",
        "pwdPolicySubentry",
        "pwdFailureTime",
    )
    GROUP = ("entryUUID", "cn")
    POLICY = ("pwdLockoutDuration", "pwdMaxAge", "pwdLockout", "pwdMaxFailure", "pwdFailureCountInterval")
    IS_PERSON = "(objectClass=person)(uid=*)"
    IS_GROUP = "(objectClass=groupOfNames)"

    def __init__(self, config: LdapConfig, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._config, self._clock, self._now = config, clock, now
        self._policies: dict[str, _Policy] = {}
        self._policies_read_s: float | None = None
        self._hides_tries = False

    def by_login(self, session: Session, login: str, *, any_class: bool = False) -> Row | None:
        domain = domain_of(self._config).casefold()
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
        wanted = uuid_of(identity)
        return self.by_id(session, wanted) if wanted else None

    def entry(self, session: Session, row: Row, *, with_groups: bool = True) -> Entry:
        lockout = self._policy_of(session, row).lockout
        return Entry(
            id=id_of(row, "entryUUID"),
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
        wanted = f"(&{self.IS_PERSON}{words_filter(text, ('uid', 'displayName', 'sn', 'cn', 'mail'))})"
        rows = session.search(self._config.base_dn, wanted, self.PERSON, most=most)
        return [self.entry(session, row, with_groups=False) for row in rows]

    def groups(self, session: Session, text: str, *, most: int) -> list[Group]:
        wanted = f"(&{self.IS_GROUP}{words_filter(text, ('cn', 'description'))})"
        rows = session.search(self._groups_base, wanted, self.GROUP, most=most)
        return [group_of(row.text("entryUUID"), row) for row in rows]

    def group_row(self, session: Session, group_id: str) -> Row | None:
        wanted = uuid_of(group_id)
        if wanted is None:
            return None
        return session.only(self._groups_base, f"(&{self.IS_GROUP}(entryUUID={wanted}))", self.GROUP)

    def counted(self, session: Session, row: Row) -> Group:
        whole = session.only(row.dn, "(objectClass=*)", ("member",), scope=BASE)
        return group_of(
            row.text("entryUUID"), row, members=len(whole.values.get("member", [])) if whole else None
        )

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
                    name_of(found.dn),
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


def _from_generalized(text: str) -> datetime | None:
    # RFC 4517, 3.3.13; OpenLDAP writes whole seconds in UTC, with a fraction or without.
    found = re.fullmatch(r"(\d{14})(?:[.,]\d+)?Z", text)
    if not found or found[1].startswith("0000"):
        return None
    return datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
