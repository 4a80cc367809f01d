"""The secret of a new authenticator app, to scan and to type."""

from __future__ import annotations

import segno

from core.factors import NewTotp


def picture_of(fresh: NewTotp) -> str:
    """The QR code, as the address of a picture that holds itself."""
    return segno.make(fresh.otpauth, error="m").svg_data_uri(scale=4, border=3, dark="#000", light="#fff")


def in_groups(fresh: NewTotp) -> str:
    """The secret in groups of four, as people type it."""
    return " ".join(fresh.secret[i : i + 4] for i in range(0, len(fresh.secret), 4))
