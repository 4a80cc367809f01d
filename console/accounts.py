"""What the admin's pages share: words for roles, reach and standings, asking for a change, and slips shown once."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import quote
from uuid import UUID

import streamlit as st

from console import banners, desk, widgets
from core import access, changes, groups, patients, people, practice
from core.change_cards import Line, RequestCard
from core.patients import PatientCard
from core.people import OUTSIDE, PersonCard, Slip
from core.rules import slip_paper
from core.rules.problems import Problem
from core.rules.reasons import LONGEST_WHY, SHORTEST_WHY
from core.rules.roles import STAFF, Permission, Role
from core.rules.slip_paper import PaperSlip
from core.rules.za_time import say_time

ABOUT = {
    Role.ADMIN: "people, approvals, audit and the system", Role.MANAGER: "everything at a glance, and the audit trail",
    Role.RECEPTION: "patients, bookings and links", Role.RADIOGRAPHER: "patients, images and quarantine",
    Role.RADIOLOGIST: "images, reports and signatures", Role.TRANSCRIPTIONIST: "drafts in transcription",
    Role.BILLING: "codes, claims and remittances", Role.ANALYST: "figures without names",
    Role.REFERRER: "signed reports of the patients they referred", Role.PATIENT: "their own images and signed reports",
}  # fmt: skip
EVERY_ROLE = (*STAFF, *OUTSIDE)
SCOPES = {
    "": "As the roles say",
    "all": "Every patient",
    "site": "Patients of their sites",
    "assigned": "Only studies that are in their hands",
    "none": "No patients at all",
}
STANDINGS = {
    "active": ("good", "Active"),
    "waits": ("warn", "Waits for first sign-in"),
    "shut": ("bad", "Shut out"),
    "closed": ("neutral", "Closed"),
}
KEPT = {"local": "kept here", "directory": "of the practice's directory", "sso": "by single sign-on"}
STATES = {
    "waiting": ("warn", "Waits for approval"), "delayed": ("busy", "Approved, applied later"),
    "carrying": ("busy", "Being done in the directory"), "done": ("good", "Done"), "refused": ("bad", "Refused"),
    "withdrawn": ("neutral", "Withdrawn"), "expired": ("neutral", "Expired"), "failed": ("bad", "The directory refused"),
}  # fmt: skip
WHY = "Why"
_SLIP = "slips-to-show"


def role_words(role: str) -> str:
    """radiologist: images, reports and signatures."""
    return f"{role}: {ABOUT[Role(role)]}" if role in ABOUT else role


def may_manage() -> bool:
    """For drawing: an admin whose session is no reduced one. The banner above says why it is not."""
    return desk.may(Permission.PEOPLE_MANAGE) and not desk.actor().bounds.reduced


def second_factor(card: PersonCard) -> str:
    """app, 2 keys; or none yet."""
    keys = f"{card.keys} {'key' if card.keys == 1 else 'keys'}" if card.keys else ""
    return ", ".join(filter(None, ["app" if card.has_app else "", keys])) or "none yet"


def state_column(cards: Sequence[PersonCard], label: str = "State") -> Any:
    """A table's column of these accounts' states: coloured chips with their words, as wide as the longest of them."""
    looks = {said_state(card): widgets.TONES[state_of(card)[0]] for card in cards}
    width = 28 + 11 * max(map(len, looks), default=0) // 2
    return st.column_config.MultiselectColumn(
        label, options=list(looks), color=list(looks.values()), width=width
    )


def state_of(card: PersonCard) -> tuple[str, str]:
    """How an account stands at this moment, as (tone, word): an active one may rest, or wait for what a slip renews."""
    tone, word = STANDINGS[card.standing]
    if card.standing not in ("active", "waits"):
        return tone, word
    if card.rests_until:
        return "warn", f"Rests until {say_time(card.rests_until)[-5:]}"
    if card.needs_slip and card.last_sign_in_at:
        return "warn", "Waits for a new password" if card.has_app else "Waits for a new second factor"
    return tone, word


def said_state(card: PersonCard) -> str:
    """Sign and word."""
    tone, word = state_of(card)
    return f"{widgets.SIGNS[tone]} {word}"


def slip_opens(card: PersonCard, slip: Slip | None = None) -> str:
    """What the owner of this account does with a slip, and what they need beside it. slip: the one that was made, if it was."""
    if slip is not None and slip.sets_password and not card.has_app:
        return "With the slip they choose their own password and second factor."
    if card.has_app:
        return "With the slip and their app they choose a new password."
    if card.last_sign_in_at and card.directory == "local":
        return "With the slip and their password they set up a new second factor."
    if card.directory != "local":
        return "With the slip and their usual password they set up their second factor."
    return "With the slip they choose their own password and second factor."


def chips(found: Sequence[tuple[str, str]]) -> None:
    """Several chips in a row: (tone, word)."""
    st.html(f'<div class="sorg-chips">{"".join(widgets.chip(word, tone) for tone, word in found)}</div>')


# Asking for a change --------------------------------------------------------------------------------------------


def lonely() -> bool:
    """True when there is one admin only, who can sign in."""
    cards, total = desk.ask(people.people, role=Role.ADMIN, standing="active", size=3)
    return total - sum(c.is_break_glass for c in cards) <= 1


def how_approved() -> str:
    """Who approves what is asked for here, as a page's first line says it."""
    return approving(lonely=lonely(), by_oneself=desk.rule("single_admin"))


