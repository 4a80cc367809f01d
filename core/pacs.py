"""Images: what arrives, whose it is, who may look at it, and the signed report back into the PACS.

Orthanc is asked outside every transaction; what it said is then judged and written down in one. So each verb that
needs both is three: look (what is to be done), the call, act (what it caused). The functions that take a `house`
do such a round; the ones that take a `work` are verbs behind the gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select

from core import reporting, workflow
from core.errors import Missing, Outside, Refused, Turned
from core.ports.orthanc import Orthanc, Sight, count_of, keep_report, sight_of
from core.rules import arrivals, image_set, report_paper
from core.rules.arrivals import HELD, STATES, ArrivalCard, ArrivalView, Candidate, Due, Quarantine, Taken
from core.rules.attachment import Attachment, draw
from core.rules.dicom_identity import Identity, InstanceHeader, disagreements, image_set_digest
from core.rules.image_set import ImageSet, ImageSource
from core.rules.names import person_name, spoken_name
from core.rules.pages import rows_before
from core.rules.problems import Problem, each
from core.rules.problems import as_json as problems_as_json
from core.rules.problems import from_json as problems_from_json
from core.rules.report_dicom import report_uid
from core.rules.report_text import CONCLUSIONS
from core.rules.roles import Permission
from core.rules.steps import STEPS, Status
from core.rules.za_time import local_day
from core.store.model import (
    Arrival,
    Document,
    FeedCursor,
    Instance,
    Patient,
    Practice,
    Referrer,
    ReportVersion,
    Study,
    StudyEvent,
)
from core.store.work import Actor, House, Subject, Work, system

FEED = "orthanc-changes"
PAGE = 200  # lines of the feed in one go
REPORT, UNREADABLE = "report", "unreadable"  # kinds of sealed document


# Looking at images ----------------------------------------------------------------------------------------------


def open_images(work: Work, study_id: UUID) -> ImageSet:
    """The images of a study, without asking Orthanc; recorded once per sitting. Missing while there are none."""
    with work.reading(Permission.IMAGES_VIEW, Subject.study(study_id)):
        return image_set_of(work, work.get(Study, study_id))


def image_source(work: Work, study_id: UUID, instance_id: UUID) -> ImageSource:
    """Where one image of an opened study is fetched from. Missing when the study has no such image.

    Give the Work the sitting's Openings: then this is read-only, because the opening itself is on record already.
    """
    with work.reading(Permission.IMAGES_VIEW, Subject.study(study_id)):
        return image_source_of(work, study_id, instance_id)


def image_set_of(work: Work, study: Study) -> ImageSet:
    """For sibling verbs inside their own gate."""
    rows = _images(work, study.id)
    if not rows:
        raise Missing("There are no images of this study yet.")
    patient = work.get(Patient, study.patient_id)
    practice = work.db.scalars(select(Practice).limit(1)).first()
    headers = [arrivals.as_header(r) for r in rows]
    return ImageSet(
        study.id,
        study.accession,
        study.description,
        _taken_on(rows, study),
        image_set.modalities(headers),
        person_name(patient.family_name, patient.given_names, patient.title),
        patient.born_on,
        patient.file_number,
        practice.name if practice else "",
        practice.phone if practice else "",
        image_set.in_series(zip((r.id for r in rows), headers, strict=True)),
        study.image_digest,
    )


def image_source_of(work: Work, study_id: UUID, instance_id: UUID) -> ImageSource:
    """For sibling verbs inside their own gate: only an image that this study shows has a source."""
    row = work.db.scalars(
        select(Instance).where(Instance.id == instance_id, *_shown(study_id), Instance.is_image)
    ).one_or_none()
    if row is None:
        raise Missing("That image is not part of this study.")
    return ImageSource(row.orthanc_id, row.sop_uid, row.syntax)


def _shown(study_id: UUID) -> tuple:
    return (Instance.study_id == study_id, Instance.gone_at.is_(None), Instance.turned_away.is_(False))


def _images(work: Work, study_id: UUID) -> list[Instance]:
    return list(
        work.db.scalars(
            select(Instance)
            .where(*_shown(study_id), Instance.is_image)
            .order_by(Instance.series_number, Instance.series_uid, Instance.number, Instance.sop_uid)
        )
    )


def _taken_on(rows: Sequence[Instance], study: Study) -> date:
    return image_set.taken_on(map(arrivals.as_header, rows)) or local_day(study.booked_for_at)


# The worker's rounds --------------------------------------------------------------------------------------------


def follow(house: House) -> bool:
    """Read one page of Orthanc's log and write down which studies it touches. True when more waits."""
    orthanc: Orthanc = house.ports.orthanc
    with house.work(system()) as work:
        since = feed_position(work)
    page = orthanc.changes(since, limit=PAGE)
    if page.last < since:
        # The log ends before where we were: another Orthanc, or an older copy of it. Read it from its beginning.
        with house.work(system()) as work:
            receive(work, since=since, upto=0, touched=())
        return True
    if page.last == since:
        return False
    new = [c.orthanc_id for c in page.changes if c.kind == "NewStudy"]
    images = [c.orthanc_id for c in page.changes if c.kind == "NewInstance"]
    touched = tuple(dict.fromkeys((*new, *orthanc.studies_of_instances(images))))
    with house.work(system()) as work:
        receive(work, since=since, upto=page.last, touched=touched)
    return not page.done


