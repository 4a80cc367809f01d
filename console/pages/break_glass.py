"""Break the glass: open one patient who is out of reach, in an emergency, with a reason and a fresh proof."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import streamlit as st

from console import anew, banners, desk, stepup, widgets
from console.door import door
from core import access
from core.rules.reasons import LONGEST_REASON, SHORTEST_REASON

_DRAFT = "break-glass"


@dataclass(frozen=True)
class _Draft:
    """What was typed before the page was left for the key."""

    number: str = ""
    reason: str = ""


def render() -> None:
    widgets.title(
        "Break the glass",
        "For when care depends on a record that is closed to you, and nobody can open it in time.",
    )
    _what_happens()
    draft: _Draft | None = stepup.kept(_DRAFT)
    if draft is not None and draft.number:
        _with_key(draft)
    else:
        _with_code(draft or _Draft())


def _what_happens() -> None:
    hours = int(door().house.rules["glass_lasts"] / timedelta(hours=1))
    st.markdown(
        f"- This one patient opens to you, at once, for **{hours} {'hour' if hours == 1 else 'hours'}**. A red banner says so while it lasts.\n"
        "- The admins are told now. Somebody else reads your reason and what you opened, **today**.\n"
        "- Nobody is in trouble for an honest emergency. Looking without need is misuse, and stays on record."
    )


def _with_code(draft: _Draft) -> None:
    with st.form("break-glass", border=True):
        number = st.text_input(
            "Number of the patient or the study",
            draft.number,
            max_chars=64,
            key="glass-number",
            placeholder="File number, accession number or SA ID number, digit by digit",
        )
        reason = st.text_area(
            "Why do you need this record now?",
            draft.reason,
            max_chars=LONGEST_REASON,
            height=100,
            key="glass-reason",
            placeholder="For example: unconscious in resus, Dr Naidoo asks for the previous CT",
        )
        with st.columns([1, 2])[0]:
            code = stepup.code_field("glass-code")
        row = st.container(horizontal=True)
        breaks = row.form_submit_button("Break the glass", type="primary", icon=":material/emergency:")
        by_key = stepup.has_key() and row.form_submit_button("Use my key instead", icon=":material/key:")
    if not (breaks or by_key):
        return
    if not number.strip() or len(reason.strip()) < SHORTEST_REASON:
        st.warning(
            f"Write the number, and why in at least {SHORTEST_REASON} characters.", icon=":material/info:"
        )
    elif _is_open(number):
        pass  # Said, with the way there: neither a code nor a key is used up for it.
    elif by_key:
        stepup.keep(_DRAFT, _Draft(number.strip(), reason.strip()))
        st.rerun()
    else:
        _break(number, reason, code)


def _with_key(draft: _Draft) -> None:
    """Nothing can be typed here, so that what was confirmed is what is done."""
    purpose = access.glass_purpose(draft.number, desk.actor().session)
    if _is_open(draft.number):
        stepup.drop(_DRAFT)
        return
    with st.container(border=True):
        widgets.facts({"Number": draft.number, "Reason": draft.reason})
        if stepup.is_proved(purpose):
            st.caption("Confirmed with your key.")
            if st.button("Break the glass", type="primary", icon=":material/emergency:"):
                _break(draft.number, draft.reason, "")
        else:
            stepup.key_link(purpose, next="/break_glass")
        if st.button("Change this", type="tertiary", icon=":material/edit:"):
            stepup.drop(_DRAFT)
            st.rerun()


def _is_open(number: str) -> bool:
    """Whether there is nothing to break: said, with the way to the record."""
    found = desk.glance(access.open_already, number=number)
    if found is None:
        return False
    patient_id, study_id = found
    st.info(access.OPEN_ALREADY, icon=":material/lock_open:")
    page, about, row = _record(patient_id, study_id)
    if desk.has_page(page):
        st.page_link(
            desk.page(page),
            label="Open the record",
            icon=":material/arrow_forward:",
            query_params={about: str(row)},
        )
    return True


def _record(patient_id: UUID, study_id: UUID | None) -> tuple[str, str, UUID]:
    """Page, name and id of what was meant: the study whose number was typed, or the patient."""
    if study_id and desk.has_page("study"):
        return "study", "study", study_id
    return "patients", "patient", patient_id


def _break(number: str, reason: str, code: str) -> None:
    done = desk.do(access.break_glass, number=number, reason=reason, code=code)
    if not done:
        return
    stepup.drop(_DRAFT)
    banners.forget()
    page, about, row = _record(done.value.patient_id, done.value.study_id)
    if code:
        # What this code opened stays open for hours: it belongs to a token that nobody had before.
        st.success("It is open. One moment, the record comes by itself.", icon=":material/lock_open:")
        anew.lead("Open the record", f"/{page}?{about}={row}")
    desk.go(page, **{about: row})
