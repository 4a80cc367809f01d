"""Links: one study's images and its signed report, for the patient's own phone.

A link is a random secret in an address. Opening the address does nothing; answering the second question rightly
binds the link to that one browser by a second secret. Both secrets are kept as hashes only, and every later request
asks the database again, so that a revoked or expired link is shut at the next image.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import String, Uuid, bindparam, func, select

from core import practice
from core.errors import Denied, Missing, Refused, WrongAnswer
from core.pacs import ImageSet, image_set_of, sealed_report
from core.reporting import is_intact, signed_report
from core.rules.pages import rows_before
from core.rules.report_text import sections
from core.rules.roles import Permission, Role
from core.store.model import (
    AuditEntry,
    Consent,
    Instance,
    Patient,
    Person,
    ReportVersion,
    Share,
    ShareInstance,
    Study,
)
from core.store.model.base import UtcTime
from core.store.work import Actor, Reach, Subject, Work
from core.tokens import hash_token, new_token

SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=90)
_TOKEN_LENGTH = 43  # 256 bits in base64url


class LinkState(StrEnum):
    """What a link is good for now. A link that never existed says EXPIRED, so that guessing learns nothing."""

    WAITING = "waiting"  # not opened yet
    HERE = "here"  # opened in the browser that asks
    USED = "used"  # opened, in another browser
    LEFT = "left"  # the patient said that they are done
    EXPIRED = "expired"
    CLOSED = "closed"  # too many wrong answers
    REVOKED = "revoked"


SENTENCES = {
    LinkState.WAITING: "This link has not been opened yet.",
    LinkState.HERE: "This link is open on this device.",
    LinkState.USED: "This link was used already on another device: ask the practice for a new one.",
    LinkState.LEFT: "You closed these images. To look again, ask the practice for a new link.",
    LinkState.EXPIRED: "This link has expired. Ask the practice for a new one.",
    LinkState.CLOSED: "This link was closed after too many wrong answers. Ask the practice for a new one.",
    LinkState.REVOKED: "The practice has withdrawn this link. Ask them for a new one.",
}


@dataclass(frozen=True)
class MintedLink:
    """A new link. `url` holds the secret: it is shown once, and nobody can read it again."""

    share_id: UUID
    url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class LinkView:
    """What the landing page may know: no name, no study. `until` is None where there is no such link."""

    state: LinkState
    tries_left: int
    until: datetime | None
    practice: FrontDoor


@dataclass(frozen=True)
class FrontDoor:
    """The practice as a stranger may see it."""

    name: str
    phone: str


@dataclass(frozen=True)
class Redeemed:
    """The browser's own secret, and until when it opens the study."""

    share_id: UUID
    session: str = field(repr=False)
    until: datetime


@dataclass(frozen=True)
class SharedStudy:
    """Everything a link shows: its images, and the signed text it was minted for."""

    share_id: UUID
    images: ImageSet
    signed_at: datetime
    signed_by: str
    text: str
    sections: tuple[tuple[str, str], ...]
    until: datetime


@dataclass(frozen=True)
class ShareCard:
    """A link as staff see it. looked: how many sittings opened the study; wrong_answers of tries."""

    id: UUID
    study_id: UUID
    patient_id: UUID
    patient: str
    accession: str
    description: str
    state: LinkState
    note: str
    minted_by: str
    minted_at: datetime
    expires_at: datetime
    opened_at: datetime | None
    opened_with: str
    looked: int
    last_looked_at: datetime | None
    images: int
    wrong_answers: int
    tries: int
    ended_at: datetime | None
    revoked_by: str


# Staff ----------------------------------------------------------------------------------------------------------


