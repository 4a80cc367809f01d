"""What a person sees when something went wrong, and what the log keeps of it: never the message, never a value."""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import Path

import streamlit as st

_log = logging.getLogger("sorg.console")
_HOME = Path(__file__).resolve().parents[1]


def show(error: BaseException) -> bool:
    """One calm sentence with a reference number; the log has the same number, the kind of error and the place."""
    reference = note(error)
    st.error(
        f"Something went wrong on our side. Nothing was changed by this. Try again; if it stays, tell whoever looks "
        f"after this system the number **{reference}**.",
        icon=":material/error:",
    )
    return True


def note(error: BaseException) -> str:
    """Log the kind of the error and where it happened; the number under which it is found there."""
    reference = secrets.token_hex(3).upper()
    _log.error("trouble %s: %s at %s", reference, type(error).__name__, _place(error))
    return reference


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).is_relative_to(_HOME) and "site-packages" not in f.filename]
    at = (ours or frames or [None])[-1]
    return f"{Path(at.filename).name}:{at.lineno}" if at else "unknown place"
