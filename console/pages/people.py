"""People: who has an account here, what it may do, how it stands, and what an admin can do about it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import streamlit as st

from console import accounts, banners, desk, new_person, widgets
from core import access, changes, patients, people, privacy, sessions
from core.change_cards import RequestCard
from core.people import OUTSIDE, SCOPES_OF_STAFF, PersonCard
from core.privacy import Questions
from core.rules.roles import ROLES, STAFF, Permission, Role
from core.sessions import SessionCard

_ALL = "all"
_ACTS = 15
_RIGHTS = {"grant": "May see", "block": "Kept out", "glass": "Broke the glass"}


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
    search = left.text_input("Search", key="people-search", placeholder="Name or login", icon=":material/search:",
                             label_visibility="collapsed")  # fmt: skip
    role = role_box.selectbox("Role", ["", *accounts.EVERY_ROLE], format_func=lambda r: str(r) or "Every role", key="people-role",
                              label_visibility="collapsed")  # fmt: skip
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
        chosen = widgets.pick("people", [_row(c) for c in cards], [c.id for c in cards],
                              columns={"Roles": st.column_config.ListColumn(), "State": accounts.state_column(cards)})  # fmt: skip
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
        "State", list(words), key="people-standing", default=_ALL, label_visibility="collapsed",
        format_func=lambda key: f"{words[key]} · {numbers.get(key, 0):,}".replace(",", " "),
    )  # fmt: skip
    return "" if found in (None, _ALL) else str(found)


def _row(c: PersonCard) -> dict[str, object]:
    return {
        "Name": c.name, "Signs in as": c.login, "Roles": list(c.roles), "State": [accounts.said_state(c)],
        "Second factor": accounts.second_factor(c), "Account": accounts.KEPT.get(c.directory, c.directory),
        "Last sign-in": widgets.when(c.last_sign_in_at),
    }  # fmt: skip


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
    accounts.show_slips(card.id)
    _chips(card)
    waiting = desk.ask(changes.requests, person_id=card.id)
    for request in waiting:
        _waits(request)
    left, right = st.columns(2, gap="large")
    with left:
        _facts(card)
    if accounts.may_manage():
        with right:
            _manage(card, waiting)
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
    left.info(f"**{desk.plain(request.label)}**: {desk.plain(word.lower())}. Asked by {desk.plain(request.asked_by)}, "
              f"{widgets.when(request.asked_at)}.", icon=":material/rule_settings:")  # fmt: skip
    if desk.has_page("requests") and right.button("Open", key=f"open-{request.id}", width="stretch"):
        desk.go("requests", request=request.id)


def _facts(card: PersonCard) -> None:
    widgets.facts({
        "Roles": "; ".join(accounts.role_words(r) for r in card.roles), "Sees": _reach(card),
        "Sites": ", ".join(card.sites) or ("" if set(card.roles) & set(OUTSIDE) else "the house's own"),
        "Bound to": _bound_to(card), "Registration": card.registration, "Practice number": card.practice_number,
        "E-mail": card.email, "Second factor": accounts.second_factor(card),
        "Recovery codes": f"{card.recovery_codes} left" if card.has_app else "",
        "Last sign-in": widgets.when(card.last_sign_in_at),
    })  # fmt: skip
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
    return (
        "one patient's file"
        if Role.PATIENT in card.roles
        else "their own file as a patient, which is shut to them"
    )


# What an admin can do -------------------------------------------------------------------------------------------


def _manage(card: PersonCard, waiting: tuple[RequestCard, ...]) -> None:
    is_me = str(card.id) == desk.actor().id
    _at_once(card, waiting, is_me=is_me)
    if card.is_break_glass:
        st.caption("The sealed account is made and renewed on the practice's own machine.")
        return
    widgets.heading("Changes that another admin approves")
    if not set(card.roles) & set(OUTSIDE):
        _roles(card)
    if card.standing in ("shut", "closed"):
        _let_in(card)
    if card.has_app and not card.needs_slip:
        _new_password(card)
    if card.has_second_factor:
        _new_factor(card)
    if card.directory == "directory":
        _in_directory(card)


def _at_once(card: PersonCard, waiting: tuple[RequestCard, ...], *, is_me: bool) -> None:
    """What cannot wait for a second admin: handing out a slip, waking, shutting out."""
    may_have_slip = card.needs_slip and not is_me
    if may_have_slip:
        st.write(f"This account waits for its owner. {accounts.slip_opens(card)}")
        label = "Make a new slip" if card.slip_until else "Make a sign-in slip"
        if st.button(label, type="primary", icon=":material/receipt:", width="stretch") and (
            done := desk.do(people.make_slip, card.id)
        ):
            accounts.keep_slips([done.value], about=card.id, card=card)
            desk.again()
    if card.rests_until and st.button("Let them try again now", icon=":material/lock_open:", width="stretch",
                                      help="After wrong passwords or codes an account rests. Be sure that it is them.") \
            and desk.do(people.wake, card.id):  # fmt: skip
        desk.again("They can try again.")
    if card.is_active and not is_me:
        with st.popover("Shut out…", width="stretch", icon=":material/block:"):
            st.write("Their open windows end at once, and slips they have open nothing. What they did stays on record. "
                     "Letting them in again is a request that another admin approves.")  # fmt: skip
            why = st.text_input(
                "Why?", key=f"shut-why-{card.id}", max_chars=300, placeholder="For example: left the practice"
            )
            if st.button("Shut them out now", type="primary", key=f"shut-{card.id}") and desk.do(
                people.suspend, card.id, why=why
            ):
                banners.forget()
                desk.again("Shut out. Their sessions have ended.")


def _roles(card: PersonCard) -> None:
    from_groups = card.directory != "local"
    scopes: list[str] = list(SCOPES_OF_STAFF)
    with (
        st.expander("Change roles and reach", icon=":material/badge:"),
        st.form(f"roles-{card.id}-{card.roles}-{card.scope}", border=False),
    ):
        st.caption(
            "Once approved, it holds from their next step on; whoever gets more is signed out and signs in anew."
        )
        if from_groups:
            st.caption(
                "The roles come from this person's groups in the directory: change the groups. Reach is set here."
            )
        roles = st.multiselect("Roles", list(STAFF), default=[Role(r) for r in card.roles], disabled=from_groups,
                               format_func=accounts.role_words, select_all=False)  # fmt: skip
        a, b = st.columns([2, 1])
        scope = a.selectbox("Sees which patients", scopes, index=scopes.index(card.scope),
                            format_func=lambda s: accounts.SCOPES[s])  # fmt: skip
        sites = b.text_input("Sites", ", ".join(card.sites), placeholder="01, 02",
                             help="Two signs each; empty: the house's own.")  # fmt: skip
        why = accounts.why_field(f"why-roles-{card.id}")
        if st.form_submit_button("Ask for this change", type="primary"):
            accounts.ask_for("set-roles", why=why, payload=_about(card) | {
                "roles": sorted(str(r) for r in roles), "scope": scope, "sites": accounts.sites_of(sites),
                "patient_id": card.patient_id and str(card.patient_id),
                "referrer_id": card.referrer_id and str(card.referrer_id),
            })  # fmt: skip


def _let_in(card: PersonCard) -> None:
    with (
        st.expander("Let in again", icon=":material/login:", expanded=True),
        st.form(f"in-{card.id}", border=False),
    ):
        st.write(
            "Their password and second factor are the old ones. Ask for new ones as well if you are not sure who has them."
        )
        why = accounts.why_field(f"why-in-{card.id}")
        if st.form_submit_button("Ask to let them in again", type="primary"):
            accounts.ask_for("let-in", payload=_about(card), why=why)


def _new_password(card: PersonCard) -> None:
    kept_elsewhere = card.directory == "sso" or (
        card.directory == "directory" and desk.directory() != "writes"
    )
    with st.expander("New password (forgotten)", icon=":material/password:"):
        if kept_elsewhere:
            st.write("The practice's directory keeps this password, and Sorg may not change it there: whoever looks after the "
                     "directory can.")  # fmt: skip
            return
        with st.form(f"password-{card.id}", border=False):
            st.write("Once approved, the old password opens nothing, they are signed out, and you hand them a sign-in slip. With it "
                     "they choose a new password and prove it with their second factor.")  # fmt: skip
            why = accounts.why_field(f"why-password-{card.id}")
            if st.form_submit_button("Ask for a new password", type="primary"):
                accounts.ask_for("reset-password", payload=_about(card), why=why)


def _new_factor(card: PersonCard) -> None:
    with st.expander("New second factor (lost or new phone)", icon=":material/phonelink_lock:"), st.form(f"factor-{card.id}",
                                                                                                         border=False):  # fmt: skip
        st.write("Be sure it is them: see them, or call a number you know. Once approved, app, keys and recovery codes open nothing, "
                 "they are signed out, and you hand them a sign-in slip. With it and their password they set up a new app.")  # fmt: skip
        if card.recovery_codes:
            st.caption(f"They still have {card.recovery_codes} recovery codes: with one of them they get in by themselves and "
                       "change the app under My account.")  # fmt: skip
        why = accounts.why_field(f"why-factor-{card.id}")
        if st.form_submit_button("Ask for a new second factor", type="primary"):
            accounts.ask_for("reset-factor", payload=_about(card), why=why)


def _in_directory(card: PersonCard) -> None:
    if desk.directory() != "writes":
        st.caption("Sorg may only read the practice's directory. Whoever looks after it can disable this account there or change its "
                   "groups; both count here within five minutes.")  # fmt: skip
        return
    with (
        st.expander("Account in the directory", icon=":material/manage_accounts:"),
        st.form(f"dir-{card.id}", border=False),
    ):
        st.write(
            "Disabled there, they get into nothing of the practice, Windows included. Shutting out above is only for Sorg."
        )
        enabled = st.radio("The account is to be", [False, True], format_func=lambda on: "enabled" if on else "disabled",
                           horizontal=True)  # fmt: skip
        why = accounts.why_field(f"why-dir-{card.id}")
        if st.form_submit_button("Ask for this change", type="primary"):
            accounts.ask_for("directory-account", payload=_about(card) | {"enabled": enabled}, why=why)
    with st.expander("Groups in the directory", icon=":material/groups_3:"):
        _directory_groups(card)


def _directory_groups(card: PersonCard) -> None:
    st.write("Groups give the roles here. Put them into a group, or take them out of one.")
    found = accounts.find_groups(f"groups-{card.id}")
    with st.form(f"groups-form-{card.id}", border=False):
        names = {g_id: name for g_id, name in found.items()}
        add = st.multiselect(
            "Put into",
            list(names),
            format_func=names.__getitem__,
            placeholder="Choose groups",
            select_all=False,
        )
        remove = st.multiselect(
            "Take out of",
            list(names),
            format_func=names.__getitem__,
            placeholder="Choose groups",
            select_all=False,
        )
        why = accounts.why_field(f"why-groups-{card.id}")
        if st.form_submit_button("Ask for this change", type="primary"):
            if not add and not remove:
                st.warning("Choose a group first.", icon=":material/info:")
                return
            said = {
                "add": sorted(add),
                "remove": sorted(remove),
                "names": {g: names[g] for g in sorted({*add, *remove})},
            }
            accounts.ask_for("directory-groups", payload=_about(card) | said, why=why)


def _about(card: PersonCard) -> dict[str, Any]:
    return {"person_id": str(card.id)}


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
    widgets.table([
        {"When": widgets.when(s.at), "From": s.from_address or "this machine", "With": s.method,
         "Ended": widgets.when(s.ended_at) if s.ended_at else "", "Why": s.ended_why, "Reason given": s.reason}
        for s in found
    ])  # fmt: skip


def _sessions(person_id: UUID | None) -> None:
    found: tuple[SessionCard, ...] = desk.ask(sessions.sessions, person_id=person_id)
    if not found:
        widgets.empty("Nobody is signed in" if person_id is None else "Not signed in anywhere")
        return
    chosen = widgets.pick(
        f"sessions-{person_id}",
        [
            {"Name": s.name, "From": s.from_address or "this machine", "Since": widgets.when(s.begun_at),
             "Last used": widgets.when(s.seen_at), "Ends": widgets.when(s.ends_at),
             "": "this window" if s.is_mine else "while the directory was away" if s.is_away else ""}
            for s in found
        ],
        [s.id for s in found],
    )  # fmt: skip
    if not accounts.may_manage():
        return
    if st.button("End this session", disabled=chosen is None, icon=":material/logout:", key=f"end-{person_id}",
                 help="Choose a row first. That browser is signed out at its next step.") and chosen and desk.do(
                     sessions.end_session, chosen):  # fmt: skip
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
    widgets.table([
        {"When": widgets.when(e.at), "Act": e.act, "Outcome": "✓ done" if e.outcome == "done" else f"✕ {e.outcome}",
         "About": f"{e.subject_kind} {e.names.get(e.subject_id, '')}".strip(), "From": e.address or "this machine"}
        for e in found
    ])  # fmt: skip
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
    chosen = widgets.pick(f"decided-{card.id}", [
        {"Decided": widgets.when(r.decided_at), "What": r.label, "Became": accounts.STATES[r.state][1], "By": r.decided_by,
         "Asked by": r.asked_by, "Why": r.why}
        for r in found
    ], [r.id for r in found])  # fmt: skip
    if chosen and desk.has_page("requests"):
        widgets.unpick(f"decided-{card.id}")
        desk.go("requests", request=chosen)


def _rights(card: PersonCard) -> None:
    found = desk.ask(access.access_of_person, card.id)
    if not found:
        widgets.empty("Nothing beside the rule", f"They see what their roles say: {accounts.SCOPES.get(card.scope, '').lower()}.",
                      "Access to one patient is given, and records are closed, under Access to a patient.")  # fmt: skip
        return
    widgets.table([
        {"What": _RIGHTS.get(r.what, r.what), "File": r.file_number, "Stands": "✓ yes" if r.stands else "over", "Why": r.why,
         "From": widgets.when(r.from_at), "Until": widgets.when(r.ended_at or r.until_at)}
        for r in found
    ])  # fmt: skip
