"""Who sees which page: every role against a table written out by hand."""

from console import nav
from core.rules.roles import STAFF, Role

# One letter a role: a admin, m manager, r reception, g radiographer, d radiologist, t transcriptionist, b billing, n analyst.
LETTERS = dict(zip("amrgdtbn", STAFF, strict=True))
PAGES = {
    "board": "amrgdb",
    "patients": "amrgdb",
    "bookings": "rg",
    "shares": "amrd",
    "break_glass": "rgd",
    "quarantine": "amgd",
    "study": "amrgdb",
    "reading_list": "md",
    "transcription": "mt",
    "sign_off": "d",
    "insight": "amn",
    "billing_queue": "mb",
    "claim": "mb",
    "claims": "mb",
    "remittances": "mb",
    "code_tables": "amb",
    "people": "am",
    "requests": "am",
    "staff_import": "a",
    "groups": "am",
    "patient_access": "am",
    "glass_review": "am",
    "audit": "am",
    "system_health": "am",
    "my_account": "amrgdtbn",
}
HOMES = {"a": "board", "m": "board", "r": "board", "g": "board", "d": "reading_list", "t": "transcription",
         "b": "billing_queue", "n": "insight"}  # fmt: skip


def test_each_page_is_open_to_exactly_the_roles_of_the_table():
    walked = {
        page.key: "".join(k for k, role in LETTERS.items() if page in nav.pages_for(frozenset({role})))
        for page in nav.PAGES
    }
    assert PAGES == walked


def test_each_role_begins_its_day_at_its_own_page():
    assert HOMES == {letter: nav.home_for(frozenset({role})) for letter, role in LETTERS.items()}


def test_who_signs_in_at_the_patients_door_has_no_page_here():
    for role in (Role.PATIENT, Role.REFERRER, Role.NOBODY):
        assert () == nav.pages_for(frozenset({role})), role


def test_several_roles_have_the_pages_of_each():
    both = {page.key for page in nav.pages_for(frozenset({Role.RECEPTION, Role.BILLING}))}
    assert {key for key, letters in PAGES.items() if set("rb") & set(letters)} == both