def approving(*, lonely: bool, by_oneself: bool) -> str:
    """lonely: one admin only can sign in; by_oneself: the practice has said that one may approve alone."""
    what = "Every change to accounts, roles and rights is asked for"
    if not lonely:
        return f"{what} by one admin and approved by another."
    if by_oneself:
        return f"{what} and approved by the only admin, and applied after a delay in which it can be stopped."
    return f"{what} by one admin and approved by another; until there is a second one, it waits."


def explain_alone() -> None:
    """How approving goes in a practice with one admin; nothing where there are two."""
    if not desk.may(Permission.PEOPLE_MANAGE) or not lonely():
        return
    if desk.rule("single_admin"):
        hours = int(desk.rule("single_admin_delay").total_seconds() // 3600)
        st.info(
            f"You are the only admin. You approve your own requests, and each is applied {hours} hours later; until then it "
            "can be stopped under Requests, and it stands among the alerts.",
            icon=":material/person_alert:",
        )
    else:
        st.warning(
            "You are the only admin who can sign in: make a second one on the practice's machine with `sorg people admin`, or set "
            "SORG_SINGLE_ADMIN (docs/roles/admin.md, *When you are the only admin*). Until then nobody can approve what you "
            "ask for.",
            icon=":material/person_alert:",
        )


def ask_for(kind: str, *, payload: dict[str, Any], why: str, forget: str = "") -> None:
    """Ask, and say what comes next; refused, the reasons are on the page. forget: what was looked up for this request."""
    if has_why(why) and desk.do(changes.ask, kind=kind, payload=payload, why=why):
        if forget:
            st.session_state.pop(forget, None)
        banners.forget()
        desk.again(asked())


def asked() -> str:
    """What comes next, for whoever asked."""
    if lonely():
        if desk.rule("single_admin"):
            return "Asked for. Approve it yourself under Requests: it is applied after the delay."
        return "Asked for. It waits under Requests until there is a second admin who approves it."
    return "Asked for. Another admin approves it next, under Requests."


def why_field(key: str) -> str:
    """The reason that the other admin reads."""
    return st.text_input(
        f"{WHY} *",
        key=key,
        max_chars=LONGEST_WHY,
        placeholder=f"At least {SHORTEST_WHY} characters; whoever approves it reads this",
    )


def has_why(why: str) -> bool:
    """True when a reason was given; else the page says that one is needed."""
    if len(why.strip()) >= SHORTEST_WHY:
        return True
    widgets.problems((Problem("why", f"Say why, in at least {SHORTEST_WHY} characters.", "why"),))
    return False


def before_after(lines: Sequence[Line]) -> None:
    """What a request changes, as a table."""
    rows = "".join(
        f"<tr><td>{escape(what)}</td><td>{_cell('del', now)}</td><td>{_cell('ins', then)}</td></tr>"
        for what, now, then in map(said, lines)
    )
    head = "<tr><th>What</th><th>Now</th><th>Then</th></tr>"
    st.html(f'<table class="sorg-lines"><thead>{head}</thead><tbody>{rows}</tbody></table>')


# What a line is called, and what it says, where the screen has another word for it than the request.
_CALLED = {"login": "Signs in as", "registration": "HPCSA registration", "standing": "State"}
_WORDS: dict[str, dict[str, str]] = {
    "standing": {key: word for key, (_, word) in STANDINGS.items()},
    "what ends": {"grant": "Access of one person", "block": "The record is closed"},
    "kind": access.BLOCKS,
}


def said(line: Line) -> tuple[str, str, str]:
    """What a line changes, how it is and how it will be, in the words of the screen."""
    if line.what == "scope":
        return "Sees which patients", SCOPES.get(line.before, line.before), SCOPES.get(line.after, line.after)
    words = _WORDS.get(line.what, {})
    called = _CALLED.get(line.what, line.what[:1].upper() + line.what[1:])
    return called, words.get(line.before, line.before), words.get(line.after, line.after)


def _cell(tag: str, text: str) -> str:
    return f"<{tag}>{escape(text)}</{tag}>" if text else "–"


def stepup_address(card: RequestCard) -> str:
    """Where a key is touched for this request, and the way back."""
    back = f"/requests?request={card.id}"
    return f"/stepup?for={quote(card.purpose, safe='')}&next={quote(back, safe='')}"


def find_groups(key: str) -> dict[str, str]:
    """Groups to choose from, id to name: those that give roles here, and those that a search finds."""
    found = {g.group_id: g.group_name for g in desk.ask(groups.mapping)}
    text = st.text_input("Find another group", key=key, placeholder="Part of its name; Enter searches")
    if text.strip():
        done = desk.do(groups.search, text, most=30)
        if done:
            found = {g.id: g.name for g in done.value} | found
            st.caption(f"{len(done.value)} found; choose below." if done.value else "No group of that name.")
    return found


def whose_file(key: str, *, note: str) -> PatientCard | None:
    """Whose file it is, read before anything is asked for: a wrong digit would mean somebody else's record."""
    kept = st.session_state.get(key)
    if kept is None:
        with st.form(f"{key}-form", border=True):
            left, right = st.columns([4, 2], vertical_alignment="bottom")
            number = left.text_input(
                "File number", max_chars=40, placeholder="Exactly as on the file", key=f"{key}-number"
            )
            sent = right.form_submit_button(
                "Whose file is it?", type="primary", width="stretch", icon=":material/search:"
            )
        if sent and (done := desk.do(access.look_up, number=number)):
            st.session_state[key] = done.value
            st.rerun()
        st.caption("The next step shows whose file it is. Each look-up is on record.")
        return None
    card = desk.glance(patients.open_patient, kept)
    with st.container(border=True):
        if card is None:
            widgets.empty("This record is closed to you", "An admin who may open it can ask for this.")
        else:
            widgets.heading(card.name)
            widgets.facts(
                {
                    "Born": widgets.day(card.particulars.born_on),
                    "File": card.file_number,
                    "Sex": widgets.SEXES.get(card.particulars.sex, card.particulars.sex),
                }
            )
            st.caption(note)
        if st.button("Another file", icon=":material/arrow_back:", type="tertiary", key=f"{key}-another"):
            st.session_state.pop(key, None)
            st.rerun()
    return card


def sites_of(text: str) -> list[str]:
    """01, 02 as the request keeps it."""
    return sorted({part.upper() for part in text.replace(";", ",").replace(",", " ").split()})


# Slips, shown once ----------------------------------------------------------------------------------------------


def keep_slips(slips: Sequence[Slip], *, about: UUID, card: PersonCard | None = None) -> None:
    """For the very next drawing of the page that is about this, and no longer. card: of the one person, when it is one."""
    opens = (
        slip_opens(card, slips[0]) if card else "With it they choose their own password and second factor."
    )
    st.session_state[_SLIP] = (about, tuple(slips), _address(card.roles if card else ()), opens)


def show_slips(about: UUID) -> bool:
    """The slips that were just made, and whether there were any. Drawing forgets them: the next click hides them for good."""
    kept: tuple[UUID, tuple[Slip, ...], str, str] | None = st.session_state.pop(_SLIP, None)
    if kept is None or kept[0] != about:
        return False
    _, slips, address, opens = kept
    with st.container(border=True, key="sorg-slip"):
        one = slips[0] if len(slips) == 1 else None
        widgets.heading(
            "The sign-in slip is shown once" if one else f"{len(slips)} sign-in slips, shown once"
        )
        if one:
            widgets.facts(
                {
                    "For": one.name,
                    "Signs in as": one.login,
                    "At": address,
                    "Works until": widgets.when(one.ends_at),
                }
            )
            widgets.code(one.code)
        st.write(
            f"Print it now and hand it over in person. {opens} The next click on this page hides it. If it goes lost, make a "
            "new one; the old one is void then."
            if one
            else "Print them now, a page each, and hand them over in person. The next click on this page hides them. If they "
            "go lost, print them again; the old ones are void then."
        )
        a, b, _ = st.columns([1.3, 1, 3])
        a.download_button(
            "Print: save as PDF",
            _paper(slips, address),
            mime="application/pdf",
            type="primary",
            width="stretch",
            file_name=f"sign-in-slip-{one.login}.pdf" if one else "sign-in-slips.pdf",
            icon=":material/print:",
            on_click="ignore",
        )
        b.button("Done, hide it" if one else "Done, hide them", width="stretch")
    return True


def _paper(slips: Sequence[Slip], address: str) -> bytes:
    ours = desk.ask(practice.particulars).name
    return slip_paper.render(
        [PaperSlip(s.name, s.login, address, s.code, s.ends_at, s.sets_password) for s in slips],
        practice=ours,
    )


def _address(roles: Sequence[str]) -> str:
    """Staff begin at the console, patients and referring doctors at their own door."""
    if set(roles) & set(OUTSIDE):
        return f"{desk.rule('gateway_url')}/account/activate"
    return f"{desk.origin()}/activate"
