"""The text of a report on the screen: what is being typed, and the version it was begun from.

The version is remembered from when the text was opened, not from the newest one in the database. A newer text by
somebody else is therefore noticed and never overwritten, and what was typed here is never thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import streamlit as st

from console import desk, widgets
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
    """Draw the text field; what is in it now."""
    at_text, at_base, at_draft = f"text-{study_id}", f"base-{study_id}", f"draft-{study_id}"
    if at_base not in st.session_state:
        st.session_state[at_base] = current.id if current else None
        st.session_state[at_draft] = current.text if current else SKELETON.format(history=history)
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
    st.session_state[at_draft] = text
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


def kept(study_id: UUID, version_id: UUID) -> None:
    """The text on the screen is this version now."""
    st.session_state[f"base-{study_id}"] = version_id


def forget(study_id: UUID) -> None:
    """The text has gone on: the next one to open it starts from the newest version."""
    for name in (f"text-{study_id}", f"base-{study_id}", f"draft-{study_id}"):
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