def mint(work: Work, study_id: UUID, *, lasts: timedelta | None, note: str = "") -> MintedLink:
    """A link to the study's images as they are now and to its signed report. `lasts` None: the practice's usual time.

    Raises Refused without a signed report, without the patient's consent, or for less than an hour or more than 90 days.
    """
    with work.act(Permission.SHARE_MINT, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id)
        span: timedelta = work.rule("share_lasts") if lasts is None else lasts
        if not SHORTEST <= span <= LONGEST:
            raise Refused("A link works for at least one hour and at most 90 days.")
        if len(note) > 500:
            raise Refused("The note is longer than 500 characters.")
        signed_by, version_id = _report_to_share(work, study)
        if not _agreed(work, study.patient_id):
            raise Refused(
                "The patient has not agreed to a link. Ask, and record the consent on the patient's page first."
            )
        images = [i.id for s in image_set_of(work, study).series for i in s.instances]
        token, now = new_token(work), work.now()
        share = Share(
            id=work.new_id(),
            token_hash=hash_token(token),
            study_id=study_id,
            patient_id=study.patient_id,
            version_id=version_id,
            signed_by=signed_by,
            note=note.strip(),
            minted_by=work.actor.person,
            minted_at=now,
            expires_at=now + span,
            wrong_answers=0,
        )
        work.db.add(share)
        work.db.flush()
        work.db.add_all(
            ShareInstance(share_id=share.id, instance_id=i, origin=work.house.origin) for i in images
        )
        facts |= {"share": share.id, "until": share.expires_at.isoformat(), "images": len(images)}
        return MintedLink(share.id, f"{work.rule('gateway_url').rstrip('/')}/s/{token}", share.expires_at)


def revoke(work: Work, share_id: UUID) -> None:
    """Withdraw a link: the next request through it is refused. Withdrawing twice is the same as once."""
    with work.act(Permission.SHARE_REVOKE, Subject("share", str(share_id))) as facts:
        share = work.get(Share, share_id, what="link")
        facts |= {"patient": share.patient_id, "study": share.study_id}
        if share.revoked_at is None:
            share.revoked_at, share.revoked_by = work.now(), work.actor.person


def shares(
    work: Work, *, study_id: UUID | None = None, page: int = 1, size: int = 50
) -> tuple[tuple[ShareCard, ...], int]:
    """One page of links, newest first, of one study or of all, and how many there are."""
    with work.look(Permission.SHARE_SEE):
        mine = [Share.study_id == study_id] if study_id else []
        total = work.db.scalar(select(func.count()).select_from(Share).where(*mine)) or 0
        found = work.db.execute(
            select(Share, Patient, Study, Person.name)
            .join(Patient, Patient.id == Share.patient_id)
            .join(Study, Study.id == Share.study_id)
            .join(Person, Person.id == Share.minted_by)
            .where(*mine)
            .order_by(Share.minted_at.desc(), Share.id.desc())
            .limit(size)
            .offset(rows_before(page, size))
        ).all()
        looks = _looks(work, [share for share, *_ in found])
        counts = _image_counts(work, [share.id for share, *_ in found])
        return tuple(
            _card(work, share, patient, study, minter, looks.get(str(share.id)), counts.get(share.id, 0))
            for share, patient, study, minter in found
        ), total


# The person with the link ---------------------------------------------------------------------------------------


def front_door(work: Work) -> FrontDoor:
    """The practice's name and telephone number, for whoever stands before the door."""
    with work.look(Permission.SHARE_OPEN):
        return _front_door(work)


def look_at(work: Work, token: str, *, held: str = "") -> LinkView:
    """What the landing page says. Changes nothing, so that a messenger's preview burns no link.

    held: the secret this browser was given when it opened the link, if any.
    """
    with work.look(Permission.SHARE_OPEN):
        share = _by_token(work, token)
        us, tries = _front_door(work), work.rule("share_wrong_answers")
        if share is None:
            return LinkView(LinkState.EXPIRED, tries, None, us)
        state = _state(work, share, held=held)
        return LinkView(state, max(0, tries - share.wrong_answers), share.expires_at, us)


