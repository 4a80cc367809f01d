"""Patients: find one, register one, correct what is wrong, and write down what they agreed to."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from uuid import UUID

import streamlit as st

from console import desk, lists, widgets
from core import patients, workflow
from core.patients import HOW, PURPOSES, Particulars, PatientCard
from core.rules.problems import Problem
from core.rules.roles import Permission

_KINDS = {"sa-id": "South African ID", "passport": "Passport", "none": "None"}
_EMPTY = Particulars(family_name="", given_names="", born_on=date(1900, 1, 1), sex="", identity_kind="sa-id")


def render() -> None:
    if patient_id := desk.about("patient"):
        _one(patient_id)
    elif st.query_params.get("new"):
        _register()
    else:
        _find()


# Find -----------------------------------------------------------------------------------------------------------


def _find() -> None:
    widgets.title("Patients", "Look before you register: one patient, one file.")
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    search = left.text_input(
        "Find a patient",
        key="patients-search",
        placeholder="Name, file number, ID number or telephone",
        icon=":material/search:",
        label_visibility="collapsed",
    )
    if desk.may(Permission.PATIENT_WRITE) and right.button(
        "Register a patient", type="primary", width="stretch", icon=":material/person_add:"
    ):
        desk.go("patients", new="1")
    if not search.strip():
        widgets.empty(
            "Who are you looking for?",
            "Type a few letters of the name, or a number.",
            "Each search is on record, so lists of all patients are not shown.",
        )
        return
    at = widgets.page_number("patients", narrowed=search)
    cards, total = _found(search, at)
    if not cards:
        widgets.empty(
            "Nobody found",
            "Check the spelling, or try the date on the referral letter as well.",
            "They were here before? A record that is closed to you is not found either: ask an admin.",
            "If they are new here, register them.",
        )
        return
    chosen = widgets.pick(
        "patients",
        [_row(c) for c in cards],
        [c.id for c in cards],
        columns={"Born": st.column_config.DateColumn(format="DD/MM/YYYY")},
    )
    widgets.pager("patients", total, what="patients")
    if chosen:
        widgets.unpick("patients")
        desk.go("patients", patient=chosen)
    st.caption("Choose a row to open the patient.")


def _found(search: str, at: int) -> tuple[tuple[PatientCard, ...], int]:
    """Each search is an entry of its own in the audit trail, so that a redrawn page must not search again."""
    kept = st.session_state.get("patients-found")
    if kept is None or kept[0] != (search, at):
        kept = ((search, at), desk.ask(patients.find, search=search, page=at, size=widgets.PER_PAGE))
        st.session_state["patients-found"] = kept
    return kept[1]


def _row(card: PatientCard) -> dict[str, object]:
    p = card.particulars
    return {
        "Surname": p.family_name,
        "First names": p.given_names,
        "Born": p.born_on,
        "Sex": widgets.SEXES.get(p.sex, p.sex),
        "File": card.file_number,
        "ID or passport": p.identity_number or "",
        "Telephone": p.phone,
        "Scheme": lists.scheme_name(p.scheme_code),
    }


# Register and correct -------------------------------------------------------------------------------------------


def _register() -> None:
    widgets.title("Register a patient", "Only what the examination and the claim need.")
    if st.button("Back to patients", icon=":material/arrow_back:", type="tertiary"):
        desk.go("patients")
    typed, problems = _form("new", _EMPTY, "Register")
    if typed is None:
        return
    if problems or not (done := desk.do(patients.register, typed, quiet=True)):
        _explain("new", problems or done.problems or (Problem("refused", done.sentence),))
        return
    _forget_search()
    desk.say("Registered. Now record what the patient agrees to.")
    desk.go("patients", patient=done.value)


def _correct(card: PatientCard) -> None:
    typed, problems = _form(f"fix-{card.id}-{card.version}", card.particulars, "Save the correction")
    if typed is None:
        return
    if problems or not (done := desk.do(patients.correct, card.id, typed, version=card.version, quiet=True)):
        _explain(
            f"fix-{card.id}-{card.version}", problems or done.problems or (Problem("refused", done.sentence),)
        )
        return
    _forget_search()
    desk.again("Corrected.")


def _form(name: str, start: Particulars, label: str) -> tuple[Particulars | None, tuple[Problem, ...]]:
    """What was typed, and what is wrong with it that a person should see first; (None, ()) until it is sent."""
    is_new = start is _EMPTY
    with st.form(f"patient-{name}", border=True):
        a, b, c, d = st.columns([1, 3, 3, 1.4])
        values: dict[str, object] = {"title": a.text_input("Title", start.title, max_chars=16)}
        values["family_name"] = b.text_input("Surname", start.family_name, max_chars=64)
        values["given_names"] = c.text_input("First names", start.given_names, max_chars=64)
        values["sex"] = (
            d.selectbox(
                "Sex",
                list(widgets.SEXES),
                format_func=widgets.SEXES.__getitem__,
                index=None if is_new else list(widgets.SEXES).index(start.sex),
                placeholder="Choose",
            )
            or ""
        )
        a, b, c = st.columns([2, 3, 2])
        values["identity_kind"] = a.selectbox(
            "Identity",
            list(_KINDS),
            format_func=_KINDS.__getitem__,
            index=list(_KINDS).index(start.identity_kind),
        )
        values["identity_number"] = b.text_input(
            "ID or passport number", start.identity_number or "", max_chars=30
        )
        born_on = c.date_input(
            "Date of birth",
            None if is_new else start.born_on,
            min_value=date(1900, 1, 1),
            max_value=widgets.today(),
            format="DD/MM/YYYY",
        )
        a, b = st.columns(2)
        values["phone"] = a.text_input("Telephone", start.phone, max_chars=30)
        values["email"] = b.text_input("E-mail", start.email, max_chars=120)
        st.markdown("**Who pays**")
        known = ["", *lists.schemes()]
        codes = known if start.scheme_code in known else [*known, start.scheme_code]
        a, b, c = st.columns([3, 2, 2])
        values["scheme_code"] = a.selectbox(
            "Medical scheme", codes, format_func=lists.scheme_name, index=codes.index(start.scheme_code)
        )
        values["scheme_option"] = b.text_input("Option", start.scheme_option, max_chars=60)
        values["membership_number"] = c.text_input("Membership number", start.membership_number, max_chars=30)
        a, b, c = st.columns([3, 2, 2])
        values["member_surname"] = a.text_input("Main member's surname", start.member_surname, max_chars=64)
        values["member_initials"] = b.text_input("Initials", start.member_initials, max_chars=10)
        values["dependant_code"] = c.text_input("Dependant code", start.dependant_code, max_chars=3)
        sent = st.form_submit_button(label, type="primary")
    if not sent:
        return None, ()
    typed = Particulars(**{**values, "born_on": born_on if isinstance(born_on, date) else widgets.today()})  # type: ignore[arg-type]
    found = patients.check(typed)
    if not isinstance(born_on, date):
        rest = tuple(p for p in found if p.code != "identity-birth")
        return typed, (Problem("no-birth", "Choose the date of birth.", "born_on"), *rest)
    if any(p.stop for p in found):
        return typed, found
    if found and st.session_state.get(f"warned-{name}") != typed:
        # A warning is shown once; sending the same again says that it is right as it stands.
        st.session_state[f"warned-{name}"] = typed
        return typed, found
    return typed, ()


_FIELDS = {"family_name": "Surname", "given_names": "First names", "born_on": "Date of birth", "sex": "Sex",
           "identity_number": "ID number", "membership_number": "Membership number", "phone": "Telephone",
           "email": "E-mail"}  # fmt: skip


def _explain(name: str, problems: tuple[Problem, ...]) -> None:
    """Everything at once, with the field's name before each."""
    named = tuple(
        replace(p, sentence=f"{_FIELDS[p.field]}: {p.sentence}") if p.field in _FIELDS else p
        for p in problems
    )
    widgets.problems(named)
    if not any(p.stop for p in problems):
        st.caption("Send it once more to keep it as it stands.")


