"""The South African claim message MEDCLM (EDIFACT, 0:912:ZA): written, read back, and checked against its grammar.

One claim is one message UNH...UNT. Amounts are cents without a point, VAT inclusive. Everything on which the
specification, the national examples and the switches disagree sits in a SwitchProfile; decision 020 says why.
The specification's text is its publisher's; only its facts (segments, qualifiers, counts, lengths) are here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from core.errors import Refused
from core.rules.claim import Claim, ClaimLine, ClaimPatient, Item, Member, Provider, Scheme
from core.rules.problems import Problem, stops

SAST = ZoneInfo("Africa/Johannesburg")

ICD_SEGMENT_LENGTH = 35
MOST_ICD_SEGMENTS = {"SG1": 2, "SG3": 2, "SG4": 1}
"""How many RFF+ICD segments of 35 characters each group holds (national ICD-10 guide, 4.4)."""


@dataclass(frozen=True)
class SwitchProfile:
    """What one switch expects where the documents leave a choice.

    quantity_scale: quantities and counts are multiplied by it. pcns_width: 13 digits, or the last 7.
    code_list: write ':22' behind the tariff code. revision: fifth component of the message type, "" for none.
    tax_form: "", "hundredths" (135:::1500) or "percent" (135::15). repertoire: UNOA (capitals), UNOB (ASCII letters)
    or UNOC (Latin-1). test: the interchange is marked as a test.
    """

    name: str = "simulator"
    sender: str = "SORG"
    receiver: str = "SWITCH"
    test: bool = True
    quantity_scale: int = 100
    pcns_width: int = 13
    code_list: bool = True
    revision: str = ""
    tax_form: str = ""
    tax_percent: Decimal = Decimal(15)
    repertoire: str = "UNOB"
    una: bool = True


# --- characters ------------------------------------------------------------------------------------------

_LEVEL_A = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,-()/='+:?!\"%&*;<>")
_LEVEL_B = _LEVEL_A | frozenset("abcdefghijklmnopqrstuvwxyz")
_LEVEL_C = frozenset(map(chr, range(0x20, 0x7F))) | frozenset(map(chr, range(0xA0, 0x100)))
REPERTOIRES = {"UNOA": _LEVEL_A, "UNOB": _LEVEL_B, "UNOC": _LEVEL_C}

_SPELT = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D",
    "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ł": "l", "Ł": "L", "ı": "i", "ŋ": "ng", "Ŋ": "Ng", "ħ": "h", "Ħ": "H",
    "‘": "'", "’": "'", "ʼ": "'", "ʻ": "'", "`": "'", "´": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-",
    "‑": "-", "…": "...", "ǃ": "!", "ǀ": "/", "ǁ": "//", "ǂ": "=",
}  # fmt: skip
"""Letters that do not fall apart into a base letter and a mark. The last four are the Khoisan clicks."""


def fold(text: str, repertoire: str) -> tuple[str, str]:
    """A text in the characters that the message can hold, and the characters that found no place in it.

    >>> fold("Danië̈l Müller-ǃNaruseb", "UNOB"), fold("Zoë", "UNOC"), fold("Zoë", "UNOA"), fold("李", "UNOB")
    (('Daniel Muller-!Naruseb', ''), ('Zoë', ''), ('ZOE', ''), ('', '李'))
    """
    allowed = REPERTOIRES[repertoire]
    if allowed.issuperset(text):
        return " ".join(text.split()), ""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    out, lost = [], []
    for letter in text:
        placed = _placed(letter, allowed)
        if placed is None:
            lost.append(letter)
        else:
            out.append(placed)
    return " ".join("".join(out).split()), "".join(lost)


def _placed(letter: str, allowed: frozenset[str]) -> str | None:
    bare = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    for candidate in (letter, _SPELT.get(letter), bare):
        # Only a mark may become nothing; capitals are tried last, for the repertoire that has no others.
        if candidate is None or (candidate == "" and not unicodedata.combining(letter)):
            continue
        if set(candidate) <= allowed:
            return candidate
        if candidate.isascii() and set(candidate.upper()) <= allowed:
            return candidate.upper()
    return None


# --- what the message has room for -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    """A value on its way into the message. exact: an identifier, which may not change on the way."""

    label: str
    value: str
    most: int
    where: str
    exact: bool = False


def _fields(claim: Claim) -> Iterator[_Field]:
    patient, member = claim.patient, claim.member
    yield _Field("claim number", claim.number, 35, "number", True)
    yield _Field("account number", claim.account_no, 20, "account_no", True)
    yield _Field("original claim number", claim.original_number, 35, "original_number", True)
    yield _Field("accession number", claim.accession, 35, "accession", True)
    yield _Field("authorisation number", claim.authorisation, 35, "authorisation", True)
    yield _Field("membership number", member.number, 17, "member.number", True)
    yield _Field("scheme's routing number", claim.scheme.routing_no, 17, "scheme.routing_no", True)
    yield _Field("scheme's CMS number", claim.scheme.cms_no, 17, "scheme.cms_no", True)
    yield _Field("scheme's name", claim.scheme.name, 35, "scheme.name")
    yield _Field("member's surname", member.surname, 35, "member.surname")
    yield _Field("member's initials", member.initials, 35, "member.initials")
    yield _Field("patient's first name", patient.first_name, 35, "patient.first_name")
    yield _Field("patient's surname", patient.surname, 35, "patient.surname")
    yield _Field("patient's initials", patient.initials, 35, "patient.initials")
    yield _Field("patient's ID number", patient.id_number, 35, "patient.id_number", True)
    yield _Field("dependant code", patient.dependant_code, 35, "patient.dependant_code", True)
    yield _Field("notes", claim.notes, 350, "notes")
    for role in ("practice", "treating", "referrer"):
        provider: Provider = getattr(claim, role)
        label = {"practice": "practice's", "treating": "radiologist's", "referrer": "referring doctor's"}[
            role
        ]
        yield _Field(f"{label} PCNS number", provider.pcns, 17, f"{role}.pcns", True)
        yield _Field(f"{label} council number", provider.council_no, 17, f"{role}.council_no", True)
        yield _Field(f"{label} name", provider.name, 35, f"{role}.name")
    for at, line in enumerate(claim.lines):
        where = f"lines.{at}"
        yield _Field(f"code on line {line.number}", line.code, 10, where, True)
        yield _Field(f"description on line {line.number}", line.description, 350, where)
        yield _Field(f"tracer on line {line.number}", line.tracer, 35, where, True)
        yield _Field(f"authorisation number on line {line.number}", line.authorisation, 35, where, True)
        for item in line.items:
            yield _Field(f"NAPPI code on line {line.number}", item.nappi, 35, where, True)
            yield _Field(f"item name on line {line.number}", item.name, 350, where)


def fit(claim: Claim, profile: SwitchProfile) -> tuple[Problem, ...]:
    """Everything about this claim that the message cannot hold (stops) or holds only respelt (warnings).

    Nothing is ever cut off: a name that is too long is for a person to shorten.
    """
    problems: list[Problem] = []
    for one in _fields(claim):
        problems += _field_problems(one, profile)
    for at, line in enumerate(claim.lines):
        problems += _line_problems(at, line, profile)
    if len(pack_codes(claim.referring_icd10)) > MOST_ICD_SEGMENTS["SG1"]:
        problems.append(
            Problem("ICD_ROOM", "The referrer's ICD-10 codes are too many for the message.", "referrer")
        )
    return tuple(problems)


def _field_problems(one: _Field, profile: SwitchProfile) -> Iterable[Problem]:
    label = one.label[0].upper() + one.label[1:]
    if one.exact:
        if not set(one.value) <= REPERTOIRES[profile.repertoire] or one.value != one.value.strip():
            yield Problem(
                "CHARACTERS", f"{label} has a character that the claim message cannot hold.", one.where
            )
        folded = one.value
    else:
        folded, lost = fold(one.value, profile.repertoire)
        if lost:
            yield Problem(
                "CHARACTERS",
                f"{label} has letters that the claim message cannot hold: write it in Latin letters.",
                one.where,
            )
        elif folded.lower() != " ".join(one.value.split()).lower():
            yield Problem(
                "RESPELT",
                f"{label} is sent without its diacritics or special letters; the record keeps them.",
                one.where,
                stop=False,
            )
    if len(folded) > one.most:
        yield Problem(
            "TOO_LONG",
            f"{label} has {len(folded)} characters and the claim message has room for {one.most}: shorten it.",
            one.where,
        )


def _line_problems(at: int, line: ClaimLine, profile: SwitchProfile) -> Iterable[Problem]:
    where = f"lines.{at}"
    if len(pack_codes(line.icd10)) > MOST_ICD_SEGMENTS["SG3"]:
        yield Problem(
            "ICD_ROOM", f"Line {line.number}: the ICD-10 codes are too many for the message.", where
        )
    for item in line.items:
        if len(pack_codes(item.icd10)) > MOST_ICD_SEGMENTS["SG4"]:
            yield Problem("ICD_ROOM", f"Line {line.number}: {item.nappi} has too many ICD-10 codes.", where)
    for quantity in (line.quantity, *(item.quantity for item in line.items)):
        scaled = quantity * profile.quantity_scale
        if scaled != scaled.to_integral_value() or scaled <= 0:
            yield Problem(
                "QUANTITY", f"Line {line.number}: this switch cannot be told the quantity {quantity}.", where
            )
    if line.cents is None:
        yield Problem("PRICE_MISSING", f"Line {line.number}: there is no price.", where)


def pack_codes(codes: Sequence[str]) -> tuple[str, ...]:
    """ICD-10 codes joined by '/' into values of at most 35 characters, in their order, which never changes.

    >>> pack_codes(["S52.50", "W19.99"])
    ('S52.50/W19.99',)
    """
    values: list[str] = []
    for code in codes:
        if values and len(values[-1]) + 1 + len(code) <= ICD_SEGMENT_LENGTH:
            values[-1] += "/" + code
        else:
            values.append(code)
    return tuple(values)


def unpack_codes(value: str) -> tuple[str, ...]:
    """The codes of one value; a slash before a digit belongs to a histology code.

    >>> unpack_codes("C50.9/M8500/3/R51")
    ('C50.9', 'M8500/3', 'R51')
    """
    return tuple(re.split(r"/(?![0-9])", value)) if value else ()


# --- segments --------------------------------------------------------------------------------------------

Element = tuple[str, ...]


@dataclass(frozen=True)
class Segment:
    """A tag and its data elements, each a tuple of components; nothing escaped."""

    tag: str
    elements: tuple[Element, ...]

    def at(self, element: int, component: int = 0) -> str:
        """A component, "" where the segment ends before it."""
        if element < len(self.elements) and component < len(self.elements[element]):
            return self.elements[element][component]
        return ""


def _segment(tag: str, *elements: str | Element) -> Segment:
    """A segment with empty elements and components at its end left off, as EDIFACT asks."""
    made = [_trimmed((element,) if isinstance(element, str) else element) for element in elements]
    while made and made[-1] == ("",):
        made.pop()
    return Segment(tag, tuple(made))


def _trimmed(element: Element) -> Element:
    end = len(element)
    while end > 1 and not element[end - 1]:
        end -= 1
    return element[:end]


def _escaped(text: str) -> str:
    return re.sub(r"([?'+:])", r"?\1", text)


def _joined(segment: Segment) -> str:
    parts = [segment.tag, *(":".join(map(_escaped, element)) for element in segment.elements)]
    return "+".join(parts) + "'"


def tokens(content: bytes) -> tuple[Segment, ...]:
    """An EDIFACT interchange taken apart. ValueError with one sentence when it is none."""
    text = content.decode("latin-1")
    component, element, release, end = ":", "+", "?", "'"
    if text.startswith("UNA"):
        if len(text) < 9:
            raise ValueError("The message breaks off within its first segment.")
        component, element, release, end = text[3], text[4], text[6], text[8]
        text = text[9:]
    # A blank in the place of the release character means that there is none.
    marks = re.escape(component + element + end + release.strip())
    kept = rf"{re.escape(release)}(?P<kept>.)" if release.strip() else "(?P<kept>(?!))"
    pieces = re.compile(rf"{kept}|(?P<mark>[{marks}])|(?P<text>[^{marks}]+)", re.DOTALL)
    segments: list[Segment] = []
    parts: list[list[str]] = [[""]]
    for piece in pieces.finditer(text):
        found, kind = piece[piece.lastgroup or 0], piece.lastgroup
        if kind == "text" and parts == [[""]]:
            # Some systems put every segment on a line of its own.
            parts[-1][-1] = found.lstrip("\r\n")
        elif kind != "mark":
            parts[-1][-1] += found
        elif found == end:
            segments.append(Segment(parts[0][0], tuple(map(tuple, parts[1:]))))
            parts = [[""]]
        elif found == element:
            parts.append([""])
        elif found == component:
            parts[-1].append("")
        else:
            raise ValueError("The message breaks off behind a release character.")
    if parts != [[""]]:
        raise ValueError("The message breaks off before the end of a segment.")
    return tuple(segments)


# --- the grammar -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """A place for `least` to `most` segments of one tag. only, but: which first component it takes or leaves."""

    tag: str
    least: int
    most: int
    only: str = ""
    but: str = ""

    def takes(self, segment: Segment) -> bool:
        """True when the segment belongs here."""
        qualifier = segment.at(0)
        return (
            segment.tag == self.tag
            and self.only in ("", qualifier)
            and (not self.but or qualifier != self.but)
        )


@dataclass(frozen=True)
class Group:
    """Slots and groups that repeat together, opened by the first slot's segment."""

    name: str
    least: int
    most: int
    parts: tuple[Slot | Group, ...]

    def takes(self, segment: Segment) -> bool:
        """True when the segment opens the group."""
        return self.parts[0].takes(segment)