def redeem(work: Work, token: str, *, born_on: date, agent: str = "") -> Redeemed:
    """Open the link in this browser with the patient's date of birth; the first right answer is the only one.

    Raises WrongAnswer (counted; the last one closes the link for good), Refused when the link is used, expired,
    closed or withdrawn, and Missing, in the words of an expired link, when there is no such link.
    """
    with work.act(Permission.SHARE_OPEN, Subject("share")) as facts:
        share = _by_token(work, token, locked=True)
        if share is None:
            raise Missing(SENTENCES[LinkState.EXPIRED])
        facts |= {"share": share.id, "patient": share.patient_id}
        state = _state(work, share)
        if state is not LinkState.WAITING:
            raise Refused(SENTENCES[state])
        if not _same_day(born_on, work.get(Patient, share.patient_id).born_on):
            raise _count_wrong(work, share)
        version = work.get(ReportVersion, share.version_id)
        if not is_intact(work, work.get(Study, share.study_id), version):
            raise Refused("The practice must check this report first. Please call them.")
        session = new_token(work)
        share.session_hash, share.opened_at = hash_token(session), work.now()
        share.opened_with = browser_of(agent)
        facts["with"] = share.opened_with
        return Redeemed(share.id, session, share.expires_at)


def actor_of(work: Work, session: str, *, address: str = "") -> Actor | None:
    """The link holder behind a browser's secret; None when it is unknown, or its link expired, closed or withdrawn."""
    with work.look(Permission.SHARE_OPEN):
        row = work.db.execute(_VISIT, _asked(work, session)).one_or_none()
        return None if row is None else _holder(row, address)


def image_behind(work: Work, session: str, instance_id: UUID) -> str | None:
    """Orthanc's id of an image for this browser; empty when it is not in the link, None when there is no open link.

    One question, because it is asked for every image; only images that were listed at the minting and still belong
    to the study are answered.
    """
    with work.look(Permission.SHARE_OPEN):
        row = work.db.execute(
            _VISIT_AND_IMAGE, {**_asked(work, session), "instance_id": instance_id}
        ).one_or_none()
        return None if row is None else row.orthanc_id or ""


def why_shut(work: Work, session: str) -> LinkState | None:
    """Why a browser's secret opens nothing any more; None when it never opened anything."""
    with work.look(Permission.SHARE_OPEN):
        share = work.db.scalars(select(Share).where(Share.session_hash == hash_token(session))).one_or_none()
        if share is None:
            return None
        return _state(work, share, held=session)


def open_shared(work: Work) -> SharedStudy:
    """The study behind the link: images and the signed text it was minted for. Recorded once per sitting."""
    with work.reading(Permission.SHARED_VIEW, _subject(work)) as facts:
        reach = _reach(work)
        facts |= {"patient": reach.patient_id, "study": reach.study_id}
        share, version = (
            work.get(Share, reach.share_id, what="link"),
            work.get(ReportVersion, reach.version_id),
        )
        images = _only_listed(work, share.id, image_set_of(work, work.get(Study, reach.study_id)))
        return SharedStudy(
            share.id,
            images,
            version.at,
            share.signed_by,
            version.text,
            sections(version.text),
            share.expires_at,
        )


def shared_report_pdf(work: Work) -> bytes:
    """The signed report as the PDF that is in the PACS. Raises Missing until the errand has made it."""
    with work.reading(Permission.SHARED_VIEW, Subject("report", _subject(work).id)) as facts:
        reach = _reach(work)
        facts |= {"patient": reach.patient_id, "study": reach.study_id}
        return sealed_report(work, reach.version_id)


def leave(work: Work) -> None:
    """The patient is done: this browser's secret opens nothing from now on."""
    with work.act(Permission.SHARED_VIEW, Subject("visit", _subject(work).id)) as facts:
        share = work.get(Share, _reach(work).share_id, what="link")
        facts |= {"patient": share.patient_id, "step": "leave"}
        share.left_at = work.now()


# Inside ---------------------------------------------------------------------------------------------------------


