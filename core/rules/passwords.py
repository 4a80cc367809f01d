"""What a password of ours must be: long, and not the name on the door (OWASP ASVS 5.0 §6.2)."""

from __future__ import annotations

import re
import unicodedata

from core.rules.problems import Problem

SHORTEST, LONGEST = 12, 256
# Long passwords that everybody tries first. Shorter ones need no list: they are refused by their length.
COMMON = frozenset((
    "passwordpassword", "password1234", "password12345", "password123456", "passw0rd1234", "123456789012", "1234567890123",
    "qwertyuiop123", "qwertyuiop12", "1q2w3e4r5t6y", "1qaz2wsx3edc", "adminadminadmin", "administrator", "letmeinletmein",
    "welcomewelcome", "welcome12345", "changeme1234", "iloveyou1234", "southafrica1", "southafrica2026", "johannesburg",
    "johannesburg1", "capetowncapetown", "radiology1234", "radiologist1", "springboks123", "bafanabafana",
))  # fmt: skip
_SEQUENCES = "01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm"


def problems_of(
    password: str, *, words: tuple[str, ...] = (), field: str = "password"
) -> tuple[Problem, ...]:
    """Why this may not be a password; `words` are names it must not be built from (login, name, practice)."""
    if not SHORTEST <= len(password) <= LONGEST:
        return (
            Problem(
                "password-length",
                f"A password has {SHORTEST} to {LONGEST} characters: a few words are best.",
                field,
            ),
        )
    plain = unicodedata.normalize("NFKC", password).casefold()
    bare = re.sub(r"[\W\d_]+", "", plain)
    known = {name for word in words for name in _names_in(word)}
    if plain in COMMON or len(set(plain)) < 5 or any(plain in s or plain[::-1] in s for s in _SEQUENCES):
        return (
            Problem("password-common", "Everybody tries this password first. Choose another one.", field),
        )
    if any(name * (len(bare) // len(name)) == bare for name in known if bare):
        return (
            Problem("password-name", "A password is not a name that others know. Choose another one.", field),
        )
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in password):
        return (Problem("password-signs", "A password has no control characters.", field),)
    return ()


def _names_in(word: str) -> set[str]:
    """A name as a whole and each part of it, letters only; what is shorter than four says nothing."""
    parts = re.split(r"[\W\d_]+", unicodedata.normalize("NFKC", word).casefold())
    return {name for name in ("".join(parts), *parts) if len(name) >= 4}
