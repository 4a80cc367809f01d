"""Patients: register, find, correct; what they agreed to; and the doctors who send them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from core.errors import Refused, Stale
from core.rules.names import check_identity, compact_identity, fold, person_name, search_words, searchable
from core.rules.pages import rows_before
from core.rules.problems import Problem, stops
from core.rules.roles import Permission
from core.rules.za_time import local_day
from core.store.model import Consent, Patient, Referrer
from core.store.work import Subject, Work


@dataclass(frozen=True)
class Particulars:
    """What reception types. sex: F, M or O (DICOM PatientSex). scheme_code empty: a private patient."""

    family_name: str
    given_names: str
    born_on: date
    sex: str
    identity_kind: str = "none"  # sa-id, passport, none
    identity_number: str | None = None
    title: str = ""
    phone: str = ""
    email: str = ""
    scheme_code: str = ""
    scheme_option: str = ""
    membership_number: str = ""
    dependant_code: str = ""
    member_surname: str = ""
    member_initials: str = ""


@dataclass(frozen=True)
class PatientCard:
    """A patient as pages see one. `version` goes back with a correction, so that no other correction is lost."""

    id: UUID
    version: int
    file_number: str
    particulars: Particulars
    consents: tuple[ConsentCard, ...]

    @property
    def name(self) -> str:
        p = self.particulars
        return f"{p.title} {p.given_names} {p.family_name}".strip()

    def consented(self, purpose: str) -> bool | None:
        """The newest answer for this purpose, or None when it was never asked."""
        return next((c.given for c in self.consents if c.purpose == purpose), None)


@dataclass(frozen=True)
class ConsentCard:
    """One answer: newest first on the card."""

    purpose: str
    given: bool
    how: str
    note: str
    recorded_at: datetime


@dataclass(frozen=True)
class ReferrerCard:
    """A referring doctor. `version` goes back with a correction."""

    id: UUID
    version: int
    name: str
    practice_number: str
    phone: str
    email: str


PURPOSES = {
    "examination": "The examination itself",
    "claim": "Sending a claim to the scheme",
    "share": "A link to images and report",
}
HOW = {
    "signed": "Signed form",
    "verbal": "Said so",
    "guardian": "Parent or guardian",
    "emergency": "Emergency",
}


def register(work: Work, particulars: Particulars) -> UUID:
    """A new patient. Raises Refused with every problem at once; a second file for one ID number is a problem."""
    with work.act(Permission.PATIENT_WRITE) as facts:
        p = _tidy(particulars)
        # The number comes first: whoever registers meanwhile waits for it, and then sees this patient's ID number.
        number = f"{work.house.origin}{work.number('file'):07d}"
        _refuse(check(p) + _against_the_register(work, p, except_id=None))
        patient = Patient(
            id=work.new_id(),
            file_number=number,
            registered_at=work.now(),
            search_text=_search_text(p, number),
            **_columns(p),
        )
        work.db.add(patient)
        facts |= {"patient": patient.id, "file": patient.file_number}
        return patient.id


def correct(work: Work, patient_id: UUID, particulars: Particulars, *, version: int) -> None:
    """Correct a patient's particulars; `version` is the one that was read. The entry names the fields that changed."""
    with work.act(Permission.PATIENT_WRITE, Subject.patient(patient_id)) as facts:
        patient = work.get(Patient, patient_id, lock=True)
        if patient.version != version:
            raise Stale(
                "Somebody else corrected this patient meanwhile. Look again, then repeat your change."
            )
        p = _tidy(particulars)
        _refuse(check(p) + _against_the_register(work, p, except_id=patient_id))
        facts["changed"] = sorted(k for k, v in _columns(p).items() if getattr(patient, k) != v)
        for name, value in _columns(p).items():
            setattr(patient, name, value)
        patient.search_text = _search_text(p, patient.file_number)


def record_consent(
    work: Work, patient_id: UUID, *, purpose: str, given: bool, how: str, note: str = ""
) -> None:
    """Write down what the patient agreed to or refused. Earlier answers stay."""
    with work.act(Permission.PATIENT_WRITE, Subject.patient(patient_id)) as facts:
        if purpose not in PURPOSES or how not in HOW:
            raise Refused("Choose what the consent is for, and how it was given.")
        if len(note) > 1000:
            raise Refused("The note is longer than 1 000 characters.")
        work.get(Patient, patient_id, lock=True)
        work.db.add(
            Consent(
                id=work.new_id(),
                patient_id=patient_id,
                purpose=purpose,
                given=given,
                how=how,
                note=note,
                recorded_by=work.actor.person,
                recorded_at=_after_the_last_answer(work, patient_id),
            )
        )
        facts |= {"consent": purpose, "given": given, "how": how}


