"""The report: drafted, transcribed, proof-read, signed. Texts are append-only versions; nothing true is overwritten."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select

from core import factors, workflow
from core.errors import Missing, Refused, Stale
from core.rules.person_texts import called_at
from core.rules.report_paper import require_printable
from core.rules.report_text import LONGEST, Mark, differences, sections, tidy
from core.rules.roles import Permission
from core.rules.steps import FINAL, STEPS, Status
from core.store.model import Patient, Person, ReportVersion, Study
from core.store.work import Subject, Work
from core.workflow import Board, Filters, StudyCard


@dataclass(frozen=True)
class VersionCard:
    """One text of a report."""

    id: UUID
    study_id: UUID
    number: int
    kind: str  # draft, transcribed, proofread, signed
    text: str
    author: str
    at: datetime
    digest: str
    signature: str


@dataclass(frozen=True)
class Desk:
    """What the radiologist or transcriptionist has before them: the study, the newest text, the whole line of texts."""

    study: StudyCard
    current: VersionCard | None
    versions: tuple[VersionCard, ...]


@dataclass(frozen=True)
class ProofReading:
    """The difference between the radiologist's own last text and the one that came back."""

    study: StudyCard
    before: VersionCard | None
    after: VersionCard
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class SignedReport:
    """A signed report with what a letterhead and a claim need. is_intact: digest and signature were checked on read."""

    version: VersionCard
    study: StudyCard
    signer: str
    registration: str
    sections: tuple[tuple[str, str], ...]
    is_intact: bool
    images_unchanged: bool


# The radiologist ------------------------------------------------------------------------------------------------