def settle(house: House, *, size: int = 20) -> int:
    """Judge the arrivals that have been quiet for long enough; how many were."""
    with house.work(system()) as work:
        waiting = due(work, size=size)
    trouble: Exception | None = None
    for one in waiting:
        try:
            sight = sight_of(house.ports.orthanc, one.orthanc_id, as_of=one.last_change_at)
            with house.work(system()) as work:
                judge(work, one.id, sight=sight)
        except Outside:
            raise
        except Exception as error:
            # One arrival that we cannot judge must not keep the others from their patients.
            trouble = error
    if trouble is not None:
        raise trouble
    return len(waiting)


def reconcile(house: House, *, going: Callable[[], bool] = lambda: True) -> int:
    """Compare all of Orthanc with all we know; how many arrivals have to be looked at (again).

    Costs one question when the totals agree. The log of changes is the way in; this finds what it could not tell:
    deletions, a store put back from a backup, a log that was emptied. `going` says whether to go on.
    """
    orthanc: Orthanc = house.ports.orthanc
    total = orthanc.statistics().instances
    with house.work(system()) as work:
        known, waiting = tally(work)
    if waiting or total == known:
        return 0
    found, after = 0, 0
    while going() and (ids := orthanc.study_ids(after=after)):
        with house.work(system()) as work:
            found += touch(work, unknown_among=ids)
        after += len(ids)
    last: UUID | None = None
    while going():
        with house.work(system()) as work:
            rows = counted(work, after=last)
        if not rows:
            break
        wrong = tuple(i for _, i, count in rows if count_of(orthanc, i) != count)
        with house.work(system()) as work:
            found += touch(work, changed=wrong)
        last = rows[-1][0]
    return found


def store_file(house: House, actor: Actor, data: bytes, *, name: str = "") -> Taken:
    """Put a file that somebody has into Orthanc. A file it refuses is kept, sealed, with the reason."""
    with house.work(actor) as work:
        begin_sending(work)
    orthanc: Orthanc = house.ports.orthanc
    try:
        stored = orthanc.store(data)
    except Turned as refusal:
        orthanc.system()  # Raises when it is we who are refused, and not the file.
        with house.work(actor) as work:
            held = keep_unreadable(work, data=data, name=name, why=refusal.sentence)
        return Taken(False, False, held, refusal.sentence)
    with house.work(actor) as work:
        note_sent(work, orthanc_id=stored.study_id, already=stored.already)
    sentence = "This image was here already." if stored.already else "The image is in."
    return Taken(True, stored.already, None, sentence)


# Arrivals: the verbs behind those rounds ------------------------------------------------------------------------


def feed_position(work: Work) -> int:
    """How far Orthanc's log has been read."""
    with work.look(Permission.IMAGES_RECEIVE):
        cursor = work.db.get(FeedCursor, FEED)
        return cursor.position if cursor else 0


