"""Patient links: make one for a signed study, see what became of it, withdraw it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import streamlit as st

from console import desk, widgets
from core import sharing, workflow
from core.rules.roles import Permission
from core.sharing import LinkState, MintedLink, ShareCard

_LOOKS = {
    LinkState.WAITING: ("info", "Not opened yet"), LinkState.HERE: ("good", "Open"), LinkState.USED: ("good", "Opened"),
    LinkState.LEFT: ("neutral", "Closed by the patient"), LinkState.EXPIRED: ("neutral", "Expired"),
    LinkState.CLOSED: ("bad", "Closed: wrong answers"), LinkState.REVOKED: ("neutral", "Withdrawn"),
}  # fmt: skip
_LASTS = {
    None: "The usual time",
    1: "One day",
    3: "Three days",
    7: "One week",
    30: "One month",
    90: "Three months",
}
_ENDED = (LinkState.EXPIRED, LinkState.CLOSED, LinkState.REVOKED, LinkState.LEFT)


def render() -> None:
    study_id = desk.about("study")
    if study_id is None:
        widgets.title("Patient links", "One link opens one study, on one device, until it ends.")
        st.caption("A new link is made from a signed study: open the study, then 'Link for the patient'.")
        _links(None)
        return
    card = desk.ask(workflow.open_study, study_id)
    widgets.patient_banner(card.row)
    if desk.may(Permission.SHARE_MINT):
        _mint(study_id)
    widgets.heading("Links of this study")
    _links(study_id)
    if st.button("All links", type="tertiary", icon=":material/arrow_back:"):
        desk.go("shares")


def _mint(study_id: UUID) -> None:
    made: MintedLink | None = st.session_state.get(f"minted-{study_id}")
    if made is not None:
        _hand_over(study_id, made)
        return
    with st.form(f"mint-{study_id}", border=True):
        a, b = st.columns([1, 3])
        days = a.selectbox("Works for", list(_LASTS), format_func=_LASTS.__getitem__)
        note = b.text_input("Note", max_chars=500, placeholder="Optional: who asked, sent to which number")
        if st.form_submit_button("Make the link", type="primary", icon=":material/add_link:"):
            lasts = timedelta(days=days) if days else None
            if done := desk.do(sharing.mint, study_id, lasts=lasts, note=note):
                st.session_state[f"minted-{study_id}"] = done.value
                desk.again("The link is ready.")


def _hand_over(study_id: UUID, made: MintedLink) -> None:
    with st.container(border=True):
        widgets.heading("The link is shown once")
        left, right = st.columns([3, 1])
        with left:
            st.write(
                "Send it to the patient now; the corner of the box copies it. It asks for the date of birth, opens on "
                f"one device only, and ends on {widgets.when(made.expires_at)}."
            )
            widgets.link_box(made.url)
            if st.button("Done, hide it", type="primary"):
                st.session_state.pop(f"minted-{study_id}", None)
                st.rerun()
        with right:
            widgets.qr(made.url)
            st.caption("Or let them scan it here.")


def _links(study_id: UUID | None) -> None:
    at = widgets.page_number("shares", narrowed=study_id)
    cards, total = desk.ask(sharing.shares, study_id=study_id, page=at, size=widgets.PER_PAGE)
    if not cards:
        widgets.empty(
            "No link has been made", "Links can be made once the report is signed and the patient agreed."
        )
        return
    chosen = widgets.pick("shares", [_row(c) for c in cards], [c.id for c in cards])
    widgets.pager("shares", total, what="links")
    card = next((c for c in cards if c.id == chosen), None)
    if card is None:
        st.caption("Choose a row for more, or to withdraw the link.")
        return
    with st.container(border=True):
        tone, word = _LOOKS[card.state]
        widgets.show_chip(word, tone)
        widgets.facts(
            {
                "Patient": card.patient,
                "Study": f"{card.description}, {card.accession}",
                "Made by": card.minted_by,
                "Made": widgets.when(card.minted_at),
                "Ends": widgets.when(card.expires_at),
                "Opened": f"{widgets.when(card.opened_at)} with {card.opened_with}"
                if card.opened_at
                else "not yet",
                "Looked at": f"{card.looked} times" if card.looked else "",
                "Images": str(card.images),
                "Wrong answers": f"{card.wrong_answers} of {card.tries}" if card.wrong_answers else "",
                "Note": card.note,
                "Withdrawn by": card.revoked_by,
            }
        )
        a, b = st.columns(2)
        if desk.has_page("study") and a.button("Open study", width="stretch"):
            desk.go("study", study=card.study_id)
        if (
            desk.may(Permission.SHARE_REVOKE)
            and card.state not in _ENDED
            and b.button("Withdraw the link", width="stretch", icon=":material/link_off:")
            and desk.do(sharing.revoke, card.id)
        ):
            desk.again("Withdrawn. It is shut from now on.")


def _row(c: ShareCard) -> dict[str, object]:
    tone, word = _LOOKS[c.state]
    return {
        "State": f"{widgets.SIGNS[tone]} {word}",
        "Patient": c.patient,
        "Study": c.description,
        "Accession": c.accession,
        "Made": widgets.when(c.minted_at),
        "By": c.minted_by,
        "Ends": widgets.when(c.expires_at),
        "Opened": widgets.when(c.opened_at),
    }