SG4 = Group(
    "SG4", 0, 9999,
    (
        Slot("RFF", 1, 1, only="DRG"), Slot("RFF", 0, 98, but="DRG"), Slot("FTX", 0, 9), Slot("QTY", 0, 9),
        Slot("MOA", 0, 9), Slot("PAT", 0, 1), Slot("TAX", 0, 1),
    ),
)  # fmt: skip
SG3 = Group(
    "SG3", 1, 999,
    (
        Slot("LIN", 1, 1), Slot("RFF", 0, 99, but="DRG"), Slot("FTX", 0, 9), Slot("PAT", 0, 1), Slot("TAX", 0, 1),
        SG4, Slot("UNS", 1, 1),
    ),
)  # fmt: skip
SG2 = Group("SG2", 1, 999, (Slot("DTM", 1, 1), Slot("RFF", 0, 99), Slot("FTX", 0, 9), SG3))
SG1 = Group("SG1", 1, 99, (Slot("NAD", 1, 1), Slot("RFF", 0, 99), Slot("FTX", 0, 9)))
MESSAGE = Group(
    "head", 1, 1,
    (
        Slot("UNH", 1, 1), Slot("BGM", 1, 1), Slot("DCR", 0, 9), Slot("DTM", 0, 9), SG1, Slot("PAT", 0, 99),
        Slot("TAX", 0, 9), SG2, Slot("CNT", 1, 99), Slot("UNT", 1, 1),
    ),
)  # fmt: skip

FORMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "UNH": (("an..14",), ("an..6", "an..3", "an..3", "an..2", "an..6")),
    "BGM": ((), (), ("an..3", "n8", "n3"), (), ("an..3", "n18")),
    "DCR": (("an..1",), ("an3", "an..35")),
    "DTM": (("n..3", "n..12", "n3"),),
    "NAD": (("an..3",), ("an..17",), (), ("an..35",) * 5),
    "RFF": (("an..3", "an..35"), ("n..3", "n..12", "n3")),
    "FTX": (("an..3",), (), (), ("an..70",) * 5),
    "LIN": (("n1",), ("n..6",), (), ("n1", "an..10", "n2"), (), (), ("an3", "sn..15"), ("n..15", "an3")),
    "QTY": (("n2", "n..15"),),
    "MOA": (("n..3",), ("n..3", "sn..18")),
    "UNS": (("an1",),),
    "CNT": (("n2", "sn..18"),),
    "UNT": (("n..6",), ("an..14",)),
}
"""Every element's components: n digits, sn digits with a sign, an anything; '..' up to; () must stay empty."""

QUALIFIERS: dict[tuple[str, str], frozenset[str]] = {
    ("head", "DCR"): frozenset({"ADJ", "ADD", "REV", "RSV", "INT", "DOC", "SBN"}),
    ("head", "DTM"): frozenset({"290", "194", "96", "155", "156"}),
    ("SG1", "NAD"): frozenset(
        {
            "SUP", "GRP", "MSN", "SCH", "MPN", "MN", "MIN", "TDN", "RDN", "RTN", "ADN", "REG", "EMR", "MAN", "PPO",
            "HMO",
        }
    ),
    ("SG1", "RFF"): frozenset(
        {"ADE", "ICD", "AE", "IOD", "WCA", "WCN", "EI", "MVA", "MAT", "POS", "RCT", "CYN", "CAF", "ACD"}
    ),
    ("SG2", "DTM"): frozenset({"286"}),
    ("SG2", "RFF"): frozenset(
        {"PTN", "DPN", "PSU", "PIN", "ID", "SX", "RLN", "RDN", "TDN", "REG", "AE", "RAD", "RDO", "ESD"}
    ),
    ("SG2", "FTX"): frozenset({"RDN", "NTE"}),
    ("SG3", "RFF"): frozenset(
        {"ICD", "AE", "POS", "RDN", "RDO", "RAD", "IOD", "TIH", "IV", "TN", "TR", "PRO"}
    ),
    ("SG3", "FTX"): frozenset({"ITM", "RAD"}),
    ("SG4", "RFF"): frozenset({"DRG", "ICD"}),
    ("SG4", "FTX"): frozenset({"MED"}),
    ("head", "CNT"): frozenset({"22", "23", "24", "25", "26", "27", "28"}),
}  # fmt: skip