def receive(work: Work, *, since: int, upto: int, touched: Sequence[str]) -> bool:
    """Write down the studies that a page of the log touches, and the place in the log, in one transaction.

    False, and nothing written, when somebody else has read that page meanwhile.
    """
    with work.tend(Permission.IMAGES_RECEIVE):
        cursor = work.db.get(FeedCursor, FEED, with_for_update=True)
        if cursor is None:
            cursor = FeedCursor(name=FEED, position=0, moved_at=work.now())
            work.db.add(cursor)
        if cursor.position != since:
            return False
        for orthanc_id in touched:
            _touch(work, orthanc_id)
        cursor.position, cursor.moved_at = upto, work.now()
        return True


def due(work: Work, *, size: int = 20) -> tuple[Due, ...]:
    """Arrivals that no image has joined for the quiet time, longest waiting first."""
    with work.look(Permission.IMAGES_RECEIVE):
        rows = work.db.scalars(
            select(Arrival)
            .where(Arrival.settles_at <= work.now(), Arrival.orthanc_id.is_not(None))
            .order_by(Arrival.settles_at, Arrival.id)
            .limit(size)
        )
        return tuple(Due(a.id, a.orthanc_id or "", a.last_change_at) for a in rows)


def judge(work: Work, arrival_id: UUID, *, sight: Sight) -> str:
    """Hold what arrived against its order: matched, or held back with every reason. Returns the state.

    Says the same however often it is called with the same images. Images that join a matched study later are held
    against the order by themselves: the ones before them stay where they are.
    """
    with work.act(Permission.IMAGES_RECEIVE, Subject("arrival", str(arrival_id))) as facts:
        arrival = work.get(Arrival, arrival_id)
        if arrival.last_change_at == sight.as_of:
            arrival.settles_at = None
        rows = _write_instances(work, arrival, sight.headers)
        for column, value in arrivals.summary(sight.headers).items():
            setattr(arrival, column, value)
        study = work.get(Study, arrival.study_id) if arrival.study_id else None
        if not sight.headers and arrival.state != "rejected":
            arrival.state, arrival.reasons = "gone", problems_as_json(arrivals.IMAGES_GONE)
        elif sight.headers and arrival.state != "rejected":
            study = _judge(work, arrival, rows, sight, study)
        if study is not None and arrival.study_id is not None:
            _refresh(work, study, facts)
        facts |= {
            "state": arrival.state,
            "instances": arrival.instance_count,
            "study": arrival.study_id or "",
            "reasons": [r["code"] for r in arrival.reasons],
        }
        return arrival.state


def tally(work: Work) -> tuple[int, int]:
    """(instances we believe Orthanc holds, arrivals not judged yet)."""
    with work.look(Permission.IMAGES_RECEIVE):
        known = work.db.scalar(
            select(func.coalesce(func.sum(Arrival.instance_count), 0)).where(Arrival.orthanc_id.is_not(None))
        )
        waiting = work.db.scalar(select(func.count()).where(Arrival.settles_at.is_not(None)))
        return int(known or 0), int(waiting or 0)


def counted(work: Work, *, after: UUID | None, size: int = 200) -> tuple[tuple[UUID, str, int], ...]:
    """A page of (arrival, Orthanc id, instances as we know them) of those judged, by arrival."""
    with work.look(Permission.IMAGES_RECEIVE):
        query = select(Arrival.id, Arrival.orthanc_id, Arrival.instance_count).where(
            Arrival.orthanc_id.is_not(None), Arrival.settles_at.is_(None)
        )
        if after is not None:
            query = query.where(Arrival.id > after)
        return tuple((i, o or "", n) for i, o, n in work.db.execute(query.order_by(Arrival.id).limit(size)))


def touch(work: Work, *, unknown_among: Sequence[str] = (), changed: Sequence[str] = ()) -> int:
    """Have arrivals looked at that the log did not name: those not known yet, and those that changed."""
    with work.tend(Permission.IMAGES_RECEIVE):
        known = set(work.db.scalars(select(Arrival.orthanc_id).where(Arrival.orthanc_id.in_(unknown_among))))
        found = [i for i in unknown_among if i not in known] + list(changed)
        for orthanc_id in found:
            _touch(work, orthanc_id)
        return len(found)