def begin(work: Work, study_id: UUID) -> None:
    """Start a report: the study is this radiologist's from now on."""
    with work.act(Permission.REPORT_WRITE, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        workflow.move(work, study, "begin")
        study.radiologist_id = work.actor.person
        workflow.hold(work, study)
        facts["step"] = "begin"


def save(work: Work, study_id: UUID, *, text: str, based_on: UUID | None) -> UUID:
    """Keep the text as it stands. `based_on` is the version that was on the screen; a newer one is never overwritten."""
    with work.act(Permission.REPORT_WRITE, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        _require_status(study, Status.REPORTING, Status.PROOFREADING)
        _require_own(work, study)
        kind = "draft" if study.status == Status.REPORTING else "proofread"
        version = _add_version(work, study, text, kind=kind, based_on=based_on)
        facts |= {"version": version.number, "kind": kind}
        return version.id


def pass_on(work: Work, study_id: UUID, *, text: str, based_on: UUID | None) -> UUID:
    """Keep the text and pass it to the transcriptionists."""
    return _keep_and_move(work, study_id, text=text, based_on=based_on, kind="draft", step="pass_on")


def skip_transcription(work: Work, study_id: UUID, *, text: str, based_on: UUID | None) -> UUID:
    """Keep the text and proof-read it without a transcriptionist."""
    return _keep_and_move(work, study_id, text=text, based_on=based_on, kind="draft", step="skip")


def send_back(work: Work, study_id: UUID, *, text: str, based_on: UUID | None) -> UUID:
    """Keep the radiologist's remarks in the text and let a transcriptionist have it once more."""
    return _keep_and_move(work, study_id, text=text, based_on=based_on, kind="proofread", step="return")


def proof_read(work: Work, study_id: UUID) -> ProofReading:
    """The marked-up difference: what the transcriptionist changed in the radiologist's own last text."""
    with work.reading(Permission.REPORT_WRITE, Subject.study(study_id)):
        study = work.get(Study, study_id)
        _require_status(study, Status.PROOFREADING)
        texts = _versions(work, study_id)
        if not texts:
            raise Missing("There is no text to proof-read yet.")
        before, after = _own_text_before(texts, study.radiologist_id), texts[-1]
        marks = differences(before.text if before else after.text, after.text)
        return ProofReading(
            workflow.card_of(work, study), before and _card(work, before), _card(work, after), marks
        )


def sign(work: Work, study_id: UUID, *, text: str, based_on: UUID, code: str = "") -> UUID:
    """Sign with a fresh code, or with one's key touched for `purpose_of` this text. The signature covers text, patient, accession, image set and the version before it."""
    with work.act(Permission.REPORT_SIGN, Subject.study(study_id)) as facts:
        _require_length(text)
        study = work.get(Study, study_id, lock=True)
        _require_status(study, Status.PROOFREADING)
        _require_own(work, study)
        # What cannot be printed could never reach the PACS or the patient, and a signed text is not changed again.
        require_printable(sections(tidy(text)))
        facts["by"] = factors.require(work, purpose_of(study_id, based_on), code=code)
        current = work.db.get(ReportVersion, study.current_version_id)
        if current is None or current.id != based_on:
            raise Stale(_NEWER)
        if current.kind != "proofread" or tidy(text) != current.text:
            current = _add_version(work, study, text, kind="proofread", based_on=based_on)
        signed = _add_version(work, study, current.text, kind="signed", based_on=current.id)
        _make_final(work, study, signed)
        facts |= {"version": signed.number, "digest": signed.digest}
        return signed.id


def purpose_of(study_id: UUID, based_on: UUID) -> str:
    """What a fresh proof for signing is bound to: this report, as it was read."""
    return f"sign:{study_id}:{based_on}"


def _make_final(work: Work, study: Study, signed: ReportVersion) -> None:
    """Make `signed` the report of record and move the study; its errand attaches the PDF in the PACS."""
    study.signed_version_id = signed.id
    study.current_version_id = (
        signed.previous_id
    )  # The need reads the proof-read text; the signed one follows it.
    workflow.move(work, study, "sign")
    study.current_version_id = signed.id
    workflow.let_go(study)


def take_over(work: Work, study_id: UUID, *, reason: str) -> None:
    """Another radiologist goes on with a report whose own radiologist cannot. The texts so far stay whose they are."""
    with work.act(Permission.REPORT_WRITE, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        _require_status(
            study, Status.REPORTING, Status.TO_TRANSCRIBE, Status.TRANSCRIBING, Status.PROOFREADING
        )
        if str(study.radiologist_id) == work.actor.id:
            raise Refused("This report is yours already.")
        if not reason.strip() or len(reason) > 300:
            raise Refused("Say in a few words why you take this report over.")
        facts |= {"from": study.radiologist_id, "reason": reason.strip()}
        study.radiologist_id = work.actor.person
        if study.status in (Status.REPORTING, Status.PROOFREADING):
            workflow.let_go(study)


# The transcriptionist -------------------------------------------------------------------------------------------


_IN_TRANSCRIPTION = (Status.TO_TRANSCRIBE, Status.TRANSCRIBING)


def queue(work: Work, filters: Filters = Filters(), *, page: int = 1, size: int = 50) -> Board:
    """What waits for transcription, and who has what."""
    with work.look(Permission.TRANSCRIPTION_SEE):
        return workflow.list_studies(work, workflow.within(filters, _IN_TRANSCRIPTION), page=page, size=size)


def take(work: Work, study_id: UUID) -> Desk:
    """Take a draft under a lease. The lease protects people's work; the version check protects the text."""
    with work.act(Permission.TRANSCRIBE, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        if study.status == Status.TRANSCRIBING:
            # A lease that ran out is free for the next person; a running one is refused by name.
            workflow.hold(work, study)
        else:
            workflow.move(work, study, "take")
            study.lease_by = None
            workflow.hold(work, study)
        facts["step"] = "take"
        return _desk(work, study)


def keep(work: Work, study_id: UUID, *, text: str, based_on: UUID) -> UUID:
    """Keep a transcriptionist's text and renew the lease."""
    with work.act(Permission.TRANSCRIBE, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        _require_status(study, Status.TRANSCRIBING)
        _require_lease(work, study)
        version = _add_version(work, study, text, kind="transcribed", based_on=based_on)
        workflow.hold(work, study)
        facts["version"] = version.number
        return version.id


def put_back(work: Work, study_id: UUID) -> None:
    """Give the draft back to the queue unchanged."""
    with work.act(Permission.TRANSCRIBE, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        workflow.move(work, study, "put_back")
        workflow.let_go(study)
        facts["step"] = "put_back"


def pass_back(work: Work, study_id: UUID, *, text: str, based_on: UUID) -> UUID:
    """Keep the corrected text and pass it to the radiologist for proof-reading."""
    with work.act(Permission.TRANSCRIBE, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        _require_status(study, Status.TRANSCRIBING)
        _require_lease(work, study)
        version = _add_version(work, study, text, kind="transcribed", based_on=based_on)
        workflow.move(work, study, "pass_back")
        workflow.let_go(study)
        facts |= {"version": version.number, "step": "pass_back"}
        return version.id


# Reading --------------------------------------------------------------------------------------------------------


def open_desk(work: Work, study_id: UUID) -> Desk:
    """The radiologist's desk: study, newest text, all texts. Recorded once per sitting."""
    with work.reading(Permission.REPORT_WRITE, Subject.study(study_id)):
        return _desk(work, work.get(Study, study_id))


def open_draft(work: Work, study_id: UUID) -> Desk:
    """The transcriptionist's desk. Only reports in transcription are there to be opened."""
    with work.reading(Permission.TRANSCRIBE, Subject.study(study_id)):
        study = work.get(Study, study_id)
        _require_status(study, Status.TO_TRANSCRIBE, Status.TRANSCRIBING)
        return _desk(work, study)


def read_signed(work: Work, study_id: UUID) -> SignedReport:
    """The signed report, its signature checked on this read. Raises Missing while there is none."""
    with work.reading(Permission.REPORT_READ, Subject.study(study_id)):
        return signed_report(work, work.get(Study, study_id))


def signed_report(work: Work, study: Study) -> SignedReport:
    """For sibling verbs inside their own gate."""
    if study.signed_version_id is None or Status(study.status) not in FINAL:
        raise Missing("There is no signed report yet.")
    version = work.get(ReportVersion, study.signed_version_id, what="report")
    signer = work.db.get(Person, version.author_id)
    name, registration = (
        called_at((signer.name, signer.registration), signer.former_names, version.at) if signer else ("", "")
    )
    return SignedReport(
        _card(work, version),
        workflow.card_of(work, study),
        name,
        registration,
        sections(version.text),
        is_intact(work, study, version),
        version.image_digest == study.image_digest,
    )


def is_intact(work: Work, study: Study, version: ReportVersion) -> bool:
    """True when digest and signature still fit the stored text, patient, accession and image set."""
    expected = digest_of(work, study, version)
    if expected != version.digest:
        return False
    try:
        _signing_key(work).public_key().verify(bytes.fromhex(version.signature), bytes.fromhex(expected))
    except (InvalidSignature, ValueError):
        return False
    return True


# Inside ---------------------------------------------------------------------------------------------------------

_NEWER = (
    "Somebody saved a newer text meanwhile. Yours is still on the screen: compare the two, then save again."
)


def digest_of(work: Work, study: Study, version: ReportVersion) -> str:
    """SHA-256 over the canonical bytes of a version: one field a line, each with its length, texts in UTF-8."""
    patient = work.db.scalars(select(Patient).where(Patient.id == study.patient_id)).one()
    # A link holder sees one version only; the digest of the one before it is no secret, and the signature covers it.
    previous = work.db.scalars(
        select(ReportVersion.digest)
        .where(ReportVersion.id == version.previous_id)
        .execution_options(the_gates_own=True)
    ).one_or_none()
    fields = {
        "format": "sorg-report-1",
        "study": str(study.id),
        "number": str(version.number),
        "kind": version.kind,
        "previous": previous or "",
        "patient": str(patient.id),
        "file": patient.file_number,
        "accession": study.accession,
        "study-uid": study.study_uid,
        "images": version.image_digest,
        "author": str(version.author_id),
        "at": version.at.isoformat(timespec="microseconds"),
        "text": version.text,
    }
    hashed = hashlib.sha256()
    for name, value in fields.items():
        data = value.encode()
        hashed.update(f"{name} {len(data)}\n".encode() + data + b"\n")
    return hashed.hexdigest()


def _signing_key(work: Work) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(work.keys["signing"])


def _add_version(work: Work, study: Study, text: str, *, kind: str, based_on: UUID | None) -> ReportVersion:
    _require_length(text)
    text = tidy(text)
    if not text:
        raise Refused("Write the report first: it is empty.")
    if study.current_version_id != based_on:
        raise Stale(_NEWER)
    current = work.db.get(ReportVersion, based_on) if based_on else None
    if current and current.text == text and current.kind == kind and current.author_id == work.actor.person:
        return current
    number = (
        work.db.scalar(select(func.max(ReportVersion.number)).where(ReportVersion.study_id == study.id)) or 0
    ) + 1
    version = ReportVersion(
        id=work.new_id(),
        study_id=study.id,
        number=number,
        kind=kind,
        text=text,
        author_id=work.actor.person,
        at=work.now(),
        previous_id=based_on,
        image_digest=study.image_digest,
        digest="",
        signature="",
        origin=work.house.origin,
    )
    with work.db.no_autoflush:
        version.digest = digest_of(work, study, version)
    if kind == "signed":
        version.signature = _signing_key(work).sign(bytes.fromhex(version.digest)).hex()
    work.db.add(version)
    work.db.flush()
    study.current_version_id = version.id
    return version


def _keep_and_move(
    work: Work, study_id: UUID, *, text: str, based_on: UUID | None, kind: str, step: str
) -> UUID:
    with work.act(STEPS[step].may, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id, lock=True)
        _require_status(study, *STEPS[step].before)
        _require_own(work, study)
        version = _add_version(work, study, text, kind=kind, based_on=based_on)
        workflow.move(work, study, step)
        workflow.let_go(study)
        facts |= {"version": version.number, "step": step}
        return version.id


def _require_length(text: str) -> None:
    # Before anything walks the text: the writer's lock is held meanwhile.
    if len(text) > LONGEST:
        raise Refused(
            f"A report holds at most {LONGEST:,} characters; this text is longer.".replace(",", " ")
        )


def _require_status(study: Study, *statuses: Status) -> None:
    if Status(study.status) not in statuses:
        raise Refused(
            f"This is not possible now: the study is at '{workflow.LOOKS[Status(study.status)].label}'."
        )


def _require_own(work: Work, study: Study) -> None:
    if str(study.radiologist_id) != work.actor.id:
        raise Refused(f"This report is {workflow.name_of(work, study.radiologist_id)}'s.")


def _require_lease(work: Work, study: Study) -> None:
    if str(study.lease_by) != work.actor.id:
        raise Refused("Somebody else has this report now. Your text was not saved over theirs.")


def _versions(work: Work, study_id: UUID) -> list[ReportVersion]:
    return list(
        work.db.scalars(
            select(ReportVersion).where(ReportVersion.study_id == study_id).order_by(ReportVersion.number)
        )
    )


def _own_text_before(texts: list[ReportVersion], radiologist_id: UUID | None) -> ReportVersion | None:
    """The radiologist's last text that a transcriptionist has worked on since; without one, the last draft.

    Texts saved while proof-reading come later: measured against them, the transcriptionist's changes would vanish.
    """
    numbers = [v.number for v in texts if v.kind == "transcribed"]
    until = numbers[-1] if numbers else texts[-1].number
    kinds = ("draft", "proofread") if numbers else ("draft",)
    own = [v for v in texts if v.number < until and v.author_id == radiologist_id and v.kind in kinds]
    return own[-1] if own else None


def _desk(work: Work, study: Study) -> Desk:
    cards = tuple(_card(work, v) for v in _versions(work, study.id))
    current = next((c for c in cards if c.id == study.current_version_id), None)
    return Desk(workflow.card_of(work, study), current, cards)


def _card(work: Work, v: ReportVersion) -> VersionCard:
    author = workflow.name_of(work, v.author_id)
    return VersionCard(v.id, v.study_id, v.number, v.kind, v.text, author, v.at, v.digest, v.signature)
