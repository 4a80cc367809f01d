"""The printed report: what a referring doctor can read off the page."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from core.errors import Refused
from core.rules.report_paper import (
    Letterhead,
    PaperAddendum,
    PaperPatient,
    PaperSection,
    PaperSignature,
    ReportPaper,
    blocks,
    render,
    short_code,
)
from core.rules.report_text import sections

PAPER = ReportPaper(
    practice=Letterhead(
        "Umoya Radiology",
        address=("Suite 4, 12 Protea Street", "Makhanda 6139"),
        phone="046 555 0142",
        email="rooms@umoya.example",
        practice_number="0380000",
    ),
    patient=PaperPatient("Thandô Nkosi-Müller", "P-000123", date(1980, 2, 29), "F", "8002290000087"),
    accession="A26-000417",
    examination="CT chest with contrast",
    examined_on=date(2026, 11, 24),
    referrer="Dr Sipho Mokoena",
    sections=(
        PaperSection("Findings", "Cavity of 32 × 28 mm, ±40 HU.\n\nNo effusion."),
        PaperSection("Impression", "1. Active tuberculosis.\n2. Nodes.", emphasised=True),
    ),
    signature=PaperSignature("Dr Priya Naidoo", "MP 0567890", datetime(2026, 11, 24, 12, 5, tzinfo=UTC)),
    version=3,
    digest="9f3a12bc77d0aa11",
)


def pages(pdf):
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]


def on_one_line(pdf):
    return " ".join(" ".join(pages(pdf)).split())


def with_findings(text):
    return replace(PAPER, sections=(PaperSection("Findings", text),))


def test_the_page_says_who_what_when_and_who_signed():
    text = on_one_line(render(PAPER))
    for said in (
        "Umoya Radiology",
        "Practice no. 0380000",
        "Thandô Nkosi-Müller",
        "29/02/1980",
        "8002290000087",
        "A26-000417",
        "CT chest with contrast",
        "24/11/2026",
        "Dr Sipho Mokoena",
        "32 × 28 mm, ±40 HU",
        "Active tuberculosis.",
        "digitally signed by Dr Priya Naidoo, HPCSA MP 0567890, 24/11/2026 14:05 SAST",
        "Version 3",
        "9F3A-12BC-77D0",
        "Page 1 of 1",
    ):
        assert said in text, said


def test_the_same_report_is_the_same_file_and_ends_in_a_newline():
    assert render(PAPER) == render(replace(PAPER))
    assert render(PAPER).endswith(b"\n")
    assert render(replace(PAPER, version=4)) != render(PAPER)


def test_every_font_is_in_the_file():
    reader = PdfReader(io.BytesIO(render(with_findings("Ωμέγα, Привет, ≥ 5 µm, ḓ ṱ ṋ ḽ š ŋ"))))
    fonts = [f.get_object() for f in reader.pages[0]["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert {"/FontFile2", "/FontFile3"} & set(descriptor)


def test_letters_of_all_our_languages_come_through():
    # Venda has the circumflex below, Sotho and Tswana the caron, Afrikaans diaeresis and circumflex.
    text = "Ḓembe ḽa ṱhoho ṋe ṅwana; Tšhegofatšo; reënboog, môre, wîe; ǃKhoe"
    assert text in on_one_line(render(with_findings(text)))


def test_a_long_report_is_numbered_and_names_the_patient_on_every_page():
    paragraph = "No focal consolidation is seen in this segment of the lung on any of the images. " * 12
    found = pages(render(with_findings("\n\n".join([paragraph] * 100))))
    assert len(found) >= 20
    for number, text in enumerate(found, 1):
        assert "Thandô Nkosi-Müller" in text
        assert "A26-000417" in text
        assert f"Page {number} of {len(found)}" in " ".join(text.split())
    assert "digitally signed" in " ".join(found[-1].split())


@pytest.mark.parametrize(
    "typed",
    [
        '#panic("x") #read("/etc/passwd") #import "@preview/cetz:0.2.2"',
        "$ x^2 $ and a single $ sign",
        r"back\slash \ \" \u{1F600} \n",
        "quotes \" and ' and ` and ```",
        "* stars * _ lines _ = heading <label> @reference // comment /* comment */",
        "[square] {curly} (round) ~ tilde",
        '{"report": {"signature": null}}',
        "<b>bold</b> &amp; &#35;",
    ],
)
def test_what_people_type_is_printed_and_never_obeyed(typed):
    paper = replace(
        with_findings(typed),
        examination=typed,
        practice=replace(PAPER.practice, name=typed),
        patient=replace(PAPER.patient, name=typed),
    )
    text = on_one_line(render(paper)).replace(" ", "")
    assert text.count(typed.replace(" ", "")) >= 3


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_printed(text):
    assert render(with_findings(text)).startswith(b"%PDF-")


def test_invisible_characters_that_turn_the_reading_direction_are_dropped():
    assert "no fracture" in on_one_line(render(with_findings("no \u202efracture\u0000")))


def test_every_line_that_was_signed_is_printed_also_one_that_reads_as_a_heading():
    typed = "FINDINGS\nLungs clear.\nNO PNEUMOTHORAX\n\nCONCLUSION\nSuspicious mass.\nURGENT BIOPSY ADVISED"
    paper = replace(
        PAPER, sections=tuple(PaperSection(h, t, emphasised=h == "CONCLUSION") for h, t in sections(typed))
    )
    text = on_one_line(render(paper))
    for line in typed.splitlines():
        assert line in text, line


def test_numbers_that_a_tab_parts_stay_apart():
    text = on_one_line(render(with_findings("Nodule\t12\t5 mm\nL4/5\t3 mm")))
    assert "Nodule 12 5 mm" in text
    assert "L4/5 3 mm" in text


def test_a_word_without_end_stays_on_the_paper():
    assert len(pages(render(with_findings("A" * 5000)))) >= 1
    reader = PdfReader(io.BytesIO(render(with_findings("A" * 5000))))
    widest = max(len(line) for line in reader.pages[0].extract_text().splitlines())
    assert widest <= 120


def test_a_draft_says_so_and_carries_no_signature():
    text = on_one_line(render(replace(PAPER, signature=None)))
    assert "Not signed." in text
    assert "DRAFT" in text
    assert "digitally signed" not in text


def test_an_addendum_has_its_own_text_and_signature():
    later = replace(PAPER.signature, signed_at=datetime(2026, 11, 25, 7, 0, tzinfo=UTC))
    text = on_one_line(render(replace(PAPER, addenda=(PaperAddendum(1, "The cavity is new.", later),))))
    assert "Report digitally signed by Dr Priya Naidoo, HPCSA MP 0567890, 24/11/2026 14:05 SAST" in text
    assert "ADDENDUM 1" in text.upper()
    assert "The cavity is new." in text
    assert "Addendum digitally signed by Dr Priya Naidoo, HPCSA MP 0567890, 25/11/2026 09:00 SAST" in text


def test_a_demonstration_says_so_on_the_page():
    assert "not a real patient" in on_one_line(render(replace(PAPER, demo=True)))
    assert "not a real patient" not in on_one_line(render(PAPER))


def test_a_pasted_book_is_refused_in_a_sentence():
    with pytest.raises(Refused, match="too long to print"):
        render(with_findings("word " * 4_000_000))


def test_typed_lines_become_paragraphs_and_lists():
    typed = "First\nsame paragraph\n\nSecond\n- one\n- two\n  going on\n3) three"
    assert blocks(typed) == [
        {"mark": "", "text": "First\nsame paragraph"},
        {"mark": "", "text": "Second"},
        {"mark": "•", "text": "one"},
        {"mark": "•", "text": "two\ngoing on"},
        {"mark": "3)", "text": "three"},
    ]


def test_the_short_code_is_readable_on_the_phone():
    assert short_code("9f3a12bc77d0aa11") == "9F3A-12BC-77D0"