def _touch(work: Work, orthanc_id: str) -> None:
    now = work.now()
    arrival = work.db.scalars(select(Arrival).where(Arrival.orthanc_id == orthanc_id)).one_or_none()
    if arrival is None:
        arrival = Arrival(
            id=work.new_id(),
            orthanc_id=orthanc_id,
            state="seen",
            reasons=[],
            first_seen_at=now,
            last_change_at=now,
            instance_count=0,
            image_count=0,
        )
        work.db.add(arrival)
    # Orthanc's own StableStudy is lost when it is stopped in between, so the quiet time is ours.
    arrival.last_change_at, arrival.settles_at = now, now + work.rule("quiet")


def _write_instances(work: Work, arrival: Arrival, headers: Sequence[InstanceHeader]) -> list[Instance]:
    """One row for each instance that is there; rows of those that are not are kept and marked."""
    known = {
        r.orthanc_id: r for r in work.db.scalars(select(Instance).where(Instance.arrival_id == arrival.id))
    }
    there = {h.orthanc_id for h in headers}
    for orthanc_id, row in known.items():
        if orthanc_id not in there and row.gone_at is None:
            row.gone_at = work.now()
    for h in headers:
        row = known.get(h.orthanc_id)
        if row is None:
            row = known[h.orthanc_id] = Instance(
                id=work.new_id(),
                arrival_id=arrival.id,
                is_image=h.is_image,
                turned_away=False,
                **arrivals.as_columns(h),
            )
            work.db.add(row)
        row.gone_at = None
    work.db.flush()
    return [known[h.orthanc_id] for h in headers]


def _judge(
    work: Work, arrival: Arrival, rows: Sequence[Instance], sight: Sight, study: Study | None
) -> Study | None:
    """Admit what is new, or hold it back. Returns the study that the arrival now belongs to, or could."""
    by_id = {h.orthanc_id: h for h in sight.headers}
    accepted = {arrivals.says(r) for r in rows if r.study_id is not None}
    own = _own_reports(work, study)
    fresh = [r for r in rows if r.study_id is None and not r.turned_away]
    new = [by_id[r.orthanc_id] for r in fresh if arrivals.says(r) not in accepted and r.sop_uid not in own]
    shared = _shared(work, sight)
    if study is None:
        study, problems = _order_for(work, sight.headers)
        problems += shared
    else:
        problems = ()
    if study is not None and new:
        order = _order(study, work.get(Patient, study.patient_id))
        problems += disagreements(order.identity, new)
        problems += () if arrival.study_id else (*arrivals.closed_to(order, arrival.orthanc_id), *shared)
    problems = each(problems)
    if new and any(p.stop for p in problems):
        if arrival.study_id and study is not None:
            # What says the same as images already accepted goes on; only the rest is held.
            _admit(arrival, study, [r for r in fresh if arrivals.says(r) in accepted or r.sop_uid in own])
        arrival.state, arrival.reasons = "quarantined", problems_as_json(problems)
        return study if arrival.study_id else None
    if study is None:
        return None
    if new or arrival.state in ("gone", "quarantined"):
        arrival.reasons = problems_as_json(problems)
    _admit(arrival, study, fresh)
    if shared and not any(r["code"] == "study_uid_shared" for r in arrival.reasons):
        # Its images are shown already and are this patient's; a person should still know of the other ones.
        arrival.reasons = [*arrival.reasons, *problems_as_json(replace(p, stop=False) for p in shared)]
    return study


def _admit(arrival: Arrival, study: Study, rows: Iterable[Instance]) -> None:
    for row in rows:
        row.study_id = study.id
    arrival.study_id = study.id
    if arrival.state != "released":
        arrival.state = "matched"
    if study.orthanc_id is None:
        study.orthanc_id = arrival.orthanc_id


def _refresh(work: Work, study: Study, facts: dict[str, object]) -> None:
    """Count the study's images again, and say so on the board when the first ones are in."""
    work.db.flush()
    rows = _images(work, study.id)
    digest = image_set_digest(map(arrivals.as_header, rows)) if rows else ""
    if (study.image_count, study.image_digest) != (len(rows), digest):
        if study.signed_version_id is not None:
            facts["after_signature"] = True
        study.image_count, study.image_digest = len(rows), digest
    facts["patient"] = study.patient_id
    if rows and Status(study.status) in STEPS["receive"].before:
        workflow.move(work, study, "receive")


def _own_reports(work: Work, study: Study | None) -> set[str]:
    """SOPInstanceUIDs of our own reports: they come back through the log and are nobody's new images."""
    if study is None:
        return set()
    signed = select(ReportVersion.id).where(
        ReportVersion.study_id == study.id, ReportVersion.kind == "signed"
    )
    return {report_uid(i) for i in work.db.scalars(signed)}


