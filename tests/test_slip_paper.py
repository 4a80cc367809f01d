"""The printed slip says whose it is, where, with which code and until when; what people typed is never markup."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pypdf import PdfReader

from core.errors import Refused
from core.rules.slip_paper import MOST_SLIPS, PaperSlip, render, slip_content

SLIP = PaperSlip(
    "Sr Thandô Nkosi-Müller", "thandi.nkosi", "https://sorg.practice.example/activate",
    "G6NDU-BGUAZ-774B5-5OJW3-64VXH-I", datetime(2026, 12, 1, 10, 58, tzinfo=UTC), sets_password=True,
)  # fmt: skip


def pages(*slips: PaperSlip, practice: str = "Ubuntu Radiology") -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(render(slips, practice=practice))).pages]


def test_a_slip_is_one_page_with_everything_its_owner_needs():
    (page,) = pages(SLIP)
    for said in ("Ubuntu Radiology", SLIP.name, SLIP.login, SLIP.address, SLIP.code, "01/12/2026, 12:58"):
        assert said in page


def test_many_slips_are_a_page_each_in_their_order():
    assert [True] * 3 == [
        f"Number {n}" in page
        for n, page in enumerate(pages(*(replace(SLIP, name=f"Number {n}") for n in range(3))))
    ]


def test_who_has_a_password_proves_it_and_sets_none():
    assert "Choose a password" in str(slip_content(SLIP))
    assert "Choose a password" not in str(slip_content(replace(SLIP, sets_password=False)))


def test_what_people_typed_is_text_and_stays_on_the_paper():
    (page,) = pages(
        replace(SLIP, name='#panic("x") *bold* $1$ \u202eolleh\u200b\x07'), practice="= Heading #1"
    )
    assert '#panic("x") *bold* $1$ olleh' in page
    assert 1 == len(pages(replace(SLIP, name="X" * 120, login="x" * 64)))


def test_more_slips_than_anybody_hands_out_are_refused():
    with pytest.raises(Refused, match="500"):
        render([SLIP] * (MOST_SLIPS + 1), practice="Ubuntu Radiology")
