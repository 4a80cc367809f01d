"""Sign-in slips as pages to print and hand over: whose, where, which code, until when, and what to do, step by step.

Typeset by Typst like the report (core.rules.report_paper). What people typed reaches it as data, never as markup. The
code is text to be typed off: it stands in no address and in no QR code, so that it ends in no browser's history.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import typst

from core.errors import Refused
from core.rules.report_dicom import SAST

MOST_SLIPS = 500


@dataclass(frozen=True, repr=False)
class PaperSlip:
    """One slip. address: where its owner begins. sets_password: False when they have one already and only prove it."""

    name: str
    login: str
    address: str
    code: str
    ends_at: datetime
    sets_password: bool


def render(slips: Sequence[PaperSlip], *, practice: str) -> bytes:
    """The PDF, A4, a page a slip. Refused for more slips than anybody hands out in a day."""
    if len(slips) > MOST_SLIPS:
        raise Refused(f"At most {MOST_SLIPS} slips are printed at once.")
    content = {"practice": _clean(practice), "slips": [slip_content(s) for s in slips]}
    return typst.compile(
        _template(),
        font_paths=_fonts(),
        format="pdf",
        sys_inputs={"slips": json.dumps(content, ensure_ascii=False)},
        timestamp=datetime(2000, 1, 1, tzinfo=UTC),
    )


def slip_content(slip: PaperSlip) -> dict[str, object]:
    """What the layout is given: every word of one page."""
    password = (
        "Choose a password of your own, at least 12 characters long. Nobody else ever learns it, the admin included."
        if slip.sets_password
        else "Type the password that you sign in with."
    )
    return {
        "name": _clean(slip.name),
        "login": slip.login,
        "address": slip.address,
        "code": slip.code,
        "until": slip.ends_at.astimezone(SAST).strftime("%d/%m/%Y, %H:%M"),
        "steps": [
            "Open the address above in a browser, and type your code. Small letters, capitals and hyphens do "
            "not matter.",
            password,
            "Point an authenticator app on your telephone at the square pattern on the screen (Google Authenticator, Microsoft "
            "Authenticator, Aegis: any will do), and type the six digits that it shows.",
            "Keep the ten recovery codes that you are shown then, away from your telephone. Each lets you in once, should "
            "the telephone be lost.",
            "From then on you sign in with your name, your password and six new digits each time.",
        ],
    }


def _clean(text: str) -> str:
    """Without signs that a printer cannot show or that turn a line around; no word runs off the paper."""
    kept = "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c)[0] != "C")
    return " ".join(
        word if len(word) <= 40 else "\u200b".join(word[i : i + 40] for i in range(0, len(word), 40))
        for word in kept.split()
    )


@cache
def _template() -> bytes:
    return files("core.rules").joinpath("slip_paper.typ").read_bytes()


@cache
def _fonts() -> typst.Fonts:
    # The fonts of the machine stay out: a slip looks the same in every practice.
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
