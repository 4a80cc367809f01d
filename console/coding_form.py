"""The coding of one claim as a form: examinations, diagnoses, modifiers, and what goes with them.

What is chosen is a draft of this sitting, priced and checked at each change (`billing.price`); it is kept when the clerk
saves or submits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import streamlit as st

from console import bills, desk, widgets
from core import code_tables
from core.billing import ClaimDesk, CodedLine, Coding, Priced
from core.rules.claim import PLACES
from core.rules.problems import Problem

_LOOKS_LIKE_CODE = re.compile(r"[A-Za-z][0-9][0-9A-Za-z](\.[0-9A-Za-z]{1,2})?[+*†]?")
_PAYERS = {"": "The patient's scheme", "private": "The patient", "coida": "Injury on duty (COIDA)"}
_SHOWN = 8
Found = tuple[str, str, bool]  # code, words for a button, whether it may be chosen


# The draft ------------------------------------------------------------------------------------------------------


def draft(study_id: UUID, kept: ClaimDesk) -> Coding:
    """What the clerk has chosen so far, begun with what is kept."""
    name = _name(study_id)
    if st.session_state.get(f"{name}-version") is None:
        st.session_state[name], st.session_state[f"{name}-version"] = kept.coding, kept.version
    return st.session_state[name]


def version(study_id: UUID) -> int:
    """The version of the claim that the draft began with."""
    return st.session_state[f"{_name(study_id)}-version"]


def forget(study_id: UUID) -> None:
    """Begin again with what is kept; its fields are drawn with new keys, so that none keeps its old content."""
    name = _name(study_id)
    st.session_state.pop(name, None)
    st.session_state.pop(f"{name}-version", None)
    st.session_state[f"{name}-round"] = st.session_state.get(f"{name}-round", 0) + 1


def _name(study_id: UUID) -> str:
    return f"coding-{study_id}"


def _key(study_id: UUID, *parts: object) -> str:
    turn = st.session_state.get(f"{_name(study_id)}-round", 0)
    return "-".join(map(str, (_name(study_id), turn, *parts)))


def _put(study_id: UUID, coding: Coding) -> None:
    st.session_state[_name(study_id)] = coding


def _put_line(study_id: UUID, at: int, **changes: object) -> None:
    now: Coding = st.session_state[_name(study_id)]
    lines = list(now.lines)
    lines[at] = replace(lines[at], **changes)
    _put(study_id, replace(now, lines=tuple(lines)))


# The form -------------------------------------------------------------------------------------------------------


def form(study_id: UUID, kept: ClaimDesk, priced: Priced) -> None:
    """Every field, each with what is wrong with it beside it."""
    now = draft(study_id, kept)
    bills.part("lines", "Examinations and diagnoses")
    for at, line in enumerate(now.lines):
        with st.container(border=True):
            _line(study_id, at, line, now, kept, priced)
    _add_examination(study_id, kept)
    with st.container(border=True):
        _around(study_id, now, priced)


def place_of(field: str, priced: Priced) -> str:
    """The anchor of the field that a problem is about; "" when it is not on this form."""
    head, _, rest = field.partition(".")
    if head == "lines":
        number = rest.split(".")[0]
        return f"line-{_asked(int(number), priced)}" if number.isdigit() else "lines"
    return {
        "referring": "around",
        "authorisation": "around",
        "place_of_service": "around",
        "notes": "around",
        "funder": "around",
        "correction": "around",
    }.get(head, "")


def _asked(line: int, priced: Priced) -> int:
    """Which examination a line of the claim belongs to: modifiers stand behind their tariff."""
    return max(sum(x.kind == "tariff" for x in priced.lines[: line + 1]) - 1, 0)


def _of_line(at: int, priced: Priced) -> list[Problem]:
    return [p for p in priced.problems if place_of(p.field, priced) == f"line-{at}"]


def _line(study_id: UUID, at: int, line: CodedLine, now: Coding, kept: ClaimDesk, priced: Priced) -> None:
    shown = [x for n, x in enumerate(priced.lines) if _asked(n, priced) == at and x.kind == "tariff"]
    head = shown[0] if shown else None
    a, b, c = st.columns([5, 1.3, 0.7], vertical_alignment="bottom")
    with a:
        bills.examination(
            f"line-{at}",
            line.code,
            head.description if head else "",
            head.cents if head else None,
            is_demo=bool(head and head.is_demo),
        )
    quantity = b.number_input(
        "Quantity",
        min_value=0.0,
        max_value=999.0,
        step=1.0,
        value=float(line.quantity),
        format="%g",
        key=_key(study_id, "qty", at, line.code),
    )
    if Decimal(str(quantity)) != line.quantity:
        _put_line(study_id, at, quantity=Decimal(str(quantity)))
        st.rerun()
    if c.button("", icon=":material/delete:", key=_key(study_id, "drop", at), help="Remove this examination"):
        _put(study_id, replace(now, lines=now.lines[:at] + now.lines[at + 1 :]))
        forget_fields(study_id)
        st.rerun()
    _diagnoses(study_id, at, line, priced)
    _modifiers(study_id, at, line, kept)
    bills.beside(_of_line(at, priced))


def forget_fields(study_id: UUID) -> None:
    """Draw the fields with new keys, for what they stand for has moved."""
    turn = f"{_name(study_id)}-round"
    st.session_state[turn] = st.session_state.get(turn, 0) + 1


def _diagnoses(study_id: UUID, at: int, line: CodedLine, priced: Priced) -> None:
    for n, code in enumerate(line.icd10):
        a, b, c = st.columns([9, 0.8, 0.8], vertical_alignment="center")
        with a:
            bills.diagnosis(code, priced.words.get(code, ""), is_first=n == 0)
        if n and b.button(
            "",
            icon=":material/arrow_upward:",
            key=_key(study_id, "up", at, n),
            type="tertiary",
            help="Move up; the first is the primary diagnosis",
        ):
            moved = list(line.icd10)
            moved[n - 1], moved[n] = moved[n], moved[n - 1]
            _put_line(study_id, at, icd10=tuple(moved))
            st.rerun()
        if c.button(
            "",
            icon=":material/close:",
            key=_key(study_id, "no", at, n),
            type="tertiary",
            help=f"Remove {code}",
        ):
            _put_line(study_id, at, icd10=line.icd10[:n] + line.icd10[n + 1 :])
            st.rerun()
    label = "Diagnosis" if len(priced.lines) < 2 else f"Diagnosis for {line.code}"
    _searched(
        study_id,
        ("dx", at),
        label,
        "Code(s) or words, then Enter: S52.50 W19.99, or headache",
        _find_codes,
        lambda codes: _put_line(study_id, at, icd10=_with(line.icd10, codes)),
    )


def _with(codes: tuple[str, ...], more: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*codes, *more]))


def _find_codes(search: str) -> list[Found]:
    found = desk.ask(code_tables.find_codes, search=search, size=_SHOWN)
    return [
        (
            f.code,
            f"{f.code}{f.mark}  {f.description}"
            + ("" if f.primary else " (not first)")
            + ("" if f.usable else " – not for claims"),
            f.usable,
        )
        for f in found
    ]


def _searched(
    study_id: UUID,
    parts: tuple[object, ...],
    label: str,
    hint: str,
    find: Callable[[str], list[Found]],
    take: Callable[[list[str]], None],
) -> None:
    """A field that takes codes at once, or finds them by words and offers them as buttons.

    It is emptied when it was used and stays where the hands are: Enter, the next code, Enter.
    """
    field = _key(study_id, *parts)

    def use(codes: list[str]) -> None:
        take(codes)
        st.session_state[field] = ""

    def entered() -> None:
        text = st.session_state[field].strip()
        if text and (codes := _exact(text, find(text), several=parts[0] != "tariff")):
            use(codes)

    st.text_input(label, placeholder=hint, key=field, icon=":material/search:", on_change=entered)
    if not (text := st.session_state[field].strip()):
        return
    found = find(text)
    if not found:
        st.caption("Nothing found: no code begins so, and no description holds all of these words.")
    for code, said, usable in found:
        st.button(
            desk.plain(said),
            key=f"{field}-{code}",
            disabled=not usable,
            type="tertiary",
            icon=":material/add:",
            on_click=use,
            args=([code],),
        )


def _exact(text: str, found: list[Found], *, several: bool) -> list[str]:
    """The codes that were typed out; none when words were typed, or the beginning of a code."""
    if not several:
        return [text.upper()] if text.upper() in {code for code, _, _ in found} else []
    words = [word.upper() for word in re.split(r"[\s,;]+", text) if word]
    usable = {code for code, _, is_usable in found if is_usable}
    if not all(_LOOKS_LIKE_CODE.fullmatch(word) for word in words):
        return []
    # A category such as S52 that only leads to usable codes is a search, not a choice.
    is_start = (
        len(words) == 1 and words[0] not in usable and any(code.startswith(words[0]) for code in usable)
    )
    return [] if is_start else words


def _modifiers(study_id: UUID, at: int, line: CodedLine, kept: ClaimDesk) -> None:
    found = desk.ask(
        code_tables.find_tariffs, kind="modifier", scheme=kept.scheme, on=kept.service_on, size=200
    )
    words = {row.code: f"{row.code} {row.description}" for row in found}
    options = list(dict.fromkeys([*words, *line.modifiers]))
    if not options:
        return
    chosen = st.multiselect(
        "Modifiers",
        options,
        default=list(line.modifiers),
        format_func=lambda c: str(words.get(c, c)),
        key=_key(study_id, "mod", at, line.code),
        placeholder="None",
    )
    if tuple(chosen) != line.modifiers:
        _put_line(study_id, at, modifiers=tuple(chosen))
        st.rerun()


def _add_examination(study_id: UUID, kept: ClaimDesk) -> None:
    def find(search: str) -> list[Found]:
        found = desk.ask(
            code_tables.find_tariffs,
            search=search,
            kind="tariff",
            scheme=kept.scheme,
            on=kept.service_on,
            size=_SHOWN,
        )
        return [
            (
                r.code,
                f"{r.code}  {r.description}, {widgets.money(r.cents) if r.cents is not None else 'no price'}"
                + (" DEMO PRICE" if r.demo else ""),
                True,
            )
            for r in found
        ]

    def take(codes: list[str]) -> None:
        now: Coding = st.session_state[_name(study_id)]
        # What is true of the first examination is usually true of the next; a click takes it away again.
        same = now.lines[0].icd10 if now.lines else ()
        _put(study_id, replace(now, lines=now.lines + tuple(CodedLine(code, icd10=same) for code in codes)))

    _searched(
        study_id,
        ("tariff",),
        "Add an examination",
        "Tariff code or words, then Enter: 30110, or chest",
        find,
        take,
    )


def _around(study_id: UUID, now: Coding, priced: Priced) -> None:
    bills.part("around", "Particulars of the claim")
    a, b = st.columns(2)
    places = list(dict.fromkeys([*PLACES, now.place_of_service]))
    place = a.selectbox(
        "Place of service",
        places,
        index=places.index(now.place_of_service),
        format_func=lambda p: f"{p} {PLACES.get(p, '')}",
        key=_key(study_id, "place"),
    )
    authorisation = b.text_input(
        "Authorisation number", value=now.authorisation, max_chars=35, key=_key(study_id, "authorisation")
    )
    referring = a.text_input(
        "Referrer's diagnosis codes",
        value=" ".join(now.referring_icd10),
        placeholder="None given",
        key=_key(study_id, "referring"),
    )
    payers = list(_PAYERS)
    funder = b.selectbox(
        "Who pays",
        payers,
        index=payers.index(now.funder) if now.funder in payers else 0,
        format_func=_PAYERS.__getitem__,
        key=_key(study_id, "funder"),
    )
    notes = st.text_input("Notes to the scheme", value=now.notes, max_chars=300, key=_key(study_id, "notes"))
    codes = tuple(c for c in re.split(r"[\s,;]+", referring) if c)
    after = replace(
        now,
        place_of_service=place,
        authorisation=authorisation,
        referring_icd10=codes,
        funder=funder,
        notes=notes,
    )
    bills.beside([p for p in priced.problems if place_of(p.field, priced) == "around"])
    if after != now:
        _put(study_id, after)
        st.rerun()