def _report_to_share(work: Work, study: Study) -> tuple[str, UUID]:
    """Who signed, and which version; refused where there is nothing a patient may see."""
    try:
        report = signed_report(work, study)
    except Missing:
        raise Refused("There is no signed report yet: a link can be made once it is signed.") from None
    if not report.is_intact:
        raise Refused(
            "The signature does not fit the stored report any more. Nothing is shared: tell your admin."
        )
    return report.signer, report.version.id


def _agreed(work: Work, patient_id: UUID) -> bool:
    newest = work.db.scalars(
        select(Consent.given)
        .where(Consent.patient_id == patient_id, Consent.purpose == "share")
        .order_by(Consent.recorded_at.desc(), Consent.id.desc())
        .limit(1)
    ).first()
    return bool(newest)


def _only_listed(work: Work, share_id: UUID, images: ImageSet) -> ImageSet:
    listed = set(work.db.scalars(select(ShareInstance.instance_id).where(ShareInstance.share_id == share_id)))
    series = (replace(s, instances=tuple(i for i in s.instances if i.id in listed)) for s in images.series)
    return replace(images, series=tuple(s for s in series if s.instances))


def _by_token(work: Work, token: str, *, locked: bool = False) -> Share | None:
    """The link of a token. A token of another length costs the same question as any other."""
    query = select(Share).where(Share.token_hash == hash_token(token[: 2 * _TOKEN_LENGTH]))
    return work.db.scalars(query.with_for_update() if locked else query).one_or_none()


def _state(work: Work, share: Share, *, held: str = "") -> LinkState:
    if share.revoked_at:
        return LinkState.REVOKED
    if share.closed_at:
        return LinkState.CLOSED
    if share.expires_at <= work.now():
        return LinkState.EXPIRED
    if not _agreed(work, share.patient_id):
        # Taking the consent back withdraws every link of this patient.
        return LinkState.REVOKED
    if share.session_hash is None:
        return LinkState.WAITING
    if not held or not hmac.compare_digest(hash_token(held), share.session_hash):
        return LinkState.USED
    return LinkState.LEFT if share.left_at else LinkState.HERE


def _same_day(said: date, known: date) -> bool:
    return hmac.compare_digest(said.isoformat(), known.isoformat())


def _count_wrong(work: Work, share: Share) -> WrongAnswer:
    share.wrong_answers += 1
    left = work.rule("share_wrong_answers") - share.wrong_answers
    if left <= 0:
        share.closed_at = work.now()
        return WrongAnswer(SENTENCES[LinkState.CLOSED])
    tries = "once more" if left == 1 else f"{left} more times"
    return WrongAnswer(f"That is not the date of birth we have for this patient. You can try {tries}.")


# A patient who takes the consent back shuts every link of theirs, whoever writes it down and wherever.
_CONSENT_STANDS = (
    select(Consent.given)
    .where(Consent.patient_id == Share.patient_id, Consent.purpose == "share")
    .order_by(Consent.recorded_at.desc(), Consent.id.desc())
    .limit(1)
    .scalar_subquery()
)
# Asked for every image of every patient, so it is columns rather than rows and put together once. What it answers is
# never remembered: the next request asks again.
_VISIT = select(Share.id, Share.study_id, Share.patient_id, Share.version_id).where(
    Share.session_hash == bindparam("session_hash", type_=String),
    Share.expires_at > bindparam("now", type_=UtcTime),
    Share.revoked_at.is_(None),
    Share.closed_at.is_(None),
    Share.left_at.is_(None),
    _CONSENT_STANDS,
)
# Listed at the minting, and still an image of this study.
_IMAGE = (
    select(Instance.orthanc_id)
    .join(ShareInstance, ShareInstance.instance_id == Instance.id)
    .where(
        ShareInstance.share_id == Share.id,
        ShareInstance.instance_id == bindparam("instance_id", type_=Uuid),
        Instance.study_id == Share.study_id,
        Instance.gone_at.is_(None),
        Instance.turned_away.is_(False),
    )
    .scalar_subquery()
)
_VISIT_AND_IMAGE = _VISIT.with_only_columns(_IMAGE.label("orthanc_id"))


