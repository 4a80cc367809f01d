"""Taking a list of people out of the practice as a file: confirmed afresh, and on record with its number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from console import desk, stepup


def offer(
    label: str,
    verb: Callable[..., bytes],
    *about: Any,
    purpose: str,
    file_name: str,
    next: str,
    most: int,
    **how: Any,
) -> None:
    """The way out, behind one button. `about` and `how` say to the verb what is taken out."""
    made_at = f"taken-{purpose}-{file_name}"
    made: tuple[Any, bytes] | None = st.session_state.get(made_at)
    if made is not None and made[0] == about:
        row = st.container(horizontal=True, vertical_alignment="center")
        row.download_button(
            "Save the file",
            made[1],
            file_name=file_name,
            type="primary",
            icon=":material/download:",
            key=f"save-{made_at}",
            on_click="ignore",
        )
        if row.button("Done", key=f"done-{made_at}"):
            st.session_state.pop(made_at, None)
            st.rerun()
        return
    # What stands in it asks who is here twice; a list is drawn far more often than it is taken out.
    box = st.popover(label, icon=":material/download:", key=f"open-{made_at}", on_change="rerun")
    if not box.open:
        return
    with box:
        st.write(
            "The file holds names. That you took it out, and how many rows, stays on record. Keep it as you would keep paper."
        )
        st.caption(f"At most {most:,} rows.".replace(",", " "))
        proved = stepup.is_proved(purpose)
        code = "" if proved else stepup.code_field(f"code-{made_at}")
        if not proved and stepup.has_key():
            stepup.key_link(purpose, next=next, label="Or touch my key")
        if st.button("Make the file", key=f"make-{made_at}", type="primary") and (
            done := desk.do(verb, *about, code=code, **how)
        ):
            st.session_state[made_at] = (about, done.value)
            st.session_state.pop(f"code-{made_at}", None)
            st.rerun()
