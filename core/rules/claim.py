"""What a claim is: one patient, one day, one scheme, priced and coded lines. Checked, written and read as this."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

PLACES = {
    "11": "rooms", "12": "home", "21": "hospital inpatient", "22": "hospital outpatient", "23": "casualty",
    "24": "day clinic", "31": "step-down", "41": "ambulance", "51": "psychiatric", "61": "rehabilitation inpatient",
    "65": "dialysis", "70": "oncology", "71": "public clinic", "81": "private laboratory", "99": "other",
}  # fmt: skip
"""Places of service that radiology meets (PHISC claim form, table 4, in part)."""

CORRECTIONS = {
    "": "a new claim",
    "ADJ": "an amendment: the whole claim is reversed and processed again",
    "REV": "a credit note: the whole claim is reversed",
    "RSV": "a resubmission",
    "ADD": "an addition",
}
"""What a claim is to an earlier one. All but the first carry the original claim number."""

FUNDERS = {"scheme": "medical scheme", "private": "the patient", "coida": "injury on duty (COIDA)"}


@dataclass(frozen=True)
class Provider:
    """A practice or a doctor. pcns: 13 digits; council_no only where there is no PCNS number."""

    pcns: str = ""
    name: str = ""
    council_no: str = ""


@dataclass(frozen=True)
class Scheme:
    """cms_no: registration with the Council for Medical Schemes; routing_no: the switch's scheme/plan number.

    stale_months: the scheme's own limit where it grants more than the regulation's four months.
    """

    name: str = ""
    routing_no: str = ""
    cms_no: str = ""
    option: str = ""
    stale_months: int = 4


@dataclass(frozen=True)
class Member:
    """The main member: whose contract it is, who need not be the patient."""

    number: str = ""
    surname: str = ""
    initials: str = ""


@dataclass(frozen=True)
class ClaimPatient:
    """The patient as the scheme knows them. sex: "F", "M" or "U"."""

    surname: str = ""
    first_name: str = ""
    initials: str = ""
    birth_on: date | None = None
    sex: str = "U"
    id_number: str = ""
    dependant_code: str = ""


@dataclass(frozen=True)
class Item:
    """A NAPPI item (contrast, consumable) under a line; the line's amount repeats it."""

    nappi: str
    name: str
    quantity: Decimal
    cents: int
    icd10: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClaimLine:
    """One tariff or modifier line. number: 1, 2, 3 ... over the whole claim, never renumbered afterwards.

    cents: the whole line, VAT inclusive, negative for a reduction. tracer: our key, which the payer echoes.
    demo: the price is invented. authorisation: the line's own, where it differs from the claim's.
    """

    number: int
    kind: str
    code: str
    description: str
    quantity: Decimal
    cents: int | None
    icd10: tuple[str, ...] = ()
    tracer: str = ""
    authorisation: str = ""
    items: tuple[Item, ...] = ()
    demo: bool = False


@dataclass(frozen=True)
class Claim:
    """number: unique for the billing practice for ever; account_no: the patient's account.

    referring_icd10: what the referrer suspected (header); the lines carry what was treated.
    report_version_id: the signed report that the claim rests on; total_cents: what the person was shown.
    """

    number: str
    account_no: str
    practice: Provider
    scheme: Scheme
    member: Member
    patient: ClaimPatient
    treating: Provider
    service_on: date
    lines: tuple[ClaimLine, ...]
    referrer: Provider = field(default_factory=Provider)
    referring_icd10: tuple[str, ...] = ()
    accession: str = ""
    authorisation: str = ""
    place_of_service: str = "11"
    in_hospital: bool = False
    correction: str = ""
    original_number: str = ""
    funder: str = "scheme"
    report_version_id: str = ""
    total_cents: int | None = None
    notes: str = ""

    @property
    def cents(self) -> int:
        """The sum of all lines; a line without a price counts as nothing and is a problem elsewhere."""
        return sum(line.cents or 0 for line in self.lines)

    def of_kind(self, kind: str) -> tuple[ClaimLine, ...]:
        """The lines of one kind: "tariff" or "modifier"."""
        return tuple(line for line in self.lines if line.kind == kind)
