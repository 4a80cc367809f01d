"""What an admin can do about one person: at once, or as a request that another admin approves."""

from __future__ import annotations

from typing import Any

import streamlit as st

from console import accounts, banners, desk, widgets
from core import people
from core.people import OUTSIDE, SCOPES_OF_STAFF, PersonCard
from core.rules.person_texts import LENGTHS
from core.rules.reasons import LONGEST_WHY, SHORTEST_WHY
from core.rules.roles import STAFF, Role

_WHERE = {"directory": "in the practice's directory", "sso": "where the single sign-on has them"}


def draw(card: PersonCard, *, shown: bool) -> None:
    """What can be done at once, and the forms that ask. shown: a slip stands above, and a new one would void it."""
    is_me = str(card.id) == desk.actor().id
    _at_once(card, is_me=is_me, shown=shown)
    if card.is_break_glass:
        st.caption("The sealed account is made and renewed on the practice's own machine.")
        return
    widgets.heading("Changes that another admin approves")
    _details(card)
    _login(card)
    if not set(card.roles) & set(OUTSIDE):
        _roles(card)
        _own_record(card, is_me=is_me)
    if card.standing in ("shut", "closed"):
        _let_in(card)
    if card.has_app and not card.needs_slip:
        _new_password(card)
    if card.has_second_factor:
        _new_factor(card)
    if card.directory == "directory":
        _in_directory(card)


def _at_once(card: PersonCard, *, is_me: bool, shown: bool) -> None:
    """What cannot wait for a second admin: handing out a slip, waking, shutting out."""
    may_have_slip = card.needs_slip and not is_me and not shown
    if may_have_slip:
        st.write(f"This account waits for its owner. {accounts.slip_opens(card)}")
        label = "Make a new slip" if card.slip_until else "Make a sign-in slip"
        if st.button(label, type="primary", icon=":material/receipt:", width="stretch") and (
            done := desk.do(people.make_slip, card.id)
        ):
            accounts.keep_slips([done.value], about=card.id, card=card)
            desk.again()
    if (
        card.rests_until
        and st.button(
            "Let them try again now",
            icon=":material/lock_open:",
            width="stretch",
            help="After wrong passwords or codes an account rests. Be sure that it is them.",
        )
        and desk.do(people.wake, card.id)
    ):
        desk.again("They can try again.")
    if card.is_active and not is_me:
        with st.popover("Shut out…", width="stretch", icon=":material/block:"):
            st.write(
                "Their open windows end at once, and slips they have open nothing. What they did stays on record. "
                "Letting them in again is a request that another admin approves."
            )
            why = st.text_input(
                "Why *",
                key=f"shut-why-{card.id}",
                max_chars=LONGEST_WHY,
                placeholder=f"At least {SHORTEST_WHY} characters, for example: left the practice",
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
            "Roles say what they may do; reach says which patients they see. Once approved, both hold from their next step on; "
            "whoever gets more is signed out and signs in anew."
        )
        if from_groups:
            st.caption(
                "The roles come from this person's groups in the directory: change the groups. Reach is set here."
            )
        roles = st.multiselect(
            "Roles",
            list(STAFF),
            default=[Role(r) for r in card.roles],
            disabled=from_groups,
            format_func=accounts.role_words,
            select_all=False,
        )
        a, b = st.columns([2, 1])
        scope = a.selectbox(
            "Sees which patients",
            scopes,
            index=scopes.index(card.scope),
            format_func=lambda s: accounts.SCOPES[s],
        )
        sites = b.text_input(
            "Sites",
            ", ".join(card.sites),
            placeholder="01, 02",
            help="Two letters or digits each; empty: the practice's own site.",
        )
        why = accounts.why_field(f"why-roles-{card.id}")
        if st.form_submit_button("Ask for this change", type="primary"):
            accounts.ask_for(
                "set-roles",
                why=why,
                payload=_about(card)
                | {
                    "roles": sorted(str(r) for r in roles),
                    "scope": scope,
                    "sites": accounts.sites_of(sites),
                    "patient_id": card.patient_id and str(card.patient_id),
                    "referrer_id": card.referrer_id and str(card.referrer_id),
                },
            )


def _details(card: PersonCard) -> None:
    kept = _WHERE.get(card.directory, "")
    outside = bool(set(card.roles) & set(OUTSIDE))
    now = (card.name, card.registration, card.practice_number, card.email)
    with (
        st.expander("Correct the name" if outside else "Correct name or numbers", icon=":material/edit:"),
        st.form(f"details-{card.id}-{now}", border=False),
    ):
        if kept:
            st.caption(
                f"Name and e-mail are kept {kept}: change them there, and they count here from the next sign-in."
            )
        if not outside:
            st.caption("What is signed already keeps the name and number of then.")
        said = {
            "name": st.text_input(
                "Name",
                card.name,
                max_chars=LENGTHS["name"],
                disabled=bool(kept),
                help="" if outside else "As it stands on reports, with title.",
            )
        }
        if not outside:
            a, b = st.columns(2)
            said |= {
                "registration": a.text_input(
                    "HPCSA registration",
                    card.registration,
                    max_chars=LENGTHS["registration"],
                    help="Stands under the reports they sign.",
                ),
                "practice_number": b.text_input(
                    "Practice number",
                    card.practice_number,
                    max_chars=20,
                    help="13 digits, leading zeros included.",
                ),
            }
        said["email"] = st.text_input("E-mail", card.email, max_chars=LENGTHS["email"], disabled=bool(kept))
        why = accounts.why_field(f"why-details-{card.id}")
        if st.form_submit_button("Ask for this correction", type="primary"):
            ours = {k: v for k, v in said.items() if not (kept and k in ("name", "email"))}
            accounts.ask_for("person-details", payload=_about(card) | ours, why=why)


