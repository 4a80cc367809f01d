"""Whose images are these? The order's identity held against every single instance.

A study may carry a second patient without a sign at study level: an instance with the same PatientID and
StudyInstanceUID but another PatientName joins silently, and one StudyInstanceUID may serve two patients.
So nothing here trusts the study; it reads each instance.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from core.rules.problems import Problem

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"


@dataclass(frozen=True)
class Identity:
    """Who and what was ordered. patient_name in DICOM's form, Family^Given^Middle^Prefix^Suffix (PS3.5 §6.2.1)."""

    patient_id: str
    patient_name: str
    birth_on: date | None
    sex: str
    accession: str
    study_uid: str


@dataclass(frozen=True)
class InstanceHeader:
    """What one stored instance says about itself; text as Orthanc decoded it, empty when absent."""

    orthanc_id: str
    sop_uid: str
    sop_class: str
    study_uid: str
    series_uid: str
    patient_id: str
    patient_name: str
    birth_date: str = ""
    sex: str = ""
    accession: str = ""
    study_date: str = ""
    study_time: str = ""
    study_id: str = ""
    study_description: str = ""
    referring_physician: str = ""
    series_number: int | None = None
    series_description: str = ""
    modality: str = ""
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    frames: int = 1
    transfer_syntax: str = ""
    charset: str = ""

    @property
    def is_image(self) -> bool:
        """True when there are pixels to draw: reports and structured documents have no Rows."""
        return self.rows is not None and self.sop_class != ENCAPSULATED_PDF


def image_set_digest(headers: Iterable[InstanceHeader]) -> str:
    """SHA-256 over the sorted SOPInstanceUIDs of the images: what a signature says was looked at.

    Our own report joins the same study later and must not change it.
    """
    uids = sorted({h.sop_uid for h in headers if h.is_image})
    return hashlib.sha256("\n".join(uids).encode()).hexdigest()


# Names.

