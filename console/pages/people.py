"""People: who has an account here, what it may do, how it stands, and what an admin can do about it."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import accounts, desk, new_person, person_changes, widgets
from core import access, changes, patients, people, privacy, sessions
from core.change_cards import RequestCard
from core.people import OUTSIDE, PersonCard
from core.privacy import Questions
from core.rules.roles import ROLES, Permission, Role
from core.sessions import SessionCard

_ALL = "all"
_KEEPER = {"local": "Sorg", "directory": "directory", "sso": "single sign-on"}
_ACTS = 15
_RIGHTS = {"grant": "May see", "block": "Kept out", "glass": "Broke the glass", "own": "Their own record"}


def render() -> None:
    if st.query_params.get("new") and desk.may(Permission.PEOPLE_MANAGE):
        new_person.draw()
    elif person_id := desk.about("person"):
        _one(person_id)
    else:
        _list()


# Everybody ------------------------------------------------------------------------------------------------------


def _list() -> None:
    widgets.title("People", "Who has an account, what it may do, and how it stands.")
    left, role_box, add, sheet = st.columns([3, 1.6, 1.2, 1.2], vertical_alignment="bottom")
    search = left.text_input(
        "Search",
        key="people-search",
        placeholder="Name or login",
        icon=":material/search:",
        label_visibility="collapsed",
    )
    role = role_box.selectbox(
        "Role",
        ["", *accounts.EVERY_ROLE],
        format_func=lambda r: str(r) or "Every role",
        key="people-role",
        label_visibility="collapsed",
    )
    if accounts.may_manage():
        if add.button("Add a person", type="primary", width="stretch", icon=":material/person_add:"):
            desk.go("people", new="1")
        if sheet.button("Import a sheet", width="stretch", icon=":material/upload_file:"):
            desk.go("staff_import")
    counts = desk.ask(people.counts, search=search, role=role)
    standing = _standing_filter(counts)
    at = widgets.page_number("people", narrowed=(search, role, standing))
    cards, total = desk.ask(
        people.people, search=search, role=role, standing=standing, page=at, size=widgets.PER_PAGE
    )
    if not cards:
        widgets.empty(
            "Nobody fits", "Check the spelling, or clear the search and the filters to see everybody."
        )
    else:
        chosen = widgets.pick(
            "people",
            [_row(c) for c in cards],
            [c.id for c in cards],
            columns={
                "Name": st.column_config.TextColumn(width=185),
                "Roles": st.column_config.ListColumn(),
                "State": accounts.state_column(cards),
            },
        )
        widgets.pager("people", total, what="people")
        if chosen:
            widgets.unpick("people")
            desk.go("people", person=chosen)
        st.caption("Click a name to open the person.")
    accounts.explain_alone()
    with st.expander("Signed in now", icon=":material/devices:"):
        _sessions(None)


def _standing_filter(counts: dict[str, int]) -> str:
    words = {_ALL: "Everybody"} | {key: word for key, (_, word) in accounts.STANDINGS.items()}
    numbers = {_ALL: sum(counts.values())} | counts
    found = st.segmented_control(
        "State",
        list(words),
        key="people-standing",
        default=_ALL,
        label_visibility="collapsed",
        format_func=lambda key: f"{words[key]} · {numbers.get(key, 0):,}".replace(",", " "),
    )
    return "" if found in (None, _ALL) else str(found)


def _row(c: PersonCard) -> dict[str, object]:
    return {
        "Name": c.name,
        "Signs in as": c.login,
        "Roles": list(c.roles),
        "State": [accounts.said_state(c)],
        "Second factor": accounts.second_factor(c),
        "Kept by": _KEEPER.get(c.directory, c.directory),
        "Last sign-in": widgets.when(c.last_sign_in_at),
    }


# One person -----------------------------------------------------------------------------------------------------


def _one(person_id: UUID) -> None:
    card = desk.ask_if(people.person, person_id)
    if card is None:
        widgets.title("People")
        widgets.empty("This person is not there", "The address may be cut short. Find them by name instead.")
        _back()
        return
    widgets.title(
        card.name,
        f"Signs in as {card.login}; an account {accounts.KEPT.get(card.directory, card.directory)}.",
    )
    _back()
    shown = accounts.show_slips(card.id)
    _chips(card)
    waiting = desk.ask(changes.requests, person_id=card.id)
    for request in waiting:
        _waits(request)
    left, right = st.columns(2, gap="large")
    with left:
        _facts(card)
    if accounts.may_manage():
        with right:
            person_changes.draw(card, shown=shown)
    _below(card)


def _back() -> None:
    if st.button("Back to people", icon=":material/arrow_back:", type="tertiary"):
        desk.go("people")


def _chips(card: PersonCard) -> None:
    found = [accounts.state_of(card)]
    if card.is_break_glass:
        found.append(("warn", "Sealed account for emergencies"))
    if card.rests_until:
        found.append(("warn", "Rests after wrong tries"))
    if card.slip_until:
        found.append(("info", f"Has a slip, good until {widgets.when(card.slip_until)}"))
    accounts.chips(found)


def _waits(request: RequestCard) -> None:
    _, word = accounts.STATES[request.state]
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.info(
        f"**{desk.plain(request.label)}**: {desk.plain(word.lower())}. Asked by {desk.plain(request.asked_by)}, "
        f"{widgets.when(request.asked_at)}.",
        icon=":material/rule_settings:",
    )
    if desk.has_page("requests") and right.button("Open", key=f"open-{request.id}", width="stretch"):
        desk.go("requests", request=request.id)


def _facts(card: PersonCard) -> None:
    widgets.facts(
        {
            "Roles": "; ".join(accounts.role_words(r) for r in card.roles),
            "Sees": _reach(card),
            "Sites": ", ".join(card.sites)
            or ("" if set(card.roles) & set(OUTSIDE) else "the practice's own"),
            "Bound to": _bound_to(card),
            "Registration": card.registration,
            "Practice number": card.practice_number,
            "E-mail": card.email,
            "Second factor": accounts.second_factor(card),
            "Recovery codes": f"{card.recovery_codes} left" if card.has_app else "",
            "Last sign-in": widgets.when(card.last_sign_in_at),
        }
    )
    with st.expander("What these roles may do"):
        words = sorted({str(p) for r in card.roles for p in ROLES[Role(r)]})
        st.caption(", ".join(words))


def _reach(card: PersonCard) -> str:
    if set(card.roles) & set(OUTSIDE):
        return ""
    return accounts.SCOPES.get(card.scope, card.scope)


def _bound_to(card: PersonCard) -> str:
    if card.referrer_id:
        doctors = desk.ask(patients.referrers, size=1000)
        return next((d.name for d in doctors if d.id == card.referrer_id), "a referring doctor")
    if not card.patient_id:
        return ""
    return f"file {card.own_file}" + (
        "" if Role.PATIENT in card.roles else ", their own, which is shut to them"
    )


# What there is to know ------------------------------------------------------------------------------------------


def _below(card: PersonCard) -> None:
    names = ["Signed in now", "Last sign-ins", "What they did", "Requests about them"]
    if desk.may(Permission.ACCESS_SEE):
        names.append("Patients")
    tabs = st.tabs(names)
    with tabs[0]:
        _sessions(card.id)
    with tabs[1]:
        _sign_ins(card)
    with tabs[2]:
        _acts(card)
    with tabs[3]:
        _decided(card)
    if len(tabs) > 4:
        with tabs[4]:
            _rights(card)


def _sign_ins(card: PersonCard) -> None:
    found = desk.ask(sessions.sign_ins, card.id, size=_ACTS)
    if not found:
        widgets.empty("Never signed in")
        return
    widgets.table(
        [
            {
                "When": widgets.when(s.at),
                "From": s.from_address or "this machine",
                "With": s.method,
                "Ended": widgets.when(s.ended_at) if s.ended_at else "",
                "Why": s.ended_why,
                "Reason given": s.reason,
            }
            for s in found
        ]
    )


def _sessions(person_id: UUID | None) -> None:
    found: tuple[SessionCard, ...] = desk.ask(sessions.sessions, person_id=person_id)
    if not found:
        widgets.empty("Nobody is signed in" if person_id is None else "Not signed in anywhere")
        return
    chosen = widgets.pick(
        f"sessions-{person_id}",
        [
            {
                "Name": s.name,
                "From": s.from_address or "this machine",
                "Since": widgets.when(s.begun_at),
                "Last used": widgets.when(s.seen_at),
                "Ends": widgets.when(s.ends_at),
                "Note": "this window" if s.is_mine else "while the directory was away" if s.is_away else "",
            }
            for s in found
        ],
        [s.id for s in found],
    )
    if not accounts.may_manage():
        return
    if (
        st.button(
            "End this session",
            disabled=chosen is None,
            icon=":material/logout:",
            key=f"end-{person_id}",
            help="Choose a row first. That browser is signed out at its next step.",
        )
        and chosen
        and desk.do(sessions.end_session, chosen)
    ):
        widgets.unpick(f"sessions-{person_id}")
        desk.again("Ended.")


def _acts(card: PersonCard) -> None:
    if not desk.may(Permission.AUDIT_READ):
        st.caption("The audit trail is for admins and managers.")
        return
    found = desk.ask(privacy.entries, Questions(who=str(card.id)), size=_ACTS)
    if not found:
        widgets.empty("Nothing yet", "What they open and change is listed here.")
        return
    widgets.table(
        [
            {
                "When": widgets.when(e.at),
                "Act": e.act,
                "Outcome": "✓ done" if e.outcome == "done" else f"✕ {e.outcome}",
                "About": f"{e.subject_kind} {e.names.get(e.subject_id, '')}".strip(),
                "From": e.address or "this machine",
            }
            for e in found
        ]
    )
    if desk.has_page("audit") and st.button(
        "All of it in the audit trail", icon=":material/policy:", type="tertiary"
    ):
        st.session_state["audit-who"] = str(card.id)
        desk.go("audit")


def _decided(card: PersonCard) -> None:
    found = desk.ask(changes.requests, decided=True, person_id=card.id, size=50)
    if not found:
        widgets.empty("No decided requests about them")
        return
    chosen = widgets.pick(
        f"decided-{card.id}",
        [
            {
                "Decided": widgets.when(r.decided_at),
                "What": r.label,
                "Became": accounts.STATES[r.state][1],
                "By": r.decided_by,
                "Asked by": r.asked_by,
                "Why": r.why,
            }
            for r in found
        ],
        [r.id for r in found],
    )
    if chosen and desk.has_page("requests"):
        widgets.unpick(f"decided-{card.id}")
        desk.go("requests", request=chosen)


def _rights(card: PersonCard) -> None:
    found = desk.ask(access.access_of_person, card.id)
    if not found:
        widgets.empty(
            "Nothing beside the rule",
            f"They see what their roles say: {accounts.SCOPES.get(card.scope, '').lower()}.",
            "Access to one patient is given, and records are closed, under Who may see a patient.",
        )
        return
    widgets.table(
        [
            {
                "What": _RIGHTS.get(r.what, r.what),
                "File": r.file_number,
                "Stands": "✓ yes" if r.stands else "over",
                "Why": r.why,
                "From": widgets.when(r.from_at),
                "Until": widgets.when(r.ended_at) if r.ended_at else widgets.until(r.until_at),
            }
            for r in found
        ]
    )