def _after_the_last_answer(work: Work, patient_id: UUID) -> datetime:
    """Now, or just after the newest answer: the newest one counts, also when this machine's clock was put back."""
    newest = work.db.scalar(select(func.max(Consent.recorded_at)).where(Consent.patient_id == patient_id))
    return max(work.now(), newest + timedelta(microseconds=1)) if newest else work.now()


def find(
    work: Work, *, search: str = "", page: int = 1, size: int = 50
) -> tuple[tuple[PatientCard, ...], int]:
    """One page of patients by name, file number, ID number or phone, and how many there are."""
    with work.act(Permission.PATIENT_FIND) as facts:
        query = select(Patient)
        for word in search_words(search):
            query = query.where(Patient.search_text.contains(word, autoescape=True))
        total = work.db.scalar(select(func.count()).select_from(query.subquery())) or 0
        rows = work.db.scalars(
            query.order_by(Patient.family_name, Patient.given_names, Patient.id)
            .limit(size)
            .offset(rows_before(page, size))
        )
        facts |= {"words": len(search.split()), "found": total}
        return tuple(_card(p, ()) for p in rows), total


def open_patient(work: Work, patient_id: UUID) -> PatientCard:
    """A patient's whole card; recorded once per sitting."""
    with work.reading(Permission.PATIENT_READ, Subject.patient(patient_id)):
        patient = work.get(Patient, patient_id)
        consents = work.db.scalars(
            select(Consent)
            .where(Consent.patient_id == patient_id)
            .order_by(Consent.recorded_at.desc(), Consent.id.desc())
        )
        return _card(
            patient, tuple(ConsentCard(c.purpose, c.given, c.how, c.note, c.recorded_at) for c in consents)
        )


def add_referrer(
    work: Work, *, name: str, practice_number: str = "", phone: str = "", email: str = ""
) -> UUID:
    """A doctor who sends patients."""
    with work.act(Permission.ORDER_BOOK, Subject("referrer")) as facts:
        _refuse(_referrer_problems(name, practice_number, phone, email))
        row = Referrer(
            id=work.new_id(),
            name=name.strip(),
            practice_number=practice_number,
            phone=phone,
            email=email,
            is_active=True,
        )
        work.db.add(row)
        facts["referrer"] = row.id
        return row.id


def correct_referrer(
    work: Work, referrer_id: UUID, *, name: str, practice_number: str, phone: str, email: str, version: int
) -> None:
    """Correct a referring doctor; `version` is the one that was read. The entry names the fields that changed."""
    with work.act(Permission.ORDER_BOOK, Subject("referrer", str(referrer_id))) as facts:
        doctor = work.get(Referrer, referrer_id, lock=True)
        if doctor.version != version:
            raise Stale("Somebody else corrected this doctor meanwhile. Look again, then repeat your change.")
        _refuse(_referrer_problems(name, practice_number, phone, email))
        values = {"name": name.strip(), "practice_number": practice_number, "phone": phone, "email": email}
        facts["changed"] = sorted(k for k, v in values.items() if getattr(doctor, k) != v)
        for key, value in values.items():
            setattr(doctor, key, value)


def referrers(work: Work, *, search: str = "", size: int = 100) -> tuple[ReferrerCard, ...]:
    """Referring doctors by name."""
    with work.look(Permission.BOARD_SEE):
        query = select(Referrer).where(Referrer.is_active)
        if search := searchable(search):
            query = query.where(
                or_(
                    Referrer.name.icontains(search, autoescape=True),
                    Referrer.practice_number.startswith(search, autoescape=True),
                )
            )
        rows = work.db.scalars(query.order_by(Referrer.name).limit(size))
        return tuple(ReferrerCard(r.id, r.version, r.name, r.practice_number, r.phone, r.email) for r in rows)


# Checks ---------------------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_LENGTHS = {
    "family_name": 64, "given_names": 64, "title": 16, "phone": 30, "email": 120, "scheme_code": 12,
    "scheme_option": 60, "membership_number": 30, "dependant_code": 3, "member_surname": 64, "member_initials": 10,
    "identity_number": 30,
}  # fmt: skip