REQUIRED = {
    "SG1": (("NAD", ("SUP", "GRP")), ("NAD", ("MSN",)), ("RFF", ("ADE",))),
    "SG2": (("RFF", ("PTN",)),),
}
"""Which qualifiers must be present, any one of the names given."""

LINE_KINDS = {"5": "tariff", "6": "modifier"}
_KIND_CODES = {kind: code for code, kind in LINE_KINDS.items()}

Placed = tuple[str, Segment]


def _walk(segments: Sequence[Segment]) -> tuple[list[Placed], list[Problem]]:
    """Every segment with the group it stands in, and where the order broke."""
    placed: list[Placed] = []
    problems: list[Problem] = []
    end = _take(MESSAGE, segments, 0, placed, problems)
    if end < len(segments):
        problems.append(
            _structure(f"Segment {end + 1} ({segments[end].tag}) does not belong where it stands.")
        )
    return placed, problems


def _take(
    group: Group, segments: Sequence[Segment], at: int, placed: list[Placed], problems: list[Problem]
) -> int:
    for part in group.parts:
        count = 0
        while at < len(segments) and count < part.most and part.takes(segments[at]):
            if isinstance(part, Group):
                at = _take(part, segments, at, placed, problems)
            else:
                placed.append((group.name, segments[at]))
                at += 1
            count += 1
        if count < part.least:
            name = part.name if isinstance(part, Group) else part.tag
            problems.append(_structure(f"{name} is missing before segment {at + 1} (in {group.name})."))
    return at


def _structure(sentence: str) -> Problem:
    return Problem("MEDCLM", sentence, "message")


# --- writing ---------------------------------------------------------------------------------------------


def write(
    claim: Claim, profile: SwitchProfile, *, batch_no: int, prepared_at: datetime, control_ref: str
) -> bytes:
    """One claim as an interchange of one message. Refused, with every problem, when it does not fit (see fit)."""
    return write_batch((claim,), profile, batch_no=batch_no, prepared_at=prepared_at, control_ref=control_ref)


