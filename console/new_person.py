"""Add a person: the form behind People. What it sends is a request; its owner chooses password and second factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import streamlit as st

from console import accounts, banners, desk, widgets
from core import changes, groups, patients
from core.patients import PatientCard
from core.people import OUTSIDE, SCOPES_OF_STAFF
from core.ports.directory import Entry
from core.rules.names import fold
from core.rules.problems import Problem
from core.rules.roles import STAFF, Role

_STAFF, _FOUND, _MADE, _PATIENT, _DOCTOR = "staff", "found", "made", "patient", "doctor"
_PICKED = "new-person-entry"
_FILE = "new-person-patient"


def draw() -> None:
    """The form, by the kind of account."""
    widgets.title(
        "Add a person",
        "Once it is approved you print a sign-in slip, and they choose their own password.",
    )
    if st.button("Back to people", icon=":material/arrow_back:", type="tertiary"):
        _forget()
        desk.go("people")
    if not accounts.may_manage():
        widgets.empty(
            "Not in this session",
            "You signed in while the directory was away: sign in anew to manage people.",
        )
        return
    accounts.explain_alone()
    kind = st.segmented_control(
        "Who is it?",
        list(_kinds()),
        format_func=_kinds().__getitem__,
        default=next(iter(_kinds())),
        key="new-person-kind",
    )
    forms = {_FOUND: _from_directory, _MADE: _in_directory, _PATIENT: _patient, _DOCTOR: _doctor}
    forms.get(str(kind), _staff)()


def _kinds() -> dict[str, str]:
    kinds = {_STAFF: "Staff, account kept here"}
    if desk.directory() != "none":
        kinds = {_FOUND: "From the directory"} | kinds
    if desk.directory() == "writes":
        kinds |= {_MADE: "Staff, new in the directory"}
    return kinds | {_PATIENT: "A patient", _DOCTOR: "A referring doctor"}


# Staff ----------------------------------------------------------------------------------------------------------


def _staff() -> None:
    with st.form("new-staff", border=True):
        account = _who() | {"roles": _roles()} | _particulars() | _reach()
        _send(account)


def _from_directory() -> None:
    text = st.text_input(
        "Find them in the directory",
        key="new-person-find",
        placeholder="Part of the name or login; Enter searches",
        icon=":material/search:",
    )
    if not text.strip():
        st.session_state.pop(_PICKED, None)
        return
    done = desk.do(groups.search_people, text)
    if not done:
        return
    entries: tuple[Entry, ...] = done.value
    if not entries:
        widgets.empty("Nobody of that name in the directory", "Try another part of the name.")
        return
    chosen = widgets.pick(
        "entries",
        [{"Name": e.name, "Login": e.login, "E-mail": e.email, "State": str(e.state)} for e in entries],
        [e.id for e in entries],
    )
    entry = next((e for e in entries if e.id == chosen), None)
    if entry is None:
        st.caption("Choose the person.")
        return
    expected = desk.do(groups.what_would, entry.login)
    if not expected:
        return
    roles = expected.value.roles
    if not roles:
        st.warning(
            "None of their groups gives a role here, so they would not come in. Give a group a role under Groups and roles, or "
            "have them put into one that has.",
            icon=":material/groups_3:",
        )
        return
    draw = {Role.PATIENT: _found_patient, Role.REFERRER: _found_doctor}.get(Role(roles[0]), _found_staff)
    draw(entry, roles)


def _found_staff(entry: Entry, roles: Sequence[str]) -> None:
    with st.form(f"new-found-{entry.id}", border=True):
        account = _as_found(entry, roles)
        _send(account | _particulars(email=False) | _reach())


def _found_patient(entry: Entry, roles: Sequence[str]) -> None:
    """Their groups make them a patient; whose images that means, only we know."""
    card = accounts.whose_file(
        _FILE, note="The account will see the images and signed reports of this person."
    )
    if card is None:
        return
    with st.container(border=True):
        account = _as_found(entry, roles)
        _send_for_patient(account, card)


def _found_doctor(entry: Entry, roles: Sequence[str]) -> None:
    doctors = _doctors()
    if not doctors:
        return
    with st.form(f"new-found-{entry.id}", border=True):
        account = _as_found(entry, roles)
        _send(account | _which_doctor(doctors))


def _as_found(entry: Entry, roles: Sequence[str]) -> dict[str, Any]:
    outside = bool(set(roles) & set(OUTSIDE))
    widgets.facts(
        {
            "Name": entry.name,
            "Signs in as": entry.login,
            "E-mail": entry.email,
            "Roles, from their groups": "; ".join(accounts.role_words(r) for r in roles),
            "Signs in at": "the patients' door" if outside else "",
        }
    )
    return {
        "login": entry.login,
        "name": entry.name,
        "email": entry.email,
        "roles": sorted(roles),
        "directory_id": entry.id,
    }


def _in_directory() -> None:
    st.caption("Sorg makes the account in the directory once it is approved. Its groups give the roles here.")
    mapping = desk.ask(groups.mapping)
    if not mapping:
        widgets.empty("No group gives a role yet", "Begin under Groups and roles.")
        return
    by_group: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for line in mapping:
        by_group.setdefault(line.group_id, []).append(line.role)
        names[line.group_id] = line.group_name
    with st.form("new-made", border=True):
        account = _who()
        chosen = st.multiselect(
            "Groups",
            list(names),
            placeholder="At least one",
            select_all=False,
            format_func=lambda g: f"{names[g]}: {', '.join(by_group[g])}",
        )
        account |= {
            "roles": sorted({r for g in chosen for r in by_group[g]}),
            "groups": sorted(chosen),
            "in_directory": True,
        }
        _send(account | _particulars() | _reach())


# Outside --------------------------------------------------------------------------------------------------------


def _patient() -> None:
    st.caption(
        "A patient's own account signs in at the patients' door and sees their images and signed reports. Links stay the "
        "usual way: they need no account."
    )
    card = accounts.whose_file(
        _FILE, note="The account will see the images and signed reports of this person."
    )
    if card is None:
        return
    with st.container(border=True):
        a, b = st.columns(2)
        name = a.text_input(
            "Name", card.name, max_chars=120, key=f"new-patient-name-{card.id}", help="As the file has it."
        )
        login = b.text_input(
            "Signs in as",
            max_chars=64,
            placeholder="letters, digits, dots",
            key=f"new-patient-login-{card.id}",
            help="Letters a to z, digits, dots, hyphens and underscores.",
        )
        email = st.text_input(
            "E-mail", card.particulars.email, max_chars=120, key=f"new-patient-email-{card.id}"
        )
        account = {
            "login": login.strip(),
            "name": name.strip(),
            "email": email,
            "roles": [str(Role.PATIENT)],
        }
        _send_for_patient(account, card)


def _send_for_patient(account: dict[str, Any], card: PatientCard) -> None:
    """Not a form: a name that is not the file's is marked as soon as it is typed."""
    agreed = _is_named(account["name"], card)
    if not agreed:
        st.error(
            f"The file belongs to **{desk.plain(card.name)}**, born {widgets.day(card.particulars.born_on)}; this account is for "
            f"**{desk.plain(account['name']) or 'nobody'}**. Is it the same person?",
            icon=":material/person_alert:",
        )
        agreed = st.checkbox(
            "It is the same person under another name", key=f"new-patient-agreed-{card.id}-{account['name']}"
        )
    why = accounts.why_field("new-person-why")
    if st.button("Ask for this account", type="primary"):
        if not agreed:
            st.error(
                "The name is not the one on the file: mend it, or say that it is the same person.",
                icon=":material/error:",
            )
            return
        _ask(account | {"patient_id": str(card.id)}, why)


