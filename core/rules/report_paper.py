"""The report as a page: what a referring doctor receives, prints and files.

The same input gives the same bytes, because the errand that stores the report may run twice. Typeset by
Typst with the fonts inside its own library (docs/decisions/031-report-pdf.md); the layout is report_paper.typ.
Whatever people typed reaches it as data, never as markup.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import typst

from core.errors import Refused
from core.rules.report_dicom import SAST, with_final_newline

MOST_CHARACTERS = 400_000  # Some ninety pages: no report, but a pasted file.
FOR_THE_LETTERHEAD = 100_000  # of them, kept for everything around the text and for the marks on each section
_TOO_LONG = "This report is too long to print. Shorten its text."
UNBROKEN = 60  # Longer words than this are cut, or they would run off the paper.


@dataclass(frozen=True)
class Letterhead:
    """Whose paper it is. practice_number: the BHF practice number (PCNS)."""

    name: str
    speciality: str = "Diagnostic Radiology"
    address: tuple[str, ...] = ()
    phone: str = ""
    email: str = ""
    practice_number: str = ""


@dataclass(frozen=True)
class PaperPatient:
    """Whom it is about; the name as people write it."""

    name: str
    number: str
    birth_on: date | None
    sex: str
    id_number: str = ""


@dataclass(frozen=True)
class PaperSignature:
    """Who signed, and when. registration: the HPCSA number."""

    name: str
    registration: str
    signed_at: datetime
    qualification: str = ""


@dataclass(frozen=True)
class PaperSection:
    """One headed part. A blank line parts paragraphs, lines that begin with "- " or "1." become a list."""

    heading: str
    text: str
    emphasised: bool = False


@dataclass(frozen=True)
class PaperAddendum:
    """Something added after signing: it has its own text and its own signature."""

    number: int
    text: str
    signature: PaperSignature


@dataclass(frozen=True)
class ReportPaper:
    """Everything the page says. signature None makes a draft, and the page says so across every sheet."""

    practice: Letterhead
    patient: PaperPatient
    accession: str
    examination: str
    examined_on: date
    referrer: str
    sections: tuple[PaperSection, ...]
    signature: PaperSignature | None
    version: int
    digest: str
    referrer_practice: str = ""
    addenda: tuple[PaperAddendum, ...] = ()
    demo: bool = False


def require_printable(parts: Iterable[tuple[str, str]]) -> None:
    """Refused when these sections (heading, text) are longer than any report: asked before a signature makes them final."""
    body = _clean([{"heading": heading, "blocks": blocks(text)} for heading, text in parts])
    if len(json.dumps(body, ensure_ascii=False)) > MOST_CHARACTERS - FOR_THE_LETTERHEAD:
        raise Refused(_TOO_LONG)


def render(report: ReportPaper) -> bytes:
    """The PDF, A4. Refused when the text is longer than any report."""
    content = json.dumps(paper_content(report), ensure_ascii=False, sort_keys=True)
    if len(content) > MOST_CHARACTERS:
        raise Refused(_TOO_LONG)
    signatures = [s for s in (report.signature, *(a.signature for a in report.addenda)) if s]
    pdf = typst.compile(
        _template(),
        font_paths=_fonts(),
        format="pdf",
        sys_inputs={"report": content},
        timestamp=max((s.signed_at for s in signatures), default=datetime(2000, 1, 1, tzinfo=UTC)).replace(
            microsecond=0
        ),
    )
    return with_final_newline(pdf)


def short_code(digest: str) -> str:
    """The first twelve digits of a digest, in the form people read to each other on the phone."""
    start = digest[:12].upper()
    return "-".join(start[i : i + 4] for i in range(0, len(start), 4))


def paper_content(report: ReportPaper) -> dict:
    """What the layout is given: plain strings and lists, with every date and list mark already drawn."""
    return _clean(
        {
            "practice": {
                "name": report.practice.name,
                "speciality": report.practice.speciality,
                "address": list(report.practice.address),
                "contact": [t for t in (report.practice.phone, report.practice.email) if t],
                "number": report.practice.practice_number,
            },
            "patient": report.patient.name,
            "facts": [
                ["Patient", report.patient.name],
                ["Date of birth", _day(report.patient.birth_on) or "not known"],
                ["Sex", {"M": "Male", "F": "Female", "O": "Other"}.get(report.patient.sex, "Not stated")],
                ["ID number", report.patient.id_number or "–"],
                ["Patient no.", report.patient.number],
                ["Accession no.", report.accession],
                ["Date of examination", _day(report.examined_on)],
                ["Referred by", report.referrer],
                ["Referring practice", report.referrer_practice or "–"],
            ],
            "examination": report.examination,
            "running": [report.patient.name, _born(report.patient), f"Accession {report.accession}"],
            "sections": [
                {"heading": s.heading, "blocks": blocks(s.text), "emphasised": s.emphasised}
                for s in report.sections
                # A line in capitals reads as a heading: it was signed, so it is printed, also with nothing under it.
                if s.heading.strip() or s.text.strip()
            ],
            "signature": _signature(report.signature),
            "addenda": [
                {"number": a.number, "blocks": blocks(a.text), "signature": _signature(a.signature)}
                for a in report.addenda
            ],
            "version": report.version,
            "code": short_code(report.digest),
            "demo": report.demo,
        }
    )


LIST_ITEM = re.compile(r"\s*([-•*–]|\d{1,2}[.)])\s+(.*)")


def blocks(text: str) -> list[dict[str, str]]:
    """Typed text as paragraphs and list items: {"mark": "" or the item's mark, "text": ...}."""
    found: list[dict[str, str]] = []
    gap = True
    for line in text.splitlines():
        if not line.strip():
            gap = True
        elif item := LIST_ITEM.match(line):
            mark = item[1] if item[1][0].isdigit() else "•"
            found.append({"mark": mark, "text": item[2].strip()})
            gap = False
        elif gap or not found:
            found.append({"mark": "", "text": line.strip()})
            gap = False
        else:
            found[-1]["text"] += "\n" + line.strip()
    return found


def _signature(signature: PaperSignature | None) -> dict[str, str] | None:
    if signature is None:
        return None
    return {
        "name": signature.name,
        "qualification": signature.qualification,
        "registration": signature.registration,
        "at": signature.signed_at.astimezone(SAST).strftime("%d/%m/%Y %H:%M SAST"),
    }


def _day(day: date | None) -> str:
    return day.strftime("%d/%m/%Y") if day else ""


def _born(patient: PaperPatient) -> str:
    return f"born {_day(patient.birth_on)}" if patient.birth_on else f"patient no. {patient.number}"


def _clean(value: Any) -> Any:
    """Drop what a printer cannot show and what could turn a line's reading direction; part overlong words."""
    if isinstance(value, str):
        # A tab parts numbers: without it "12<tab>5 mm" would be printed as 125 mm.
        spaced = unicodedata.normalize("NFC", value).replace("\t", "  ")
        kept = "".join(c for c in spaced if c == "\n" or unicodedata.category(c)[0] != "C")
        return re.sub(rf"\S{{{UNBROKEN}}}(?=\S)", lambda m: m[0] + "\u200b", kept)
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_clean(v) for v in value]
    return value


@cache
def _template() -> bytes:
    # Part of this module, like its code: read once, never written.
    return files("core.rules").joinpath("report_paper.typ").read_bytes()


@cache
def _fonts() -> typst.Fonts:
    # The fonts of the machine stay out, or the same report would look and weigh different elsewhere.
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