def write_batch(
    claims: Sequence[Claim], profile: SwitchProfile, *, batch_no: int, prepared_at: datetime, control_ref: str
) -> bytes:
    """Claims as one interchange, a message each. prepared_at: aware. batch_no: never used before for this switch.

    Credit notes (REV) never travel with claims.
    """
    if prepared_at.tzinfo is None:
        raise ValueError("prepared_at must know its time zone.")
    problems = [problem for claim in claims for problem in fit(claim, profile) if problem.stop]
    if len({claim.correction == "REV" for claim in claims}) > 1:
        problems.append(_structure("Credit notes and claims may not travel in one batch: send them apart."))
    if problems:
        raise Refused(
            "The claim does not fit into the claim message: correct what is listed.", problems=tuple(problems)
        )
    local = prepared_at.astimezone(SAST)
    segments = [
        _segment(
            "UNB",
            (profile.repertoire, "1"),
            profile.sender,
            profile.receiver,
            (f"{local:%y%m%d}", f"{local:%H%M}"),
            control_ref,
            "",
            "",
            "",
            "",
            "",
            "1" if profile.test else "",
        )
    ]
    for at, claim in enumerate(claims, start=1):
        segments += _message(claim, profile, ref=f"{at:07d}", batch_no=batch_no, prepared_on=local.date())
    segments.append(_segment("UNZ", str(len(claims)), control_ref))
    text = ("UNA:+.? '" if profile.una else "") + "".join(map(_joined, segments))
    content = text.encode("latin-1")
    # The grammar reads what was just written, so a slip in here never leaves the house.
    found = validate(content, profile)
    if stops(found):
        raise Refused("The claim lacks what the claim message needs: correct what is listed.", problems=found)
    return content


def _message(
    claim: Claim, profile: SwitchProfile, *, ref: str, batch_no: int, prepared_on: date
) -> list[Segment]:
    body = [
        _segment("UNH", ref, ("MEDCLM", "0", "912", "ZA", profile.revision)),
        _segment("BGM", "", "", ("97", f"{prepared_on:%Y%m%d}", "102"), "", ("BAT", f"{batch_no:018d}")),
    ]
    if claim.correction:
        body.append(_segment("DCR", "", (claim.correction, claim.original_number)))
    body += _parties(claim, profile)
    if profile.tax_form:
        percent = profile.tax_percent
        rate = ("135", "", "", str(int(percent * 100)))
        if profile.tax_form == "percent":
            rate = ("135", "", f"{percent.normalize():f}")
        body.append(_segment("TAX", "7", "", "", "", "", rate))
    body += _encounter(claim, profile)
    for line in claim.lines:
        body += _line(claim, line, profile)
    body += _counts(claim, profile)
    return [*body, _segment("UNT", str(len(body) + 1), ref)]


def _rff(qualifier: str, value: str) -> list[Segment]:
    return [_segment("RFF", (qualifier, value))] if value else []


def _icd(codes: Sequence[str]) -> list[Segment]:
    return [_segment("RFF", ("ICD", value)) for value in pack_codes(codes)]


def _nad(qualifier: str, number: str, name: str, profile: SwitchProfile) -> list[Segment]:
    name = fold(name, profile.repertoire)[0]
    return [_segment("NAD", qualifier, number, "", name)] if number or name else []


def _pcns(provider: Provider, profile: SwitchProfile) -> str:
    return provider.pcns[-profile.pcns_width :]


def _parties(claim: Claim, profile: SwitchProfile) -> list[Segment]:
    scheme, member = claim.scheme, claim.member
    segments = [
        *_nad("SUP", _pcns(claim.practice, profile), claim.practice.name, profile),
        *_nad("MSN", member.number, "", profile),
        *_nad("MN", "", member.surname, profile),
        *_nad("MIN", "", member.initials, profile),
        *(_nad("SCH", scheme.cms_no, scheme.name, profile) if scheme.cms_no else []),
        *_nad("MPN", scheme.routing_no, scheme.name, profile),
        *_nad("TDN", _pcns(claim.treating, profile), claim.treating.name, profile),
        *_nad("RDN", _pcns(claim.referrer, profile), claim.referrer.name, profile),
    ]
    return [
        *segments,
        *_rff("ADE", claim.account_no),
        *_icd(claim.referring_icd10),
        *_rff("AE", claim.authorisation),
        *_rff("POS", claim.place_of_service),
    ]


def _encounter(claim: Claim, profile: SwitchProfile) -> list[Segment]:
    patient = claim.patient
    born = ("285", f"{patient.birth_on:%Y%m%d}", "102") if patient.birth_on else ("",)
    segments = [
        _segment("DTM", ("286", f"{claim.service_on:%Y%m%d}", "102")),
        _segment("RFF", ("PTN", fold(patient.first_name, profile.repertoire)[0]), born),
        *_rff("PSU", fold(patient.surname, profile.repertoire)[0]),
        *_rff("PIN", fold(patient.initials, profile.repertoire)[0]),
        *_rff("DPN", patient.dependant_code),
        *_rff("ID", patient.id_number),
        *_rff("SX", patient.sex if patient.sex in ("M", "F") else ""),
        *_rff("RDO", claim.accession),
        *_rff("RAD", "Y" if claim.in_hospital else "N"),
    ]
    return segments + _ftx("NTE", claim.notes, profile)


def _ftx(qualifier: str, text: str, profile: SwitchProfile) -> list[Segment]:
    folded = fold(text, profile.repertoire)[0]
    if not folded:
        return []
    pieces = tuple(folded[at : at + 70] for at in range(0, len(folded), 70))
    return [_segment("FTX", qualifier, "", "", pieces)]


def _scaled(quantity: Decimal, profile: SwitchProfile) -> str:
    return str(int(quantity * profile.quantity_scale))