def _shared(work: Work, sight: Sight) -> tuple[Problem, ...]:
    """Other patients under the same Study UID, unless a person has turned those away."""
    away = set(
        work.db.scalars(
            select(Arrival.orthanc_id).where(
                Arrival.state == "rejected", Arrival.orthanc_id.in_([i for i, _ in sight.twins])
            )
        )
    )
    others = [(i, number) for i, number in sight.twins if i not in away]
    if not others or not sight.headers:
        return ()
    found = arrivals.shared_with(sight.headers, [number for _, number in others])
    if found:
        # The other one may have been judged before this one came: it is looked at again.
        for arrival in work.db.scalars(select(Arrival).where(Arrival.orthanc_id.in_([i for i, _ in others]))):
            if not any(r["code"] == "study_uid_shared" for r in arrival.reasons):
                arrival.settles_at = arrival.settles_at or work.now()
    return found


def _order_for(work: Work, headers: Sequence[InstanceHeader]) -> tuple[Study | None, tuple[Problem, ...]]:
    """The order these images name, by accession number, else by Study UID; and what is wrong with how they name it."""
    named = Study.accession.in_(arrivals.accessions_of(headers))
    by_accession = list(work.db.scalars(select(Study).where(named)))
    uids = sorted({h.study_uid for h in headers})
    by_uid = list(work.db.scalars(select(Study).where(Study.study_uid.in_(uids))))
    study = next(iter(by_accession or by_uid), None)
    if study is None:
        return None, arrivals.no_order(headers)
    other = next((o for o in by_uid if o.id != study.id), None)
    return study, arrivals.two_orders(study.accession, other.accession) if other else ()


def _order(study: Study, patient: Patient) -> arrivals.Order:
    name = person_name(patient.family_name, patient.given_names, patient.title)
    identity = Identity(
        patient.file_number, name, patient.born_on, patient.sex, study.accession, study.study_uid
    )
    return arrivals.Order(identity, Status(study.status), study.orthanc_id)


# Quarantine: a person decides -----------------------------------------------------------------------------------


def quarantine(work: Work, *, states: tuple[str, ...] = HELD, page: int = 1, size: int = 50) -> Quarantine:
    """What is held back (or in other states, when asked), newest first."""
    with work.look(Permission.QUARANTINE_SEE):
        query = select(Arrival).where(Arrival.state.in_(states))
        total = work.db.scalar(select(func.count()).select_from(query.subquery())) or 0
        rows = work.db.scalars(
            query.order_by(Arrival.last_change_at.desc(), Arrival.id.desc())
            .limit(size)
            .offset(rows_before(page, size))
        )
        return Quarantine(tuple(_card(work, a) for a in rows), total)


def open_arrival(work: Work, arrival_id: UUID) -> ArrivalView:
    """What the images say beside the orders they may be for. Recorded once per sitting."""
    with work.reading(Permission.QUARANTINE_SEE, Subject("arrival", str(arrival_id))) as facts:
        arrival = work.get(Arrival, arrival_id)
        rows = list(
            work.db.scalars(
                select(Instance).where(Instance.arrival_id == arrival.id, Instance.gone_at.is_(None))
            )
        )
        if arrival.study_id:
            facts["patient"] = work.get(Study, arrival.study_id).patient_id
        return ArrivalView(_card(work, arrival), arrivals.ways(rows), _candidates(work, arrival, rows))


def release(work: Work, arrival_id: UUID, study_id: UUID, reason: str) -> None:
    """A person says that these images are this order's after all. The disagreement and the reason stay on record."""
    with work.act(Permission.QUARANTINE_RESOLVE, Subject.study(study_id)) as facts:
        arrival, study = work.get(Arrival, arrival_id), work.get(Study, study_id)
        _require_reason(reason)
        is_anothers = arrival.study_id not in (None, study_id)
        if why_not := arrivals.why_not_released(arrival.state, Status(study.status), is_anothers=is_anothers):
            raise Refused(why_not)
        rows = list(
            work.db.scalars(
                select(Instance).where(
                    Instance.arrival_id == arrival.id,
                    Instance.study_id.is_(None),
                    Instance.turned_away.is_(False),
                )
            )
        )
        arrival.state = "released"
        _admit(arrival, study, rows)
        _resolve(work, arrival, reason)
        _refresh(work, study, facts)
        facts |= {
            "arrival": arrival.id,
            "reason": reason,
            "reasons": [r["code"] for r in arrival.reasons],
            "images": len(rows),
            "status": study.status,
        }


