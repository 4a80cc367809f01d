"""Bookings: an examination for a patient, with the doctor who asked for it; and the day's list."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

import streamlit as st

from console import desk, lists, widgets
from core import patients, workflow
from core.rules.roles import Permission
from core.rules.steps import Status
from core.rules.za_time import SAST
from core.workflow import URGENCIES, Booking, Filters

_PLACES = {
    "11": "Here, walk-in (11)",
    "21": "Hospital ward (21)",
    "22": "Hospital out-patient (22)",
    "23": "Casualty (23)",
}


def render() -> None:
    patient_id = desk.about("patient")
    if patient_id is None:
        _day_list()
    else:
        _book(patient_id)


def _day_list() -> None:
    widgets.title("Bookings", "The day's list. To book, choose the patient first.")
    left, right = st.columns([2, 5], vertical_alignment="bottom")
    day = left.date_input("Day", widgets.today(), format="DD/MM/YYYY", key="bookings-day")
    if right.button("Book an examination", type="primary", icon=":material/add:"):
        desk.say("Find or register the patient, then press 'Book an examination' there.")
        desk.go("patients")
    if desk.may(Permission.ORDER_BOOK):
        _correct_doctor()
    filters = Filters(from_on=day, to_on=day)
    at = widgets.page_number("bookings", narrowed=filters)
    board = desk.ask(workflow.board, filters, page=at, size=widgets.PER_PAGE)
    if not board.rows:
        widgets.empty(
            f"Nothing is booked for {widgets.day(day)}", "Choose another day, or book an examination."
        )
        return
    rows = sorted(board.rows, key=lambda r: r.booked_for_at)
    chosen = widgets.pick(
        "bookings",
        [
            {
                "Time": r.booked_for_at.astimezone(SAST).strftime("%H:%M"),
                "Status": [widgets.said_status(r.status)],
                "Patient": r.patient,
                "Born": r.born_on,
                "Examination": r.description,
                "Mod.": r.modality,
                "Urgency": URGENCIES.get(r.urgency, r.urgency),
                "Referrer": r.referrer,
                "Accession": r.accession,
            }
            for r in rows
        ],
        [r.id for r in rows],
        columns={"Status": widgets.status_column(), "Born": st.column_config.DateColumn(format="DD/MM/YYYY")},
    )
    widgets.pager("bookings", board.total, what="bookings")
    if chosen and desk.has_page("study"):
        widgets.unpick("bookings")
        desk.go("study", study=chosen)
    waiting = board.counts.get(Status.WAITING, 0)
    st.caption(
        f"{board.counts.get(Status.BOOKED, 0)} still to come, {waiting} waiting. Choose a row to open it."
    )


def _book(patient_id: UUID) -> None:
    card = desk.ask(patients.open_patient, patient_id)
    p = card.particulars
    widgets.title(
        "Book an examination", f"For {card.name}, born {widgets.day(p.born_on)}, file {card.file_number}."
    )
    if st.button("Another patient", icon=":material/arrow_back:", type="tertiary"):
        desk.go("patients")
    doctors = {r.id: r for r in desk.ask(patients.referrers)}
    every = lists.examinations()
    left, right = st.columns([3, 2], gap="large")
    with left, st.form(f"book-{patient_id}", border=True):
        key = st.selectbox(
            "Examination",
            list(every),
            index=None,
            placeholder="Type to search",
            format_func=lambda k: f"{every[k].name} ({every[k].modality})",
        )
        a, b, c = st.columns(3)
        soon = _next_quarter()
        day = a.date_input("Day", soon.date(), format="DD/MM/YYYY")
        at = b.time_input("Time", soon.time(), step=timedelta(minutes=15))
        urgency = c.selectbox("Urgency", list(URGENCIES), index=2, format_func=URGENCIES.__getitem__)
        a, b = st.columns([2, 1])
        doctor = a.selectbox(
            "Referring doctor",
            list(doctors),
            index=_added(doctors),
            placeholder="Type to search",
            format_func=lambda i: f"{doctors[i].name} {doctors[i].practice_number}".strip(),
        )
        place = b.selectbox("Place", list(_PLACES), format_func=_PLACES.__getitem__)
        history = st.text_area(
            "Clinical history and question",
            max_chars=10_000,
            height=120,
            placeholder="As the referring doctor wrote it",
        )
        if st.form_submit_button("Book", type="primary"):
            chosen = every.get(key or "")
            done = desk.do(
                workflow.book,
                Booking(
                    patient_id=patient_id,
                    examination=chosen.key if chosen else "",
                    modality=chosen.modality if chosen else "",
                    description=chosen.name if chosen else "",
                    booked_for_at=datetime.combine(day, at, tzinfo=SAST),
                    referrer_id=doctor,
                    clinical_history=history,
                    urgency=urgency,
                    place_of_service=place,
                ),
            )
            if done:
                desk.say("Booked.")
                desk.go("study", study=done.value)
    with right:
        widgets.heading("The doctor is not in the list")
        with st.form("referrer", border=True, clear_on_submit=True):
            name = st.text_input("Name", max_chars=120, placeholder="Dr Amahle van der Merwe")
            number = st.text_input(
                "Practice number", max_chars=13, help="13 digits, leading zeros included; claims need it."
            )
            a, b = st.columns(2)
            phone = a.text_input("Telephone", max_chars=30)
            email = b.text_input("E-mail", max_chars=120)
            if st.form_submit_button("Add the doctor") and (
                done := desk.do(
                    patients.add_referrer, name=name, practice_number=number, phone=phone, email=email
                )
            ):
                st.session_state["doctor-added"] = done.value
                desk.again(f"{name} is in the list and chosen.")
        _correct_doctor()


def _correct_doctor() -> None:
    with st.expander("Correct a doctor", icon=":material/edit:"):
        doctors = {r.id: r for r in desk.ask(patients.referrers)}
        chosen = st.selectbox(
            "Doctor",
            list(doctors),
            index=None,
            placeholder="Type to search",
            key="doctor-to-correct",
            format_func=lambda i: f"{doctors[i].name} {doctors[i].practice_number}".strip(),
        )
        if chosen is None or (doctor := doctors.get(chosen)) is None:
            return
        with st.form(f"correct-doctor-{doctor.id}-{doctor.version}", border=False):
            name = st.text_input("Name", doctor.name, max_chars=120)
            number = st.text_input(
                "Practice number",
                doctor.practice_number,
                max_chars=13,
                help="13 digits, leading zeros included; claims need it.",
            )
            a, b = st.columns(2)
            phone = a.text_input("Telephone", doctor.phone, max_chars=30)
            email = b.text_input("E-mail", doctor.email, max_chars=120)
            if st.form_submit_button("Keep the correction") and desk.do(
                patients.correct_referrer,
                doctor.id,
                name=name,
                practice_number=number,
                phone=phone,
                email=email,
                version=doctor.version,
            ):
                desk.again(f"{name} is corrected.")


def _added(doctors: Mapping[UUID, object]) -> int | None:
    added: Any = st.session_state.get("doctor-added")
    return list(doctors).index(added) if added in doctors else None


def _next_quarter() -> datetime:
    now = widgets.now().astimezone(SAST)
    later = now + timedelta(minutes=15 - now.minute % 15)
    return later if later.time() > time(6) else later.replace(hour=7, minute=0)