def _line(claim: Claim, line: ClaimLine, profile: SwitchProfile) -> list[Segment]:
    code = (_KIND_CODES[line.kind], line.code, "22" if profile.code_list else "")
    amount, quantity = ("CAL", str(line.cents)), (_scaled(line.quantity, profile), "UNT")
    segments = [
        _segment("LIN", "1", str(line.number), "", code, "", "", amount, quantity),
        *_icd(line.icd10),
        *_rff("AE", line.authorisation),
        *_rff("IV", claim.number),
        *_rff("TR", line.tracer),
        *_ftx("ITM", line.description, profile),
    ]
    for item in line.items:
        segments += [
            *_rff("DRG", item.nappi),
            *_icd(item.icd10),
            *_ftx("MED", item.name, profile),
            _segment("QTY", ("48", _scaled(item.quantity, profile))),
            _segment("MOA", "24", ("38", str(item.cents))),
        ]
    return [*segments, _segment("UNS", "C")]


def _counts(claim: Claim, profile: SwitchProfile) -> list[Segment]:
    tariffs, modifiers = claim.of_kind("tariff"), claim.of_kind("modifier")
    items = [item for line in claim.lines for item in line.items]
    rows = [
        ("22", len(tariffs) * profile.quantity_scale, True),
        ("23", len(modifiers) * profile.quantity_scale, bool(modifiers)),
        ("24", len(items) * profile.quantity_scale, bool(items)),
        ("25", sum(line.cents or 0 for line in tariffs), True),
        ("26", sum(line.cents or 0 for line in modifiers), bool(modifiers)),
        ("27", sum(item.cents for item in items), bool(items)),
    ]
    return [_segment("CNT", (qualifier, str(value))) for qualifier, value, needed in rows if needed]


# --- reading ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """One message as it was read. counts: CNT values by qualifier, unscaled."""

    ref: str
    batch_no: int
    prepared_on: date
    claim: Claim
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Interchange:
    """What one file held."""

    sender: str
    receiver: str
    control_ref: str
    test: bool
    messages: tuple[Message, ...]


def parse(content: bytes, profile: SwitchProfile | None = None) -> Interchange:
    """A claim message read back into claims. ValueError, naming the first fault, when its grammar is broken."""
    profile = profile or SwitchProfile()
    faults = [problem for problem in validate(content, profile) if problem.stop]
    if faults:
        raise ValueError(faults[0].sentence)
    envelope, messages = _opened(tokens(content))
    return Interchange(
        envelope.at(1),
        envelope.at(2),
        envelope.at(4),
        envelope.at(10) == "1",
        tuple(_read(_walk(message)[0], profile) for message in messages),
    )


def _opened(segments: Sequence[Segment]) -> tuple[Segment, list[list[Segment]]]:
    messages: list[list[Segment]] = []
    for segment in segments[1:-1]:
        if segment.tag == "UNH" or not messages:
            messages.append([])
        messages[-1].append(segment)
    return segments[0], messages


