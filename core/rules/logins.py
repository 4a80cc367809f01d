"""Logins: how they are folded, and what is wrong with one. Characters that nobody sees are found here for every text."""

from __future__ import annotations

import re
import unicodedata

from core.rules.problems import Problem

LONGEST_LOGIN = 64
_LOGIN = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_LETTERS = "A login has letters a to z, digits, dots, hyphens and underscores, and at most 64 of them."

# Letters and marks without ink, which Unicode does not count among the control characters: the joiner of graphemes,
# Hangul and Khmer fillers, the empty Braille cell, and the variation selectors.
_BLANK = frozenset(
    map(
        chr,
        [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810),
         *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)],
    )
)  # fmt: skip
_NO_TEXT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def fold_login(text: str) -> str:
    """The one spelling under which a login is kept and looked up (Unicode NFKC, case folded, no blanks around it).

    >>> fold_login(" Thandi.NKOSI "), fold_login("ｔｈａｎｄｉ")
    ('thandi.nkosi', 'thandi')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def problem_of(login: str) -> Problem | None:
    """What keeps a typed login from being one, or None: the reason names the character, seen or not.

    Only ASCII is allowed, so that no letter of another script can pass for one of ours (Unicode TR 36 and 39).
    """
    folded = fold_login(login)
    if not folded:
        return Problem("login-letters", "Write a login: the name to sign in with.", "login")
    if len(folded) > LONGEST_LOGIN:
        return Problem("login-letters", _LETTERS, "login")
    if unseen := unseen_in(folded):
        return Problem(
            "login-unseen",
            f"The login holds a character that nobody sees ({unseen}): type it afresh.",
            "login",
        )
    for letter in folded:
        if letter.isascii():
            continue
        if letter.isalpha() and (script := script_of(letter)) != "LATIN":
            return Problem(
                "login-script",
                f"The letter '{letter}' in the login is {script.capitalize()} and only looks like one of ours: "
                "type the login afresh.",
                "login",
            )
        return Problem(
            "login-letters", f"A login cannot hold '{letter}': use letters a to z without marks.", "login"
        )
    return None if _LOGIN.fullmatch(folded) else Problem("login-letters", _LETTERS, "login")


def unseen_in(text: str) -> str:
    """The first character without ink or with a hold on its neighbours (zero width, bidi, control), by name; or "".

    >>> unseen_in("Thandi"), unseen_in("Than" + chr(0x200B) + "di")
    ('', 'U+200B ZERO WIDTH SPACE')
    """
    if text.isascii() and text.isprintable():
        return ""
    for letter in text:
        if letter in _BLANK or unicodedata.category(letter) in _NO_TEXT:
            return f"U+{ord(letter):04X} {unicodedata.name(letter, 'control character')}"
    return ""


def script_of(letter: str) -> str:
    """The script of a letter, as the first word of its Unicode name: LATIN, CYRILLIC, GREEK."""
    return unicodedata.name(letter, "UNKNOWN").split()[0]


def mixed_scripts_in(text: str) -> tuple[str, ...]:
    """The scripts of the first word that mixes Latin letters with others, or ().

    Whole words of another script are names; a word of both is a look-alike.

    >>> mixed_scripts_in("Thandi Нкоси"), mixed_scripts_in("Th" + chr(0x430) + "ndi")
    ((), ('CYRILLIC', 'LATIN'))
    """
    if text.isascii():
        return ()
    for word in text.split():
        letters = [c for c in word if unicodedata.category(c) in ("Lu", "Ll", "Lt", "Lo") and c not in _BLANK]
        scripts = {script_of(letter) for letter in letters}
        if "LATIN" in scripts and len(scripts) > 1:
            return tuple(sorted(scripts))
    return ()