def reject(work: Work, arrival_id: UUID, reason: str) -> None:
    """These images are nobody's order. They stay in Orthanc, marked, and are never shown; `recheck` takes it back."""
    with work.act(Permission.QUARANTINE_RESOLVE, Subject("arrival", str(arrival_id))) as facts:
        arrival = work.get(Arrival, arrival_id)
        _require_reason(reason)
        if arrival.state not in ("quarantined", "unreadable"):
            raise Refused(f"Only what is held back can be turned away; this is '{STATES[arrival.state]}'.")
        for row in work.db.scalars(
            select(Instance).where(Instance.arrival_id == arrival.id, Instance.study_id.is_(None))
        ):
            row.turned_away = True
        # Where earlier images of it are a study's, only the late ones are turned away.
        arrival.state = "matched" if arrival.study_id else "rejected"
        _resolve(work, arrival, reason)
        if arrival.study_id:
            facts["patient"] = work.get(Study, arrival.study_id).patient_id
        facts |= {"reason": reason, "reasons": [r["code"] for r in arrival.reasons]}


def recheck(work: Work, arrival_id: UUID) -> None:
    """Have it judged again, after patient or order was corrected, or a rejection was a mistake."""
    with work.act(Permission.QUARANTINE_RESOLVE, Subject("arrival", str(arrival_id))) as facts:
        arrival = work.get(Arrival, arrival_id)
        if arrival.orthanc_id is None:
            raise Refused("This file was never an image. Send the original again.")
        if arrival.state == "rejected":
            arrival.state = "seen"
        for row in work.db.scalars(
            select(Instance).where(Instance.arrival_id == arrival.id, Instance.turned_away)
        ):
            row.turned_away = False
        arrival.settles_at = work.now()
        facts["state"] = arrival.state


def begin_sending(work: Work) -> None:
    """May this person hand in image files?"""
    with work.look(Permission.IMAGES_SEND):
        return


def note_sent(work: Work, *, orthanc_id: str, already: bool) -> None:
    """On record: who handed in an image file that Orthanc took."""
    with work.act(Permission.IMAGES_SEND, Subject("image file")) as facts:
        facts |= {"orthanc": orthanc_id, "already": already}


def keep_unreadable(work: Work, *, data: bytes, name: str, why: str) -> UUID:
    """Keep a file that Orthanc refused, sealed, with its reason. The same bytes are kept once."""
    with work.act(Permission.IMAGES_SEND, Subject("image file")) as facts:
        sha256 = hashlib.sha256(data).hexdigest()
        known = work.db.scalars(
            select(Document).where(Document.kind == UNREADABLE, Document.sha256 == sha256)
        ).first()
        if known is not None:
            facts |= {"arrival": known.owner_id, "already": True}
            return known.owner_id
        now = work.now()
        reason = problems_as_json((Problem("unreadable", why),))
        arrival = Arrival(
            id=work.new_id(),
            orthanc_id=None,
            state="unreadable",
            reasons=reason,
            description=name[:200],
            first_seen_at=now,
            last_change_at=now,
            instance_count=0,
            image_count=0,
        )
        document = Document(
            id=work.new_id(), kind=UNREADABLE, owner_id=arrival.id, size=len(data), sha256=sha256, at=now
        )
        work.db.add_all([arrival, document])
        work.blobs.put(document.id, data, kind=UNREADABLE, owner=arrival.id)
        facts |= {"arrival": arrival.id, "size": len(data)}
        return arrival.id


def unreadable_file(work: Work, arrival_id: UUID) -> bytes:
    """The bytes of a file that Orthanc refused, to look into them or to send them back."""
    with work.reading(Permission.QUARANTINE_RESOLVE, Subject("arrival", str(arrival_id))):
        document = work.db.scalars(
            select(Document).where(Document.kind == UNREADABLE, Document.owner_id == arrival_id)
        ).first()
        if document is None:
            raise Missing("There is no such file, or it is not yours to see.")
        return work.blobs.get(document.id, kind=UNREADABLE, owner=arrival_id)