def _date(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()


def _read(placed: Sequence[Placed], profile: SwitchProfile) -> Message:
    head = {segment.tag: segment for place, segment in placed if place == "head"}
    parties = {segment.at(0): segment for place, segment in placed if (place, segment.tag) == ("SG1", "NAD")}
    claim_refs = _refs(placed, "SG1")
    visit = _refs(placed, "SG2")
    service = [segment for place, segment in placed if (place, segment.tag) == ("SG2", "DTM")]
    lines = _read_lines(placed, profile)
    numbers = {segment.at(0, 1) for place, segment in placed if place == "SG3" and segment.at(0) == "IV"}
    if len(service) != 1 or len(numbers) > 1:
        raise ValueError("The message holds several days or several claim numbers; we read one of each.")

    def provider(qualifier: str) -> Provider:
        found = parties.get(qualifier, Segment("NAD", ()))
        return Provider(pcns=found.at(1), name=found.at(3))

    def party(qualifier: str, element: int) -> str:
        return parties[qualifier].at(element) if qualifier in parties else ""

    born = next((s.at(1, 1) for place, s in placed if place == "SG2" and s.at(0) == "PTN"), "")
    correction = head.get("DCR", Segment("DCR", ()))
    claim = Claim(
        number=next(iter(numbers), ""),
        account_no=_first(claim_refs, "ADE"),
        practice=provider("SUP"),
        scheme=Scheme(name=party("MPN", 3), routing_no=party("MPN", 1), cms_no=party("SCH", 1)),
        member=Member(party("MSN", 1), party("MN", 3), party("MIN", 3)),
        patient=ClaimPatient(
            surname=_first(visit, "PSU"),
            first_name=_first(visit, "PTN"),
            initials=_first(visit, "PIN"),
            birth_on=_date(born) if born else None,
            sex=_first(visit, "SX") or "U",
            id_number=_first(visit, "ID"),
            dependant_code=_first(visit, "DPN"),
        ),
        treating=provider("TDN"),
        referrer=provider("RDN"),
        referring_icd10=_codes(claim_refs),
        service_on=_date(service[0].at(0, 1)),
        accession=_first(visit, "RDO"),
        authorisation=_first(claim_refs, "AE"),
        place_of_service=_first(claim_refs, "POS"),
        in_hospital=_first(visit, "RAD") == "Y",
        correction=correction.at(1, 0),
        original_number=correction.at(1, 1),
        notes=_text(placed, "SG2", "NTE"),
        lines=lines,
    )
    counts = {s.at(0): int(s.at(0, 1)) for place, s in placed if (place, s.tag) == ("head", "CNT")}
    bgm = head["BGM"]
    return Message(head["UNH"].at(0), int(bgm.at(4, 1)), _date(bgm.at(2, 1)), claim, counts)


Refs = Sequence[tuple[str, str]]


def _refs(placed: Iterable[Placed], group: str) -> Refs:
    return [(s.at(0), s.at(0, 1)) for place, s in placed if place == group and s.tag == "RFF"]


def _first(refs: Refs, qualifier: str) -> str:
    return next((value for name, value in refs if name == qualifier), "")


def _codes(refs: Refs) -> tuple[str, ...]:
    return tuple(code for name, value in refs if name == "ICD" for code in unpack_codes(value))


def _text(placed: Iterable[Placed], group: str, qualifier: str) -> str:
    found = [s for place, s in placed if place == group and s.tag == "FTX" and s.at(0) == qualifier]
    return "".join("".join(segment.elements[3]) for segment in found if len(segment.elements) > 3)


def _split(placed: Iterable[Placed], opens: str) -> list[list[Placed]]:
    """Cut at every segment that opens a group: a LIN, or an RFF+DRG."""
    cut: list[list[Placed]] = []
    for place, segment in placed:
        if opens in (segment.tag, segment.at(0)):
            cut.append([])
        if cut:
            cut[-1].append((place, segment))
    return cut


def _read_lines(placed: Sequence[Placed], profile: SwitchProfile) -> tuple[ClaimLine, ...]:
    lines = []
    for part in _split([one for one in placed if one[0] in ("SG3", "SG4")], "LIN"):
        lin, refs = part[0][1], _refs(part, "SG3")
        items = tuple(_read_item(item, profile) for item in _split([p for p in part if p[0] == "SG4"], "DRG"))
        lines.append(
            ClaimLine(
                number=int(lin.at(1)),
                kind=LINE_KINDS.get(lin.at(3), lin.at(3)),
                code=lin.at(3, 1),
                description=_text(part, "SG3", "ITM"),
                quantity=_unscaled(lin.at(7), profile),
                cents=int(lin.at(6, 1)),
                icd10=_codes(refs),
                tracer=_first(refs, "TR"),
                authorisation=_first(refs, "AE"),
                items=items,
            )
        )
    return tuple(lines)


def _read_item(part: Sequence[Placed], profile: SwitchProfile) -> Item:
    refs = _refs(part, "SG4")
    amount = {segment.tag: segment for _, segment in part}
    return Item(
        nappi=_first(refs, "DRG"),
        name=_text(part, "SG4", "MED"),
        quantity=_unscaled(amount["QTY"].at(0, 1), profile),
        cents=int(amount["MOA"].at(1, 1)),
        icd10=_codes(refs),
    )


def _unscaled(text: str, profile: SwitchProfile) -> Decimal:
    return Decimal(text) / profile.quantity_scale


# --- checking --------------------------------------------------------------------------------------------


def validate(content: bytes, profile: SwitchProfile | None = None) -> tuple[Problem, ...]:
    """Everything that breaks the grammar of the message, its counts or its sums. Reads any MEDCLM, not only ours."""
    profile = profile or SwitchProfile()
    try:
        segments = tokens(content)
    except ValueError as error:
        return (_structure(str(error)),)
    if len(segments) < 3 or segments[0].tag != "UNB" or segments[-1].tag != "UNZ":
        return (_structure("The file does not run from UNB to UNZ."),)
    envelope, messages = _opened(segments)
    problems = []
    if segments[-1].at(1) != envelope.at(4):
        problems.append(_structure("UNB and UNZ carry different references."))
    if segments[-1].at(0) != str(len(messages)):
        problems.append(
            _structure(f"UNZ counts {segments[-1].at(0)} messages, the file holds {len(messages)}.")
        )
    allowed = REPERTOIRES.get(envelope.at(0))
    if allowed is None:
        problems.append(_structure(f"'{envelope.at(0)}' is not a character set that we know."))
    elif any(
        not set(component) <= allowed for s in segments[1:] for element in s.elements for component in element
    ):
        problems.append(_structure(f"The message holds characters that {envelope.at(0)} does not have."))
    for message in messages:
        problems += _message_problems(message, profile)
    return tuple(problems)


def _message_problems(segments: list[Segment], profile: SwitchProfile) -> list[Problem]:
    placed, problems = _walk(segments)
    problems += _form_problems(segments)
    first, last = segments[0], segments[-1]
    if first.tag == "UNH" and first.elements[1:2] and first.elements[1][:4] != ("MEDCLM", "0", "912", "ZA"):
        problems.append(_structure("The message is not a MEDCLM:0:912:ZA."))
    if last.tag == "UNT":
        if last.at(0) != str(len(segments)):
            problems.append(
                _structure(f"UNT counts {last.at(0)} segments, the message holds {len(segments)}.")
            )
        if last.at(1) != first.at(0):
            problems.append(_structure("UNH and UNT carry different references."))
    for place, segment in placed:
        known = QUALIFIERS.get((place, segment.tag))
        qualifier = segment.at(1) if segment.tag == "DCR" else segment.at(0)
        if known is not None and qualifier not in known:
            problems.append(_structure(f"{segment.tag}+{qualifier} does not belong into {place}."))
    for group, needs in REQUIRED.items():
        for tag, names in needs:
            if not any(place == group and s.tag == tag and s.at(0) in names for place, s in placed):
                problems.append(_structure(f"{tag}+{names[0]} is missing in {group}."))
    # Sums and counts only mean something once every segment stands where it belongs.
    return problems or _line_faults(placed) + _count_faults(placed, profile)


_FORM = re.compile(r"(sn|an|n)(\.\.)?(\d+)")


def _form_problems(segments: Iterable[Segment]) -> Iterator[Problem]:
    for at, segment in enumerate(segments, start=1):
        form = FORMS.get(segment.tag)
        if form is None:
            continue
        for place, element in enumerate(segment.elements):
            spec = form[place] if place < len(form) else ()
            for part, value in enumerate(element):
                if value and not _fits(value, spec[part] if part < len(spec) else ""):
                    yield _structure(
                        f"Segment {at} ({segment.tag}): element {place + 1}, component {part + 1} has the wrong form."
                    )


def _fits(value: str, spec: str) -> bool:
    shape = _FORM.fullmatch(spec)
    if shape is None:
        return False
    kind, up_to, length = shape[1], shape[2], int(shape[3])
    digits = value.removeprefix("-") if kind == "sn" else value
    if kind != "an" and not (digits.isascii() and digits.isdigit()):
        return False
    return len(digits) <= length if up_to else len(digits) == length


def _line_faults(placed: Sequence[Placed]) -> list[Problem]:
    problems = []
    for group, most in MOST_ICD_SEGMENTS.items():
        for part in _split(
            [one for one in placed if one[0] == group], {"SG3": "LIN", "SG4": "DRG"}.get(group, "SUP")
        ):
            values = [value for name, value in _refs(part, group) if name == "ICD"]
            if len(values) > most or sum(len(unpack_codes(value)) for value in values) > 10:
                problems.append(_structure(f"A group {group} carries too many ICD-10 codes."))
    lines = _split([one for one in placed if one[0] in ("SG3", "SG4")], "LIN")
    for number, part in enumerate(lines, start=1):
        lin = part[0][1]
        if lin.at(1) != str(number):
            problems.append(
                _structure(f"Line {number} is numbered {lin.at(1)}: lines run from 1 without a gap.")
            )
        if lin.at(3) not in ("5", "6", "7", "8"):
            problems.append(
                _structure(f"Line {number} is neither tariff, modifier, surcharge nor non-chargeable.")
            )
        if lin.at(3) == "6" and number == 1:
            problems.append(_structure("A modifier stands before any tariff."))
        if (
            lin.at(3) == "6"
            and lin.at(3, 1) != "0017"
            and any(name == "ICD" for name, _ in _refs(part, "SG3"))
        ):
            problems.append(_structure(f"Line {number} is a modifier and carries an ICD-10 code."))
        if lin.at(6) != "CAL" or not lin.at(6, 1) or not lin.at(7):
            problems.append(_structure(f"Line {number} lacks its amount or its quantity."))
        for item in _split([one for one in part if one[0] == "SG4"], "DRG"):
            if not {"QTY", "MOA"} <= {segment.tag for _, segment in item}:
                problems.append(_structure(f"Line {number} has an item without quantity or amount."))
    for place, segment in placed:
        days = [e[1] for e in segment.elements if len(e) == 3 and e[2] == "102"]
        needed = segment.tag == "BGM" or (place, segment.tag) == ("SG2", "DTM")
        if not all(map(_is_day, days)) or (needed and not days):
            problems.append(_structure(f"{segment.tag} in {place} lacks its day, or the day does not exist."))
        if segment.tag == "BGM" and not segment.at(4, 1):
            problems.append(_structure("BGM lacks its batch number."))
    return problems


def _is_day(text: str) -> bool:
    try:
        return len(text) == 8 and bool(_date(text))
    except ValueError:
        return False


def _count_faults(placed: Sequence[Placed], profile: SwitchProfile) -> list[Problem]:
    lines = [s for place, s in placed if (place, s.tag) == ("SG3", "LIN")]
    items = [s for place, s in placed if (place, s.tag) == ("SG4", "MOA")]
    if any(not line.at(6, 1) for line in lines) or any(not item.at(1, 1) for item in items):
        return []

    def of(kind: str) -> list[int]:
        return [int(line.at(6, 1)) for line in lines if line.at(3) == kind]

    amounts = [int(item.at(1, 1)) for item in items]
    counted = {
        "22": len(of("5")) * profile.quantity_scale,
        "23": len(of("6")) * profile.quantity_scale,
        "24": len(amounts) * profile.quantity_scale,
        "25": sum(of("5")),
        "26": sum(of("6")),
        "27": sum(amounts),
    }
    return [
        _structure(f"CNT {s.at(0)} says {s.at(0, 1)}, the lines make {counted[s.at(0)]}.")
        for place, s in placed
        if (place, s.tag) == ("head", "CNT") and s.at(0) in counted and s.at(0, 1) != str(counted[s.at(0)])
    ]