def _login(card: PersonCard) -> None:
    with st.expander("Correct what they sign in as", icon=":material/alternate_email:"):
        if kept := _WHERE.get(card.directory, ""):
            st.write(
                f"The name they sign in with is kept {kept}: change it there, and it holds here from their next sign-in."
            )
            return
        with st.form(f"login-{card.id}-{card.login}", border=False):
            st.caption(
                "After a marriage or a typing slip. Once approved, they are signed out and come in under the new name only, with "
                "the password and second factor that they have: tell them. A slip that was handed out opens nothing then."
            )
            login = st.text_input(
                "Signs in as",
                card.login,
                max_chars=64,
                help="Letters a to z, digits, dots, hyphens and underscores.",
            )
            why = accounts.why_field(f"why-login-{card.id}")
            if st.form_submit_button("Ask for this correction", type="primary"):
                accounts.ask_for("new-login", payload=_about(card) | {"login": login}, why=why)


def _own_record(card: PersonCard, *, is_me: bool) -> None:
    whose = "Your" if is_me else "Their"
    with st.expander(f"{whose} own record as a patient", icon=":material/folder_shared:"):
        if not card.patient_id:
            st.write(
                "A colleague can be a patient here, too. Say which file is their own, and it is shut to them: lists and images "
                "included, and neither access by name nor breaking the glass opens it. Until then they can open it like any other."
            )
            key = f"own-file-{card.id}"
            if file := accounts.whose_file(key, note=f"Is this the record of {desk.plain(card.name)}?"):
                with st.form(f"own-{card.id}-{file.id}", border=False):
                    why = accounts.why_field(f"why-own-{card.id}")
                    if st.form_submit_button("Ask to close it to them", type="primary"):
                        said = _about(card) | {"patient_id": str(file.id)}
                        accounts.ask_for("own-record", payload=said, why=why, forget=key)
            return
        st.write(f"File **{desk.plain(card.own_file)}** is theirs, and shut to them here.")
        if is_me:
            st.caption("Another admin can ask that this ends; nobody opens their own record to themselves.")
            return
        with st.form(f"own-end-{card.id}", border=False):
            st.caption(
                "Is it the wrong file? Ask that this ends, then bind the right one. They are signed out when it does."
            )
            why = accounts.why_field(f"why-own-end-{card.id}")
            if st.form_submit_button("Ask that it is no longer theirs", type="primary"):
                accounts.ask_for("own-record", payload=_about(card) | {"patient_id": ""}, why=why)


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
            st.write(
                "The practice's directory keeps this password, and Sorg may not change it there: whoever looks after the "
                "directory can."
            )
            return
        with st.form(f"password-{card.id}", border=False):
            st.write(
                "Once approved, the old password opens nothing, they are signed out, and you hand them a sign-in slip. With it "
                "they choose a new password and prove it with their second factor."
            )
            why = accounts.why_field(f"why-password-{card.id}")
            if st.form_submit_button("Ask for a new password", type="primary"):
                accounts.ask_for("reset-password", payload=_about(card), why=why)


def _new_factor(card: PersonCard) -> None:
    with (
        st.expander("New second factor (lost or new phone)", icon=":material/phonelink_lock:"),
        st.form(f"factor-{card.id}", border=False),
    ):
        st.write(
            "Be sure it is them: see them, or call a number you know. Once approved, app, keys and recovery codes open nothing, "
            "they are signed out, and you hand them a sign-in slip. With it and their password they set up a new app."
        )
        if card.recovery_codes:
            st.caption(
                f"They still have {card.recovery_codes} recovery codes: with one of them they get in by themselves and "
                "change the app under My account."
            )
        why = accounts.why_field(f"why-factor-{card.id}")
        if st.form_submit_button("Ask for a new second factor", type="primary"):
            accounts.ask_for("reset-factor", payload=_about(card), why=why)


def _in_directory(card: PersonCard) -> None:
    if desk.directory() != "writes":
        st.caption(
            "Sorg may only read the practice's directory. Whoever looks after it can disable this account there or change its "
            "groups; both count here within five minutes."
        )
        return
    with (
        st.expander("Account in the directory", icon=":material/manage_accounts:"),
        st.form(f"dir-{card.id}", border=False),
    ):
        st.write(
            "Disabled there, they get into nothing of the practice, Windows included. Shutting out above is only for Sorg."
        )
        enabled = st.radio(
            "The account is to be",
            [False, True],
            format_func=lambda on: "enabled" if on else "disabled",
            horizontal=True,
        )
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