def _asked(work: Work, session: str) -> dict[str, object]:
    return {"session_hash": hash_token(session), "now": work.now()}


def _holder(row, address: str) -> Actor:
    reach = Reach(row.id, row.study_id, row.patient_id, row.version_id)
    return Actor(
        f"link:{row.id.hex[:31]}",
        "Patient by link",
        frozenset({Role.PATIENT}),
        "gateway",
        address,
        row.id,
        reach,
    )


def _reach(work: Work) -> Reach:
    if work.actor.reach is None:
        raise Denied("This opens with a link only.")
    return work.actor.reach


def _subject(work: Work) -> Subject:
    return Subject("share", str(work.actor.reach.share_id) if work.actor.reach else "")


def _front_door(work: Work) -> FrontDoor:
    us = practice.card(work)
    return FrontDoor(us.name, us.phone)


_BROWSERS = (("edg", "Edge"), ("samsungbrowser", "Samsung Internet"), ("firefox", "Firefox"), ("fxios", "Firefox"),
             ("opr/", "Opera"), ("chrome", "Chrome"), ("crios", "Chrome"), ("safari", "Safari"))  # fmt: skip
_DEVICES = (("android", "Android"), ("iphone", "iPhone"), ("ipad", "iPad"), ("windows", "Windows"),
            ("mac os", "Mac"), ("linux", "Linux"))  # fmt: skip


def browser_of(agent: str) -> str:
    """'Chrome on Android' of a User-Agent: enough for a patient and a receptionist to recognise the device."""
    said = agent[:400].lower()
    browser = next((name for mark, name in _BROWSERS if mark in said), "Browser")
    device = next((name for mark, name in _DEVICES if mark in said), "")
    return f"{browser} on {device}" if device else browser


def _looks(work: Work, found: list[Share]) -> dict[str, tuple[int, datetime]]:
    """How often each link's study was opened, counted in the audit trail, which alone knows."""
    if not found:
        return {}
    rows = work.db.execute(
        select(AuditEntry.subject_id, func.count(), func.max(AuditEntry.at))
        .where(
            AuditEntry.patient_id.in_({str(s.patient_id) for s in found}),
            AuditEntry.subject_kind == "share",
            AuditEntry.act == Permission.SHARED_VIEW,
            AuditEntry.outcome == "done",
        )
        .group_by(AuditEntry.subject_id)
    )
    return {share_id: (count, last) for share_id, count, last in rows}


def _image_counts(work: Work, share_ids: list[UUID]) -> dict[UUID, int]:
    rows = work.db.execute(
        select(ShareInstance.share_id, func.count())
        .where(ShareInstance.share_id.in_(share_ids))
        .group_by(ShareInstance.share_id)
    )
    return {share_id: count for share_id, count in rows}


def _card(
    work: Work,
    share: Share,
    patient: Patient,
    study: Study,
    minter: str,
    looked: tuple[int, datetime] | None,
    images: int,
) -> ShareCard:
    state = _state(work, share)
    if state is LinkState.USED and share.left_at:
        state = LinkState.LEFT
    revoker = work.db.get(Person, share.revoked_by) if share.revoked_by else None
    ended = share.revoked_at or share.closed_at or share.left_at
    return ShareCard(
        share.id,
        study.id,
        patient.id,
        f"{patient.family_name}, {patient.given_names}",
        study.accession,
        study.description,
        state,
        share.note,
        minter,
        share.minted_at,
        share.expires_at,
        share.opened_at,
        share.opened_with,
        *(looked or (0, None)),
        images,
        share.wrong_answers,
        work.rule("share_wrong_answers"),
        ended,
        revoker.name if revoker else "",
    )