def check(p: Particulars) -> tuple[Problem, ...]:
    """Every problem with what was typed."""
    problems = [
        Problem("too-long", f"This is longer than {most} characters.", name)
        for name, most in _LENGTHS.items()
        if len(getattr(p, name) or "") > most
    ]
    if not p.family_name:
        problems.append(Problem("no-family-name", "Write the surname.", "family_name"))
    if not p.given_names:
        problems.append(Problem("no-given-names", "Write the first names.", "given_names"))
    if p.sex not in ("F", "M", "O"):
        problems.append(Problem("no-sex", "Choose the sex.", "sex"))
    if p.identity_kind not in ("sa-id", "passport", "none"):
        problems.append(Problem("identity-kind", "Choose SA ID, passport or none.", "identity_kind"))
    if p.scheme_code and not p.membership_number:
        problems.append(
            Problem("no-membership", "A scheme patient needs a membership number.", "membership_number")
        )
    if len(person_name(p.family_name, p.given_names, p.title)) > 64:
        problems.append(
            Problem(
                "name-too-long",
                "Surname, first names and title have room for 62 letters together: shorten the first names.",
                "given_names",
            )
        )
    if p.email and not _EMAIL.fullmatch(p.email):
        problems.append(Problem("email", "This is not an e-mail address.", "email"))
    problems += [
        Problem("control-characters", "This holds a character that cannot be printed: type it again.", f.name)
        for f in fields(p)
        if isinstance(value := getattr(p, f.name), str) and not value.isprintable()
    ]
    return (*problems, *check_identity(p.identity_kind, p.identity_number, born_on=p.born_on, sex=p.sex))


def _referrer_problems(name: str, practice_number: str, phone: str, email: str) -> tuple[Problem, ...]:
    problems = []
    if not name.strip() or len(name) > 120 or not name.isprintable():
        problems.append(Problem("no-name", "Write the doctor's name, in at most 120 characters.", "name"))
    # The first three of the thirteen name the discipline, so that seven digits cannot be made whole by us.
    if practice_number and not re.fullmatch("[0-9]{13}", practice_number):
        problems.append(
            Problem(
                "practice-number",
                "A practice number has 13 digits, leading zeros included; claims need "
                "them all. Leave it empty if you do not know it.",
                "practice_number",
            )
        )
    if len(phone) > 30 or not phone.isprintable():
        problems.append(Problem("phone", "A phone number has at most 30 characters.", "phone"))
    if email and not (len(email) <= 120 and _EMAIL.fullmatch(email)):
        problems.append(Problem("email", "This is not an e-mail address.", "email"))
    return tuple(problems)


def _against_the_register(work: Work, p: Particulars, *, except_id: UUID | None) -> tuple[Problem, ...]:
    problems = []
    today = local_day(work.now())
    if p.born_on > today:
        problems.append(Problem("born-tomorrow", "The date of birth lies in the future.", "born_on"))
    if p.born_on.year < today.year - 130:
        problems.append(Problem("born-long-ago", "Nobody is that old: check the date of birth.", "born_on"))
    if p.identity_number:
        same = select(Patient.id, Patient.file_number).where(
            Patient.identity_kind == p.identity_kind, Patient.identity_number == p.identity_number
        )
        # One person has one file, also where this one is out of reach; whose it is, is then not told.
        other = work.db.execute(same.execution_options(the_gates_own=True)).first()
        if other and other.id != except_id:
            mine = work.db.execute(same).first()
            which = f"file {mine.file_number} already" if mine else "a file already that is not yours to see"
            problems.append(
                Problem("already-registered", f"This number belongs to {which}.", "identity_number")
            )
    return tuple(problems)


def _refuse(problems: tuple[Problem, ...]) -> None:
    if stops(problems):
        raise Refused("Please mend what is marked.", problems=problems)


def _tidy(p: Particulars) -> Particulars:
    values: dict[str, Any] = {
        k: _one_spelling(v) if isinstance(v, str) else v for k, v in _columns(p).items()
    }
    values["identity_number"] = compact_identity(p.identity_kind, values["identity_number"])
    return Particulars(**values)


def _one_spelling(text: str) -> str:
    # NFC, as DICOM and every comparison expect it; single spaces, also where a page was copied from.
    return re.sub(" +", " ", unicodedata.normalize("NFC", text).replace("\u00a0", " ")).strip()


def _columns(p: Particulars) -> dict[str, object]:
    return {f.name: getattr(p, f.name) for f in fields(p)}


def _search_text(p: Particulars, file_number: str) -> str:
    digits = "".join(c for c in p.phone if c.isdigit())
    words = (p.family_name, p.given_names, file_number, p.identity_number or "", digits)
    return fold(" ".join(words))[:300]


def _card(p: Patient, consents: tuple[ConsentCard, ...]) -> PatientCard:
    particulars = Particulars(**{f.name: getattr(p, f.name) for f in fields(Particulars)})
    return PatientCard(p.id, p.version, p.file_number, particulars, consents)