# Not "Sr": it also means senior, and a father is not his son.
TITLES = frozenset(
    (
        "adv",
        "ds",
        "dr",
        "mej",
        "mejuffrou",
        "meneer",
        "mev",
        "mevrou",
        "miss",
        "mister",
        "mnr",
        "mr",
        "mrs",
        "ms",
    )
    + ("pastor", "prof", "professor", "rev", "sir", "sister")
)
UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae", "œ": "oe"}
)
STROKES = str.maketrans({"ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
NOT_LETTERS = re.compile(r"[^\w]|_", re.UNICODE)


@dataclass(frozen=True)
class _Reading:
    """One way to read a name: family and given as bare letters, and all its words in any order."""

    family: str
    given: str
    words: tuple[str, ...]


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(STROKES)


def _spelled_out(text: str) -> str:
    return _plain(unicodedata.normalize("NFKC", text).casefold().translate(UMLAUTS))


def _ascii_only(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFC", text) if ord(c) < 128 and c != "?").casefold()


def _repaired(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1 or Windows-1252, at most twice: "MÃ¼ller" is "Müller"."""
    for _ in range(2):
        for wrong in ("latin-1", "cp1252"):
            try:
                text = text.encode(wrong).decode("utf-8")
                break
            except UnicodeError:
                continue
        else:
            break
    return text


def _words(component: str, *, titles_only_beside_others: bool) -> list[str]:
    apart = re.sub(r"['’`´.]", "", component)
    words = [w for w in NOT_LETTERS.sub(" ", apart).split() if w]
    kept = [w for w in words if w not in TITLES]
    return words if titles_only_beside_others and not kept else kept


def _read(name: str, fold: Callable[[str], str]) -> _Reading:
    # Only the first, alphabetic group counts; ideographic and phonetic groups repeat it (PS3.5 §6.2.1.2).
    components = [fold(c) for c in name.split("=")[0].split("^")]
    if len(components) == 1 and "," in components[0]:
        components = components[0].split(",", 1)
    family = _words(components[0], titles_only_beside_others=True)
    given = [w for c in components[1:2] for w in _words(c, titles_only_beside_others=True)]
    given += [w for c in components[2:] for w in _words(c, titles_only_beside_others=False)]
    return _Reading("".join(family), "".join(given), tuple(sorted(family + given)))


def _same(a: _Reading, b: _Reading) -> bool:
    return bool(a.words) and ((a.family, a.given) == (b.family, b.given) or a.words == b.words)


def _damaged(a: str, b: str) -> bool:
    """True when b is a with its accented letters lost: dropped by a decoder, or turned into question marks."""
    undamaged, lost, found = _read(a, str.casefold), _read(a, _ascii_only), _read(b, _ascii_only)
    letters, left = len("".join(undamaged.words)), len("".join(lost.words))
    return (
        any(ord(c) > 127 for c in unicodedata.normalize("NFC", a) if c != "\ufffd")
        and not any(ord(c) > 127 for c in b if c != "\ufffd")
        and left >= max(6, 2 * letters / 3)  # Of a short name too little is left to tell people apart.
        and (lost.family, lost.given) == (found.family, found.given)
    )


def same_person_name(a: str, b: str) -> tuple[bool, bool]:
    """(they agree, they are written the same way) of two names in DICOM's form; the order does not matter.

    Agreeing are case, diacritics, composed or decomposed letters, spelt-out umlauts, order of the parts,
    caret or space, titles, empty parts, and text that a wrong character set has garbled.
    """
    exact = [
        "^".join(p.strip() for p in unicodedata.normalize("NFC", n).casefold().split("^")).rstrip("^= ")
        for n in (a, b)
    ]
    if exact[0] == exact[1]:
        return bool(exact[0]), True
    forms = [
        {_read(text, fold) for text in (n, _repaired(n)) for fold in (_plain, _spelled_out)} for n in (a, b)
    ]
    agree = any(_same(x, y) for x in forms[0] for y in forms[1])
    return agree or _damaged(a, b) or _damaged(b, a), False


def _shortened(a: str, b: str) -> bool:
    """True when the family name is the same and one side only leaves out further given names."""
    x, y = _read(a, _plain), _read(b, _plain)
    given = [r.words for r in (x, y)]
    few, many = sorted((Counter(given[0]), Counter(given[1])), key=lambda c: c.total())
    family = x.family == y.family != ""
    return family and bool(x.given and y.given) and few <= many and few.total() > 1


def person(name: str) -> str:
    """A DICOM name as a person reads it: "Nkosi-Müller^Thandô^^Dr" is "Nkosi-Müller, Thandô Dr"."""
    parts = [p.strip() for p in name.split("=")[0].split("^")]
    return ", ".join(t for t in (parts[0], " ".join(p for p in parts[1:] if p)) if t)


# The checks: each takes the order and all instances, and returns what it found.


def _counted(count: int, total: int) -> str:
    return "all images" if count == total else f"{count} of {total} images"


def _differing(
    headers: Sequence[InstanceHeader], field: str, agrees: Callable[[str], bool]
) -> list[tuple[str, str]]:
    found = Counter(getattr(h, field) for h in headers)
    return [(value, _counted(n, len(headers))) for value, n in sorted(found.items()) if not agrees(value)]


def _patient_ids(expected: Identity, headers: Sequence[InstanceHeader]) -> list[Problem]:
    return [
        Problem(
            "patient_id_differs" if value.strip() else "patient_id_missing",
            f"Patient number: {share} say “{value}”, the order says “{expected.patient_id}”."
            if value.strip()
            else f"Patient number: {share} carry none; the order says “{expected.patient_id}”.",
            "PatientID",
        )
        for value, share in _differing(
            headers, "patient_id", lambda v: v.strip() == expected.patient_id.strip()
        )
    ]


def _names(expected: Identity, headers: Sequence[InstanceHeader]) -> list[Problem]:
    problems = []
    ordered = person(expected.patient_name)
    for value, share in _differing(
        headers, "patient_name", lambda v: same_person_name(expected.patient_name, v) == (True, True)
    ):
        if not person(value):
            problems.append(Problem("name_missing", f"Name: {share} carry none.", "PatientName"))
        elif same_person_name(expected.patient_name, value)[0]:
            sentence = f"Name: {share} write “{person(value)}” for “{ordered}”; read as the same name."
            problems.append(Problem("name_written_otherwise", sentence, "PatientName", stop=False))
        elif _shortened(expected.patient_name, value):
            sentence = (
                f"Name: {share} say “{person(value)}”, the order says “{ordered}”; a given name is left out."
            )
            problems.append(Problem("name_shortened", sentence, "PatientName", stop=False))
        else:
            sentence = f"Name: {share} say “{person(value)}”, the order says “{ordered}”."
            problems.append(Problem("name_differs", sentence, "PatientName"))
    return problems


def _dicom_date(day: date | None) -> str:
    return day.strftime("%Y%m%d") if day else ""


def _on_screen(dicom_date: str) -> str:
    return (
        f"{dicom_date[6:]}/{dicom_date[4:6]}/{dicom_date[:4]}"
        if re.fullmatch(r"\d{8}", dicom_date)
        else dicom_date
    )


def _birth_dates(expected: Identity, headers: Sequence[InstanceHeader]) -> list[Problem]:
    wanted = _dicom_date(expected.birth_on)
    problems = []
    for value, share in _differing(headers, "birth_date", lambda v: re.sub(r"[.\s]", "", v) == wanted):
        if not value.strip():
            sentence = f"Date of birth: {share} carry none."
        elif not wanted:
            sentence = f"Date of birth: {share} say {_on_screen(value)}; the registry has none."
        else:
            sentence = f"Date of birth: {share} say {_on_screen(value)}, the order says {_on_screen(wanted)}."
        both = bool(value.strip() and wanted)
        problems.append(
            Problem(
                "birth_date_differs" if both else "birth_date_missing",
                sentence,
                "PatientBirthDate",
                stop=both,
            )
        )
    return problems


def _sexes(expected: Identity, headers: Sequence[InstanceHeader]) -> list[Problem]:
    wanted = expected.sex.strip().upper()[:1]
    problems = []
    for value, share in _differing(headers, "sex", lambda v: v.strip().upper() == wanted):
        clash = {value.strip().upper(), wanted} == {"M", "F"}
        sentence = f"Sex: {share} say “{value or 'nothing'}”, the order says “{wanted or 'nothing'}”."
        problems.append(
            Problem("sex_differs" if clash else "sex_not_comparable", sentence, "PatientSex", stop=clash)
        )
    return problems


def _accessions(expected: Identity, headers: Sequence[InstanceHeader]) -> list[Problem]:
    by_uid = all(h.study_uid == expected.study_uid for h in headers)
    problems = []
    for value, share in _differing(headers, "accession", lambda v: v.strip() == expected.accession):
        missing = not value.strip()
        says = "carry none" if missing else f"say “{value}”"
        problems.append(
            Problem(
                "accession_missing" if missing else "accession_differs",
                f"Accession number: {share} {says}; the order says “{expected.accession}”.",
                "AccessionNumber",
                # A scanner that took the Study UID from our order has proved which order it means.
                stop=not (missing and by_uid),
            )
        )
    return problems


def _study_uids(expected: Identity, headers: Sequence[InstanceHeader]) -> list[Problem]:
    problems = []
    for value, share in _differing(headers, "study_uid", lambda v: v == expected.study_uid):
        told = [h for h in headers if h.study_uid == value]
        # A scanner without a worklist numbers its own studies. The typed accession and patient number carry it then.
        proved = all((h.accession, h.patient_id) == (expected.accession, expected.patient_id) for h in told)
        problems.append(
            Problem(
                "study_uid_differs",
                f"Study UID: {share} carry another one than the order ({value})"
                + ("; accession and patient number agree." if proved else "."),
                "StudyInstanceUID",
                stop=not proved,
            )
        )
    return problems


def _mixed_names(expected: Identity, headers: Sequence[InstanceHeader]) -> list[Problem]:
    people: list[str] = []
    for name in sorted({h.patient_name for h in headers if person(h.patient_name)}):
        if not any(same_person_name(name, known)[0] or _shortened(name, known) for known in people):
            people.append(name)
    if len(people) < 2:
        return []
    names = " and ".join(f"“{person(name)}”" for name in people)
    return [Problem("names_mixed", f"One study holds images of more than one name: {names}.", "PatientName")]


def _shared_uids(expected: Identity, headers: Sequence[InstanceHeader]) -> list[Problem]:
    return list(shared_study_uids(headers))


def shared_study_uids(headers: Sequence[InstanceHeader]) -> tuple[Problem, ...]:
    """StudyInstanceUIDs used for more than one PatientID; give it the headers of every study found under the UID."""
    owners: dict[str, set[str]] = {}
    for h in headers:
        owners.setdefault(h.study_uid, set()).add(h.patient_id.strip())
    return tuple(
        Problem(
            "study_uid_shared",
            f"Study UID {uid} is used for more than one patient: {', '.join(sorted(i or '(none)' for i in ids))}.",
            "StudyInstanceUID",
        )
        for uid, ids in sorted(owners.items())
        if len(ids) > 1
    )


CHECKS: tuple[Callable[[Identity, Sequence[InstanceHeader]], list[Problem]], ...] = (
    _patient_ids,
    _names,
    _birth_dates,
    _sexes,
    _accessions,
    _study_uids,
    _mixed_names,
    _shared_uids,
)


def disagreements(expected: Identity, headers: Sequence[InstanceHeader]) -> tuple[Problem, ...]:
    """Everything in which the instances do not say what the order says; `stop` marks what sends them to quarantine."""
    if not headers:
        return (Problem("no_images", "There are no images to compare with the order.", "StudyInstanceUID"),)
    return tuple(p for check in CHECKS for p in check(expected, headers))
