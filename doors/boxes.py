"""A new secret that travels in the page's own form, sealed: after a mistyped code the phone keeps the one it has."""

from __future__ import annotations

import json

from core.factors import NewTotp
from doors.manners import Manners


def box_of(manners: Manners, fresh: NewTotp, *, about: str) -> str:
    """Sealed, and bound to the slip or session that it was made for."""
    return manners.seal(json.dumps([fresh.login, fresh.secret, fresh.otpauth]), about=about)


def opened(manners: Manners, box: str, *, about: str) -> NewTotp | None:
    """The secret again; None for a box that is not ours, or belongs elsewhere."""
    inside = manners.unseal(box, about=about)
    return NewTotp(*json.loads(inside)) if inside else None
