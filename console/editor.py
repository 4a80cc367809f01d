"""The text of a report on the screen: what is being typed, and the version it was begun from.

The version is remembered from when the text was opened, not from the newest one in the database. A newer text by
somebody else is therefore noticed and never overwritten, and what was typed here is never thrown away: a session that
ends meanwhile, or a tab that closes, leaves it in console.drafts, and its writer is asked about it at the next opening.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import streamlit as st

from console import desk, drafts, widgets
from console.door import door
from console.drafts import Draft
from core.reporting import VersionCard
from core.rules.report_text import LONGEST

SKELETON = "CLINICAL HISTORY\n{history}\n\nTECHNIQUE\n\n\nFINDINGS\n\n\nCONCLUSION\n"


@dataclass(frozen=True)
class Typed:
    """The text as it stands on the screen, and the version it is based on."""

    text: str
    based_on: UUID | None


def typed(
    study_id: UUID, current: VersionCard | None, *, history: str = "", label: str, height: int = 460
) -> Typed:
    """Draw the text field; what is in it now. A text of before that was not saved is asked about first."""
    at_text, at_base, at_draft, at_start = _names(study_id)
    if at_base not in st.session_state:
        start = current.text if current else SKELETON.format(history=history)
        if (left := _left(study_id)) and left.text != start:
            _offer(study_id, left, current)
            st.stop()  # Otherwise the next save or signature would decide about it, unasked.
        st.session_state[at_base] = current.id if current else None
        st.session_state[at_draft] = st.session_state[at_start] = start
    if at_text not in st.session_state:
        # Streamlit forgets a field that a page did not draw, for instance while another page was open.
        st.session_state[at_text] = st.session_state[at_draft]
    base = st.session_state[at_base]
    if (current.id if current else None) != base:
        _newer(study_id, current)
    with st.container(key="report-text"):
        # The browser takes no longer text: a field of millions of letters would take the whole tab down with it. One more
        # than a report holds, since what comes in by another way is cut there, and a cut text must not pass for a whole one.
        text = st.text_area(
            label, key=at_text, height=height, label_visibility="collapsed", max_chars=LONGEST + 1
        )
        st.caption(f"At most {_count(LONGEST)} characters; a longer paste is not taken.")
    _remember(study_id, text)
    if len(text) > LONGEST:
        st.warning(
            f"This text is longer than the {_count(LONGEST)} characters that a report holds. It is not saved until you "
            "shorten it.",
            icon=":material/format_size:",
        )
    return Typed(text, base)


def unsaved(study_id: UUID) -> str | None:
    """What was typed here and has not gone on, or None when no text is open."""
    return st.session_state.get(f"draft-{study_id}")


def left_over(study_id: UUID) -> str | None:
    """What this person typed for this report and did not save, here or before they were signed out."""
    left = _left(study_id)
    return unsaved(study_id) or (left.text if left else None)


def kept(study_id: UUID, version_id: UUID) -> None:
    """The text on the screen is this version now."""
    _, at_base, at_draft, at_start = _names(study_id)
    st.session_state[at_base] = version_id
    st.session_state[at_start] = st.session_state.get(at_draft)
    door().drafts.drop(_me(), study_id)


def forget(study_id: UUID) -> None:
    """The text has gone on: the next one to open it starts from the newest version."""
    close(study_id)
    door().drafts.drop(_me(), study_id)


def close(study_id: UUID) -> None:
    """Begin from the newest version at the next opening; what was typed and not saved is asked about there."""
    for name in _names(study_id):
        st.session_state.pop(name, None)


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _newer(study_id: UUID, current: VersionCard | None) -> None:
    if current is None:
        return
    st.warning(
        f"{desk.plain(current.author)} saved a newer text at {widgets.when(current.at)}. Yours is still here below. Compare "
        "the two; copy what you want to keep before you take the newer one.",
        icon=":material/difference:",
    )
    with st.expander("The newer text", expanded=True):
        widgets.text_block(current.text)
        st.button("Take the newer text", on_click=forget, args=(study_id,))


# What is left of before -----------------------------------------------------------------------------------------


def _names(study_id: UUID) -> tuple[str, str, str, str]:
    """Where this tab keeps the field, the version it is based on, its text, and the text it was opened with."""
    return f"text-{study_id}", f"base-{study_id}", f"draft-{study_id}", f"start-{study_id}"


def _me() -> UUID:
    return st.session_state[drafts.PERSON]


def _left(study_id: UUID) -> Draft | None:
    return door().drafts.find(_me(), study_id, now=widgets.now())


def _remember(study_id: UUID, text: str) -> None:
    """The text in the field, here and for the case that the session ends or the tab is closed."""
    _, at_base, at_draft, at_start = _names(study_id)
    before, st.session_state[at_draft] = st.session_state[at_draft], text
    if text and text != st.session_state.get(at_start):
        door().drafts.keep(_me(), study_id, text=text, based_on=st.session_state[at_base], at=widgets.now())
    elif before != text:
        # Back to what it was. Another tab of the same person that has typed nothing leaves it alone.
        door().drafts.drop(_me(), study_id)


def _offer(study_id: UUID, left: Draft, current: VersionCard | None) -> None:
    st.warning(
        f"You had typed this at {widgets.when(left.at)}, before you were signed out or the page was closed. It is not saved.",
        icon=":material/history_edu:",
    )
    if (current.id if current else None) != left.based_on and current:
        st.caption(
            f"{desk.plain(current.author)} saved a newer text at {widgets.when(current.at)}. Restoring yours does not replace "
            "it: you see both, and decide."
        )
    row = st.container(horizontal=True)
    row.button("Restore", type="primary", icon=":material/restore:", on_click=_restore, args=(study_id, left))
    row.button("Throw away", icon=":material/delete:", on_click=forget, args=(study_id,))
    widgets.text_block(left.text)


def _restore(study_id: UUID, left: Draft) -> None:
    """Go on with it, still based on the version it was begun from. It stays unsaved, and is kept until it is saved."""
    at_text, at_base, at_draft, at_start = _names(study_id)
    st.session_state.pop(at_text, None)
    st.session_state[at_base], st.session_state[at_draft], st.session_state[at_start] = (
        left.based_on,
        left.text,
        None,
    )