def _is_named(name: str, card: PatientCard) -> bool:
    """True when a name says the file's family name, and nothing that the file's own name does not have."""
    said, known = set(fold(name).split()), set(fold(card.name).split())
    return set(fold(card.particulars.family_name).split()) <= said <= known


def _doctor() -> None:
    st.caption(
        "A referring doctor's account signs in at the patients' door and sees the signed reports of their own referrals."
    )
    doctors = _doctors()
    if not doctors:
        return
    with st.form("new-doctor", border=True):
        account = _which_doctor(doctors) | _who() | {"roles": [str(Role.REFERRER)]}
        account["email"] = st.text_input("E-mail", max_chars=120, key="new-person-email")
        _send(account)


def _doctors() -> dict[UUID, str]:
    found = {d.id: f"{d.name} ({d.practice_number})" for d in desk.ask(patients.referrers, size=1000)}
    if not found:
        widgets.empty("No referring doctor is registered yet", "Reception registers them under Bookings.")
    return found


def _which_doctor(doctors: dict[UUID, str]) -> dict[str, Any]:
    doctor = st.selectbox(
        "Referring doctor",
        list(doctors),
        format_func=doctors.__getitem__,
        index=None,
        placeholder="Choose",
        key="new-person-doctor",
    )
    return {"referrer_id": str(doctor) if doctor else None}


# Parts of the forms ---------------------------------------------------------------------------------------------


def _who() -> dict[str, Any]:
    a, b = st.columns(2)
    name = a.text_input("Name", max_chars=120, placeholder="Dr Sipho Dlamini", key="new-person-name")
    login = b.text_input(
        "Signs in as",
        max_chars=64,
        placeholder="sipho.dlamini",
        key="new-person-login",
        help="Letters a to z, digits, dots, hyphens and underscores.",
    )
    return {"login": login.strip(), "name": name.strip()}


def _roles() -> list[str]:
    chosen = st.multiselect(
        "Roles",
        list(STAFF),
        format_func=accounts.role_words,
        placeholder="At least one",
        select_all=False,
        key="new-person-roles",
    )
    return sorted(str(r) for r in chosen)


def _particulars(*, email: bool = True) -> dict[str, str]:
    a, b, c = st.columns(3)
    found = {
        "registration": a.text_input(
            "HPCSA registration",
            max_chars=40,
            help="For those who sign reports.",
            key="new-person-registration",
        ),
        "practice_number": b.text_input("Practice number", max_chars=13, key="new-person-number"),
    }
    return found | ({"email": c.text_input("E-mail", max_chars=120, key="new-person-email")} if email else {})


def _reach() -> dict[str, Any]:
    a, b = st.columns([2, 1])
    scope = a.selectbox(
        "Sees which patients",
        list(SCOPES_OF_STAFF),
        format_func=accounts.SCOPES.__getitem__,
        key="new-person-scope",
    )
    sites = b.text_input(
        "Sites",
        placeholder="01, 02",
        help="Two letters or digits each; empty: the practice's own site.",
        key="new-person-sites",
    )
    return {"scope": scope, "sites": accounts.sites_of(sites)}


def _send(account: dict[str, Any]) -> None:
    why = accounts.why_field("new-person-why")
    if st.form_submit_button("Ask for this account", type="primary"):
        _ask(account, why)


def _ask(account: dict[str, Any], why: str) -> None:
    done = desk.do(changes.ask, kind="add-person", payload=account, why=why, quiet=True)
    if not done:
        widgets.problems(done.problems or (Problem("refused", done.sentence),))
        return
    _forget()
    banners.forget()
    desk.say(accounts.asked())
    desk.go("requests", request=done.value)


def _forget() -> None:
    """The next person begins with an empty form."""
    st.session_state.pop(_PICKED, None)
    st.session_state.pop(_FILE, None)
