"""What each kind of directory must be able to say, which directory it is, and the words that both have in common."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import Turned
from core.ports.directory import AccountState, Entry, Group, Lockout
from core.ports.ldap_wire import Bound, Credentials, Row, Server, Session, escape_filter_chars, parse_dn

POLICY_KEPT_S = 300.0  # how long what a directory locks after is believed without asking again
TAKEN = "The directory has an account {login} already. Take another login, or search for that person."


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


class Kind(Protocol):
    """What the two kinds of directory say differently."""

    def by_login(self, session: Session, login: str, *, any_class: bool = False) -> Row | None: ...
    def by_id(self, session: Session, wanted: uuid.UUID) -> Row | None: ...
    def by_identity(self, session: Session, identity: str) -> Row | None: ...
    def entry(self, session: Session, row: Row, *, with_groups: bool = True) -> Entry: ...
    def people(self, session: Session, text: str, *, most: int) -> list[Entry]: ...
    def groups(self, session: Session, text: str, *, most: int) -> list[Group]: ...
    def group_row(self, session: Session, group_id: str) -> Row | None: ...
    def counted(self, session: Session, row: Row) -> Group: ...
    def lockouts(self, session: Session) -> tuple[tuple[str, Lockout | None], ...]: ...
    def state_despite_success(self, bound: Bound) -> AccountState | None: ...
    def why_not(self, bound: Bound, fresh: Callable[[], Entry | None]) -> tuple[AccountState, str]: ...
    def add(self, session: Session, *, login: str, name: str, email: str, password: str) -> str: ...
    def set_enabled(self, session: Session, row: Row, *, enabled: bool) -> None: ...
    def set_password(self, session: Session, row: Row, password: str) -> None: ...


def words_filter(text: str, attributes: tuple[str, ...]) -> str:
    """A filter: one of the attributes has a word that begins with the text. Nothing typed is a wildcard."""
    if not text:
        return ""
    typed = escape_filter_chars(text)
    return (
        "(|"
        + "".join(f"({name}={typed}*)({name}=* {typed}*)({name}=*-{typed}*)" for name in attributes)
        + ")"
    )


def uuid_of(text: str) -> uuid.UUID | None:
    """The UUID that is written there; None for anything else."""
    try:
        return uuid.UUID(text) if isinstance(text, str) and len(text) <= 40 else None
    except ValueError:
        return None


def id_of(row: Row, attribute: str) -> str:
    """The id that stays when names change. Raises Turned where our account is not shown it."""
    value = row.first(attribute) or b""
    found = (
        uuid.UUID(bytes_le=value)
        if attribute == "objectGUID" and len(value) == 16
        else uuid_of(value.decode("ascii", "replace"))
    )
    if found is None:
        raise Turned(f"The directory does not show our account the {attribute} of {row.dn[:100]}.")
    return str(found)


def group_of(group_id: str, row: Row, *, members: int | None = None) -> Group:
    """A group as a page shows it. members: how many it holds, where they were counted."""
    return Group(group_id, row.text("cn", "sAMAccountName"), path_of(row.dn), members)


def path_of(dn: str) -> str:
    """Where an entry lies, from the domain down, as Active Directory's canonicalName has it."""
    parts = parse_dn(dn)[1:]
    domain = ".".join(value for kind, value, _ in parts if kind.upper() == "DC")
    return "/".join([domain, *reversed([value for kind, value, _ in parts if kind.upper() != "DC"])])


def rdns_of(dn: str) -> list[str]:
    """The parts of a DN, the nearest first: CN=…, OU=…, DC=…."""
    return [f"{kind}={value}" for kind, value, _ in parse_dn(dn)]


def name_of(dn: str) -> str:
    """The value of a DN's first part; "" for no DN."""
    return parse_dn(dn)[0][1] if dn else ""


def domain_of(config: LdapConfig) -> str:
    """What follows the @ of a login."""
    return config.domain or ".".join(
        part[3:] for part in rdns_of(config.base_dn) if part.upper().startswith("DC=")
    )