def _require_reason(reason: str) -> None:
    if not 3 <= len(reason.strip()) <= 2000:
        raise Refused("Write why, in a sentence: it stays on record beside the disagreement.")


def _resolve(work: Work, arrival: Arrival, reason: str) -> None:
    arrival.resolved_by, arrival.resolved_at = work.actor.person, work.now()
    arrival.resolution = reason.strip()


def _candidates(work: Work, arrival: Arrival, rows: Sequence[Instance]) -> tuple[Candidate, ...]:
    """Orders by accession, Study UID, patient number, and by name with the same date of birth; closest first."""
    headers = [arrivals.as_header(r) for r in rows]
    found = arrivals.said(headers)
    query = (
        select(Study, Patient)
        .join(Patient, Patient.id == Study.patient_id)
        .where(
            or_(
                Study.accession.in_(found.accessions),
                Study.study_uid.in_(found.uids),
                Study.id == arrival.study_id,
                Patient.file_number.in_(found.numbers),
                Patient.born_on.in_(found.births),
            )
        )
        .order_by(Study.booked_for_at.desc())
        .limit(200)
    )
    candidates = []
    for study, patient in work.db.execute(query):
        order = _order(study, patient)
        why = arrivals.why_proposed(order.identity, found, has_earlier_images=study.id == arrival.study_id)
        if why:
            candidates.append(
                Candidate(
                    study.id,
                    patient.id,
                    study.accession,
                    study.description,
                    order.status,
                    study.booked_for_at,
                    patient.file_number,
                    order.identity.patient_name,
                    patient.born_on,
                    patient.sex,
                    why,
                    arrivals.against(order, headers, arrival.orthanc_id),
                )
            )
    return arrivals.closest(candidates)


def _card(work: Work, a: Arrival) -> ArrivalCard:
    return ArrivalCard(
        a.id, a.state, problems_from_json(a.reasons), a.patient_number, a.patient_name, a.birth_date, a.sex,
        a.accession, a.study_uid, a.study_date, a.description, a.modality, a.instance_count, a.image_count,
        a.first_seen_at, a.last_change_at, a.settles_at is not None, a.study_id,
        workflow.name_of(work, a.resolved_by), a.resolved_at, a.resolution,
    )  # fmt: skip


# The signed report ----------------------------------------------------------------------------------------------


def attach_report(house: House, payload: dict[str, Any]) -> None:
    """Errand: the signed report as a PDF into its study in the PACS, read back, and sealed with us.

    May run any number of times: instance and document carry the version's own number. Raises Away when Orthanc
    does not answer, so that the errand is tried again.
    """
    study_id, version_id = UUID(payload["study"]), UUID(payload["version"])
    with house.work(system()) as work:
        what = to_attach(work, study_id, version_id)
    if what.is_done:
        return
    orthanc: Orthanc = house.ports.orthanc
    headers = orthanc.instances_of(what.study_orthanc_id)
    source = next((h for h in headers if h.orthanc_id == what.image_orthanc_id), None)
    if source is None:
        raise Missing("The images that this report belongs to are no longer in the PACS.")
    made = draw(what, source)
    pdf = keep_report(orthanc, made, into=what.study_orthanc_id)
    with house.work(system()) as work:
        note_attached(work, study_id, version_id=version_id, sop_uid=made.sop_uid, pdf=pdf)


def to_attach(work: Work, study_id: UUID, version_id: UUID) -> Attachment:
    """Everything the errand needs to know. Refused when the signature does not hold."""
    with work.look(Permission.REPORT_ATTACH):
        study = work.get(Study, study_id)
        signed = reporting.signed_report(work, study)
        if signed.version.id != version_id:
            raise Refused("A newer version of this report was signed meanwhile; that one is attached.")
        if not signed.is_intact:
            raise Refused("This report does not carry a valid signature and was not attached. Ask for help.")
        images = _images(work, study_id)
        if not images:
            raise Missing("The images that this report belongs to are no longer in the PACS.")
        first = next((i for i in images if _orthanc_study(work, i) == study.orthanc_id), images[0])
        paper = _paper(work, study, signed)
        return Attachment(
            study_id,
            version_id,
            signed.version.number,
            signed.version.at,
            spoken_name(signed.signer),
            paper.practice.name,
            paper,
            _orthanc_study(work, first),
            first.orthanc_id,
            study.attached_instance == report_uid(version_id) and _document(work, version_id) is not None,
        )