# One patient ----------------------------------------------------------------------------------------------------


def _one(patient_id: UUID) -> None:
    card = desk.ask(patients.open_patient, patient_id)
    p = card.particulars
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    with left:
        widgets.title(
            card.name,
            f"File {card.file_number} · born {widgets.day(p.born_on)} ({widgets.age(p.born_on)}) · "
            f"{widgets.SEXES.get(p.sex, p.sex)}",
        )
    if desk.has_page("bookings") and right.button(
        "Book an examination", type="primary", width="stretch", icon=":material/event:"
    ):
        desk.go("bookings", patient=patient_id)
    names = ["Overview", "Consents", "Studies"]
    if desk.may(Permission.PATIENT_WRITE):
        names.append("Correct")
    tab = (
        st.segmented_control(
            "View", names, default="Overview", key=f"patient-tab-{patient_id}", label_visibility="collapsed"
        )
        or "Overview"
    )
    {"Overview": _overview, "Consents": _consents, "Studies": _studies, "Correct": _correct}[tab](card)
    if desk.has_page("audit") and st.button(
        "Who looked at this patient", icon=":material/policy:", type="tertiary"
    ):
        desk.go("audit", patient=patient_id)
    if desk.has_page("patient_access") and st.button(
        "Who may see this patient", icon=":material/lock_person:", type="tertiary"
    ):
        desk.go("patient_access", patient=patient_id)


