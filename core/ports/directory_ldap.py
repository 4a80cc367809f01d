"""Active Directory and OpenLDAP as one Directory: what an account is called, how it stands, which groups hold it.

The two differ in words, not in manners; each has a file of its own with the same methods (ldap_kind.Kind), and
ldap_wire.py does the speaking. Identity is objectGUID or entryUUID, and roles hang on group SIDs or entryUUIDs: names may change.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from core.errors import Away, Missing, Outside, Refused, Unfit
from core.ports.active_directory import ActiveDirectory
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
from core.ports.ldap_kind import TAKEN, Kind, LdapConfig, uuid_of
from core.ports.ldap_wire import (
    BASE,
    CLEAR_TEXT_PORTS,
    INVALID_CREDENTIALS,
    LONGEST_USER,
    NO_SUCH,
    SUCCESS,
    TOTAL_S,
    Row,
    Session,
    Wire,
    can_be_sent,
    escape_filter_chars,
    log,
    strict_context,
)
from core.ports.openldap import OpenLdap

TURNS = 64


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
        self.kind, self._base_dn = config.kind, config.base_dn
        self.writes = config.writer is not None
        self._kind: Kind = KINDS[config.kind](config, clock, now)
        self._wire = Wire(
            config.servers,
            context=strict_context(config.ca_file),
            reader=config.reader,
            writer=config.writer,
            clock=clock,
        )
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
        wanted = uuid_of(entry_id)
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
        wanted = uuid_of(entry_id)
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
        def is_there(session: Session) -> bool:
            head = session.only(self._base_dn, "(objectClass=*)", ("objectClass",), scope=BASE)
            return head is not None

        try:
            return self._wire.asking(is_there)
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
        wanted = uuid_of(entry_id)

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


KINDS: dict[str, Callable[[LdapConfig, Callable[[], float], Callable[[], datetime]], Kind]] = {
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


def _askable(text: str | None, *, blank: str = "") -> str | None:
    """What may be put into a question, trimmed; None for what no name of a directory can be."""
    if not isinstance(text, str) or len(text) > LONGEST_LOGIN or not text.isprintable():
        return None
    return text.strip() if text.strip() or blank else None


def _refuse_password(password: str) -> None:
    if not can_be_sent(password, most=LONGEST_PASSWORD):
        raise Refused(f"A password has 1 to {LONGEST_PASSWORD} characters.")