def note_attached(work: Work, study_id: UUID, *, version_id: UUID, sop_uid: str, pdf: bytes) -> None:
    """On record: the report is in the PACS; its PDF is sealed with us as well."""
    with work.act(Permission.REPORT_ATTACH, Subject.study(study_id)) as facts:
        study = work.get(Study, study_id)
        if _document(work, version_id) is None:
            # The document has the version's own number, so that a repeat after a fall replaces and adds nothing.
            work.db.add(
                Document(
                    id=version_id,
                    kind=REPORT,
                    owner_id=version_id,
                    size=len(pdf),
                    sha256=hashlib.sha256(pdf).hexdigest(),
                    at=work.now(),
                )
            )
            work.blobs.put(version_id, pdf, kind=REPORT, owner=version_id)
        if study.attached_instance != sop_uid:
            study.attached_instance = sop_uid
        facts |= {"version": version_id, "instance": sop_uid}


def report_pdf(work: Work, study_id: UUID) -> bytes:
    """The signed report as a PDF: the sealed one, or drawn afresh while its errand has not run."""
    with work.reading(Permission.REPORT_READ, Subject.study(study_id)):
        study = work.get(Study, study_id)
        signed = reporting.signed_report(work, study)
        if _document(work, signed.version.id) is not None:
            return work.blobs.get(signed.version.id, kind=REPORT, owner=signed.version.id)
        return report_paper.render(_paper(work, study, signed))


def sealed_report(work: Work, version_id: UUID) -> bytes:
    """For sibling verbs inside their own gate: the PDF of a signed version; Missing until its errand has run."""
    if _document(work, version_id) is None:
        raise Missing("The report is being prepared. Try again in a minute.")
    return work.blobs.get(version_id, kind=REPORT, owner=version_id)


def _document(work: Work, version_id: UUID) -> Document | None:
    return work.db.scalars(
        select(Document).where(Document.kind == REPORT, Document.owner_id == version_id)
    ).one_or_none()


def _orthanc_study(work: Work, instance: Instance) -> str:
    return work.get(Arrival, instance.arrival_id).orthanc_id or ""


def _paper(work: Work, study: Study, signed: reporting.SignedReport) -> report_paper.ReportPaper:
    practice = work.db.scalars(select(Practice).limit(1)).first()
    patient = work.get(Patient, study.patient_id)
    referrer = work.db.get(Referrer, study.referrer_id) if study.referrer_id else None
    scanned_at = work.db.scalars(
        select(StudyEvent.at).where(StudyEvent.study_id == study.id, StudyEvent.step == "receive").limit(1)
    ).first()
    images = _images(work, study.id)
    return report_paper.ReportPaper(
        practice=report_paper.Letterhead(
            name=practice.name if practice else "",
            address=tuple((practice.address if practice else "").splitlines()),
            phone=practice.phone if practice else "",
            email=practice.email if practice else "",
            practice_number=practice.pcns if practice else "",
        ),
        patient=report_paper.PaperPatient(
            name=" ".join(t for t in (patient.title, patient.given_names, patient.family_name) if t),
            number=patient.file_number,
            birth_on=patient.born_on,
            sex=patient.sex,
            id_number=patient.identity_number or "",
        ),
        accession=study.accession,
        examination=study.description,
        examined_on=_taken_on(images, study) if images else local_day(scanned_at or study.booked_for_at),
        referrer=referrer.name if referrer else "–",
        referrer_practice=referrer.practice_number if referrer else "",
        sections=tuple(
            report_paper.PaperSection(h, t, emphasised=h in CONCLUSIONS) for h, t in signed.sections
        ),
        signature=report_paper.PaperSignature(signed.signer, signed.registration, signed.version.at),
        version=signed.version.number,
        digest=signed.version.digest,
        demo=bool(practice and practice.is_demo),
    )


# Errands that this module does, by kind; ops.worker puts the tables of all modules together.
HANDLERS = {"attach_report": attach_report}
