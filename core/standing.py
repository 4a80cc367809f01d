"""How an account stands, and which admins can sign in: one always must, and all hear of a new one.

For sibling verbs inside their own gate.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import String, cast, select

from core.alerts import raise_alert
from core.errors import Refused
from core.rules.logins import fold_login
from core.rules.person_texts import former_logins
from core.rules.roles import Role
from core.store.model import ChangeRequest, Person
from core.store.work import Work

_SAID_YES = timedelta(days=30)
_RESETS = ("reset-password", "reset-factor")


def standing_of(work: Work, p: Any) -> str:
    """active, waits (for its slip: at first, or after a reset), shut (out), closed (its time is over)."""
    if not p.is_active:
        return "shut"
    if p.closes_at is not None and p.closes_at <= work.now():
        return "closed"
    needs_slip = (
        p.slip_sets_password or p.totp_box is None or (p.directory == "local" and not p.password_hash)
    )
    return "waits" if needs_slip else "active"


def admins_who_can(work: Work, *, lock: bool = True) -> list[Person]:
    """The admins who can sign in now: the sealed account, and who waits for a slip, are of no help.

    Of the directory's people only those of whom it said yes lately (core.sessions.recheck).
    """
    # The words of the list, so that the few admins are read and not everybody: a list of requests asks for each of them.
    named = cast(Person.roles, String).contains(f'"{Role.ADMIN}"')
    query = select(Person).where(Person.is_active, named).order_by(Person.id)
    if lock:
        # All are locked, in one order: two admins who demote each other at the same moment must not both succeed.
        query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    active = work.db.scalars(query)
    admins = [
        p
        for p in active
        if Role.ADMIN in p.roles and not p.is_break_glass and standing_of(work, p) == "active"
    ]
    doubtful = _doubtful(work, [p for p in admins if p.directory == "directory"])
    return [p for p in admins if p.id not in doubtful]


def _doubtful(work: Work, admins: list[Person]) -> set[UUID]:
    """Whose word is the directory's, which may say no by now: not asked for long, or told since to shut them out."""
    long_ago = work.now() - _SAID_YES
    checked_at = {p.id: p.checked_at for p in admins if p.checked_at is not None and p.checked_at > long_ago}
    found = {p.id for p in admins} - set(checked_at)
    if not checked_at:
        return found
    query = select(ChangeRequest).where(
        ChangeRequest.person_id.in_(list(checked_at)),
        ChangeRequest.kind.in_(("directory-account", "directory-groups")),
        ChangeRequest.state.in_(("carrying", "done")),
    )
    for row in work.db.scalars(query):
        # Leaving any group counts until the directory was asked again: which of them gives what may change meanwhile.
        takes = row.payload.get("enabled") is False or bool(row.payload.get("remove"))
        person_id, decided_at = row.person_id, row.decided_at
        if (
            takes
            and person_id
            and decided_at
            and (row.state == "carrying" or decided_at >= checked_at[person_id])
        ):
            found.add(person_id)
    return found


def keep_an_admin(work: Work, *leaving: Person) -> None:
    """Refuse what would leave the practice without an admin who can sign in."""
    lost = {p.id for p in leaving if Role.ADMIN in p.roles}
    if not lost:
        return
    admins = {p.id for p in admins_who_can(work)}
    if admins and admins <= lost:
        raise Refused("This is the last admin who can sign in. Let another one sign in first.")


def asked_for_by_me(work: Work, *people: Person) -> frozenset[UUID]:
    """Of these, the admins whose accounts the actor asked for, while another admin could make their slips.

    Else one admin could hold the second one's slip, and approve with it whatever they ask for. The same holds for an
    account whose password and second factor were both reset: its slip opens it alone, as a new one's does.
    """
    me, admins = work.actor.person, [p for p in people if Role.ADMIN in p.roles]
    others = {p.id for p in admins_who_can(work, lock=False)} - {me} if admins else set()
    if not others:
        return frozenset()
    kinds = ("add-person", "set-roles", "import", *_RESETS)
    asked = list(
        work.db.scalars(
            select(ChangeRequest).where(
                ChangeRequest.asked_by == me, ChangeRequest.state == "done", ChangeRequest.kind.in_(kinds)
            )
        )
    )
    wanted = {
        whom
        for row in asked
        for item in row.payload.get("rows", [row.payload])
        if Role.ADMIN in item.get("roles", ())
        for whom in (row.person_id, fold_login(item.get("login", "")))
    }
    reset = {row.person_id for row in asked if row.kind in _RESETS}
    wanted |= {p.id for p in admins if p.id in reset and _has_neither_half(p)}
    # A sheet knows its people by their logins, and somebody may have been given another one since.
    return frozenset(
        p.id for p in admins if others - {p.id} and wanted & {p.id, p.login, *former_logins(p.former_names)}
    )


def _has_neither_half(p: Person) -> bool:
    return p.totp_box is None and (p.slip_sets_password or (p.directory == "local" and not p.password_hash))


def tell_of_admin(work: Work, person: Person) -> None:
    """Whoever may approve changes is worth an alert on the day they come to be: all admins know one another.

    For whoever makes an account, and for whoever gives one roles (core.people.set_roles).
    """
    if Role.ADMIN in person.roles:
        raise_alert(work, "alone", f"There is a new admin: {person.name} ({person.login}).", about=person.id)