def _overview(card: PatientCard) -> None:
    p = card.particulars
    left, right = st.columns(2, gap="large")
    with left:
        widgets.heading("Person")
        widgets.facts(
            {
                "Identity" if p.identity_kind == "none" else _KINDS[p.identity_kind]: p.identity_number
                or "none on file",
                "Telephone": p.phone,
                "E-mail": p.email,
            }
        )
        widgets.heading("Who pays")
        widgets.facts(
            {
                "Scheme": lists.scheme_name(p.scheme_code),
                "Option": p.scheme_option,
                "Membership": p.membership_number,
                "Dependant": p.dependant_code,
                "Main member": f"{p.member_initials} {p.member_surname}".strip(),
            }
        )
    with right:
        widgets.heading("Agreed to")
        for purpose in PURPOSES:
            _consent_line(card, purpose)
    _studies(card)


def _consent_line(card: PatientCard, purpose: str) -> None:
    given = card.consented(purpose)
    tone, word = {True: ("good", "yes"), False: ("bad", "no"), None: ("warn", "not asked yet")}[given]
    newest = next((c for c in card.consents if c.purpose == purpose), None)
    when = f"{HOW.get(newest.how, newest.how)}, {widgets.when(newest.recorded_at)}" if newest else ""
    widgets.line(PURPOSES[purpose], word, tone, when)


def _consents(card: PatientCard) -> None:
    for purpose in PURPOSES:
        _consent_line(card, purpose)
    if desk.may(Permission.PATIENT_WRITE):
        with st.form(f"consent-{card.id}", clear_on_submit=True):
            a, b, c = st.columns([3, 2, 2])
            purposes = a.multiselect(
                "What for",
                list(PURPOSES),
                format_func=PURPOSES.__getitem__,
                default=[p for p in PURPOSES if card.consented(p) is None],
                placeholder="Choose one or more",
            )
            answer = b.segmented_control("Answer", ["Agrees", "Refuses"], default="Agrees")
            how = c.selectbox("How", list(HOW), format_func=HOW.__getitem__)
            note = st.text_input(
                "Note", max_chars=300, placeholder="Optional, for instance who signed for a child"
            )
            if st.form_submit_button("Record", type="primary") and purposes and answer:
                for purpose in purposes:
                    if not desk.do(
                        patients.record_consent,
                        card.id,
                        purpose=purpose,
                        given=answer == "Agrees",
                        how=how,
                        note=note,
                    ):
                        return
                desk.again("Recorded. Earlier answers stay on record.")
    if card.consents:
        widgets.heading("On record")
        widgets.table(
            [
                {
                    "When": widgets.when(c.recorded_at),
                    "What for": PURPOSES.get(c.purpose, c.purpose),
                    "Answer": "agrees" if c.given else "refuses",
                    "How": HOW.get(c.how, c.how),
                    "Note": c.note,
                }
                for c in card.consents
            ]
        )


def _studies(card: PatientCard) -> None:
    rows = desk.ask(workflow.studies_of, card.id)
    widgets.heading("Studies")
    if not rows:
        widgets.empty("No examination yet", "Book one, and it appears here and on the board.")
        return
    chosen = widgets.pick(
        f"studies-{card.id}",
        [
            {
                "Status": [widgets.said_status(r.status)],
                "Examination": r.description,
                "Mod.": r.modality,
                "Booked for": widgets.when(r.booked_for_at),
                "Accession": r.accession,
                "Referrer": r.referrer,
                "Radiologist": r.radiologist,
            }
            for r in rows
        ],
        [r.id for r in rows],
        columns={"Status": widgets.status_column()},
    )
    if chosen and desk.has_page("study"):
        widgets.unpick(f"studies-{card.id}")
        desk.go("study", study=chosen)


def _forget_search() -> None:
    st.session_state.pop("patients-found", None)
