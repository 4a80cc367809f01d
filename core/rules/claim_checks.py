"""Everything that must be right before a claim leaves: one function a question, every problem told at once.

Sentences are for the billing clerk: what is wrong, where, and the way out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from core.rules import icd10, medclm, za
from core.rules.claim import CORRECTIONS, FUNDERS, PLACES, Claim, ClaimLine, Provider
from core.rules.claim_states import stale_on
from core.rules.medclm import SwitchProfile
from core.rules.money import rands
from core.rules.problems import Problem

STALE_SOON_DAYS = 14
CORRECTIONS_OF_EARLIER = frozenset(CORRECTIONS) - {""}


@dataclass(frozen=True)
class Known:
    """What the checks may know beside the claim.

    lookup: the ICD-10 table; starter: it is only our starter set. profile: the switch the claim is for, None while
    that is open. earlier: (service day, tariff code) of what was already claimed for this patient on other claims.
    """

    lookup: icd10.Lookup
    today: date
    starter: bool = False
    profile: SwitchProfile | None = None
    earlier: frozenset[tuple[date, str]] = frozenset()


Check = Callable[[Claim, Known], Iterable[Problem]]


def check(
    claim: Claim,
    *,
    lookup: icd10.Lookup,
    today: date,
    starter: bool = False,
    profile: SwitchProfile | None = None,
    earlier: Iterable[tuple[date, str]] = (),
) -> tuple[Problem, ...]:
    """Every problem of a claim at once; those with `stop` forbid sending it. See Known for the arguments."""
    known = Known(lookup, today, starter, profile, frozenset(earlier))
    if claim.funder != "scheme":
        return tuple(funder(claim, known))
    found = [problem for one in CHECKS for problem in one(claim, known)]
    # The message meets some faults a second time, such as a missing price; the first sentence is the better one.
    told = {(problem.code, problem.field) for problem in found}
    found += [problem for problem in message(claim, known) if (problem.code, problem.field) not in told]
    return tuple(dict.fromkeys(found))


def funder(claim: Claim, known: Known) -> Iterator[Problem]:
    """Only medical schemes are claimed from here."""
    if claim.funder == "coida":
        yield Problem(
            "COIDA",
            "Injury on duty cannot be claimed electronically yet: the Fund's current file layout is not in place. "
            "Print the invoice and send it with the Fund's claim number.",
            "funder",
        )
    elif claim.funder == "private":
        yield Problem(
            "PRIVATE", "A private patient gets an invoice, not a claim: print the invoice.", "funder"
        )
    elif claim.funder not in FUNDERS:
        yield Problem("FUNDER", f"'{claim.funder}' does not pay claims: choose a medical scheme.", "funder")


def practice(claim: Claim, known: Known) -> Iterator[Problem]:
    """The billing practice: its 13-digit number and its name."""
    yield from za.check_pcns(claim.practice.pcns)
    if not claim.practice.name.strip():
        yield Problem(
            "PRACTICE_NAME", "The practice's name is missing: add it in the settings.", "practice.name"
        )


def treating(claim: Claim, known: Known) -> Iterator[Problem]:
    """The radiologist who reported: a practice number, or else a council number."""
    yield from _provider(claim.treating, "treating", "radiologist")


def referrer(claim: Claim, known: Known) -> Iterator[Problem]:
    """Schemes may require the referrer's personal number from a radiology practice, so its lack is a warning."""
    if claim.referrer == Provider():
        yield Problem(
            "REFERRER",
            "No referring doctor: schemes may reject a radiology claim without one. Add the doctor and their own "
            "PCNS number.",
            "referrer",
            stop=False,
        )
        return
    for problem in _provider(claim.referrer, "referrer", "referring doctor"):
        way_out = f"{problem.sentence} Reception corrects the doctor on the bookings page, below 'Correct a doctor'."
        yield replace(problem, sentence=way_out, stop=bool(claim.referrer.pcns))
    if claim.referrer.pcns and claim.referrer.pcns == claim.practice.pcns:
        yield Problem(
            "REFERRER",
            "The referring doctor carries this practice's PCNS number: give the doctor's own.",
            "referrer.pcns",
        )


def _provider(provider: Provider, role: str, label: str) -> Iterator[Problem]:
    if provider.pcns or not provider.council_no:
        yield from za.check_pcns(provider.pcns, whose=label, field=f"{role}.pcns")


def scheme_and_member(claim: Claim, known: Known) -> Iterator[Problem]:
    """Who pays, under which contract."""
    if not claim.scheme.name.strip():
        yield Problem("SCHEME", "The medical scheme is missing: choose it.", "scheme")
    elif not claim.scheme.routing_no:
        yield Problem(
            "ROUTING",
            f"{claim.scheme.name} has no routing number: take it from the switch's table of schemes.",
            "scheme.routing_no",
        )
    yield from za.check_membership(claim.member.number)
    if not claim.member.surname.strip():
        yield Problem(
            "MEMBER", "The main member's surname is missing: copy it from the card.", "member.surname"
        )
    if not claim.member.initials.strip():
        yield Problem(
            "MEMBER", "The main member's initials are missing: copy them from the card.", "member.initials"
        )
    elif not re.fullmatch(r"[^\W\d_]{1,5}", claim.member.initials):
        yield Problem(
            "MEMBER",
            "The main member's initials are at most five letters without stops or spaces.",
            "member.initials",
        )


def patient(claim: Claim, known: Known) -> Iterator[Problem]:
    """The patient as the scheme knows them."""
    who = claim.patient
    for value, label, where in (
        (who.surname, "surname", "patient.surname"),
        (who.first_name, "first name", "patient.first_name"),
    ):
        if not value.strip():
            yield Problem(
                "PATIENT", f"The patient's {label} is missing: add it to the patient's record.", where
            )
    yield from za.check_dependant_code(who.dependant_code)
    if who.birth_on is None:
        yield Problem("BIRTH", "The patient's date of birth is missing: add it.", "patient.birth_on")
    elif who.birth_on > claim.service_on:
        yield Problem(
            "BIRTH", "The patient was born after the day of service: check both days.", "patient.birth_on"
        )
    if who.sex not in ("M", "F"):
        yield Problem(
            "SEX",
            "The patient's sex is not recorded as M or F; some schemes ask for it.",
            "patient.sex",
            stop=False,
        )
    if who.id_number.isdigit() and len(who.id_number) == 13:
        for problem in za.check_sa_id(who.id_number, today=known.today, birth_on=who.birth_on, sex=who.sex):
            yield replace(problem, field="patient.id_number", stop=False)


def report(claim: Claim, known: Known) -> Iterator[Problem]:
    """A claim rests on a signed report, and on the study it is about."""
    if not claim.report_version_id:
        yield Problem(
            "REPORT", "There is no signed report: have the report signed before billing it.", "report"
        )
    if not claim.accession:
        yield Problem(
            "ACCESSION",
            "The accession number is missing; the scheme cannot name the study.",
            "accession",
            stop=False,
        )


def numbers(claim: Claim, known: Known) -> Iterator[Problem]:
    """The claim's own number, the account's, and the original's on a correction."""
    if not claim.number:
        yield Problem("CLAIM_NUMBER", "The claim has no number.", "number")
    if not claim.account_no:
        yield Problem("ACCOUNT", "The patient's account number is missing.", "account_no")
    if claim.correction not in CORRECTIONS:
        yield Problem("CORRECTION", f"'{claim.correction}' is not a kind of correction.", "correction")
    elif claim.correction and not claim.original_number:
        yield Problem(
            "ORIGINAL", "A correction must carry the number of the claim it corrects.", "original_number"
        )
    elif not claim.correction and claim.original_number:
        yield Problem(
            "ORIGINAL", "A new claim carries no original number: mark it as a correction.", "correction"
        )


def days(claim: Claim, known: Known) -> Iterator[Problem]:
    """Not in the future, and not stale: in time until the end of the fourth month (regulation 6)."""
    if claim.service_on > known.today:
        yield Problem("FUTURE", "The day of service lies in the future: check it.", "service_on")
        return
    clock = stale_on(claim.service_on, months=claim.scheme.stale_months)
    if clock.late_on(known.today):
        # What was sent back for correction has its own sixty days, which the reader of the answer knows.
        again = claim.correction in CORRECTIONS_OF_EARLIER
        yield Problem(
            "STALE",
            f"The claim went stale after {clock.ends_on:%d/%m/%Y}: "
            + (
                "resubmit only within 60 days of the scheme's notice."
                if again
                else "the scheme need not pay it."
            ),
            "service_on",
            stop=not again,
        )
    elif clock.late_on(known.today + timedelta(days=STALE_SOON_DAYS)):
        yield Problem(
            "STALE_SOON",
            f"The claim goes stale after {clock.ends_on:%d/%m/%Y}: send it now.",
            "service_on",
            stop=False,
        )


def place(claim: Claim, known: Known) -> Iterator[Problem]:
    """Where the examination was done, and what goes with it."""
    codes = {line.code for line in claim.of_kind("modifier")}
    if claim.place_of_service not in PLACES:
        yield Problem(
            "PLACE", f"'{claim.place_of_service}' is not a place of service: choose one.", "place_of_service"
        )
    if {"00091", "00092"} <= codes:
        yield Problem(
            "PLACE", "Modifiers 00091 (inpatient) and 00092 (outpatient) exclude each other.", "lines"
        )
    elif "00091" in codes and claim.place_of_service != "21":
        yield Problem(
            "PLACE",
            "Modifier 00091 is for inpatients, but the place of service is not 21: change one of them.",
            "place_of_service",
            stop=False,
        )
    if claim.place_of_service == "21" and not claim.authorisation:
        yield Problem(
            "AUTHORISATION",
            "An inpatient's claim usually needs the scheme's authorisation number: add it if there is one.",
            "authorisation",
            stop=False,
        )


def _say(line: ClaimLine, sentence: str) -> str:
    """The sentence with its line in front, in lower case unless it begins with a code or a name."""
    first = sentence.split(" ", 1)[0]
    begins = sentence[0].lower() + sentence[1:] if first.isalpha() else sentence
    return f"Line {line.number}: {begins}"


def lines(claim: Claim, known: Known) -> Iterator[Problem]:
    """Numbers, codes, quantities, prices and tracers of the lines."""
    if not claim.of_kind("tariff"):
        yield Problem("LINES", "The claim has no examination: add at least one tariff line.", "lines")
    for at, line in enumerate(claim.lines):
        for code, sentence, stop in _line_faults(at, line):
            yield Problem(code, _say(line, sentence), f"lines.{at}", stop)
    tracers = [line.tracer for line in claim.lines]
    if not all(tracers) or len(set(tracers)) < len(tracers):
        yield Problem(
            "TRACER", "Every line needs a key of its own, or the answer cannot be matched to it.", "lines"
        )


def _line_faults(at: int, line: ClaimLine) -> Iterator[tuple[str, str, bool]]:
    if line.number != at + 1:
        yield "LINE_NUMBER", f"Lines are numbered 1, 2, 3 without a gap; this one is in place {at + 1}.", True
    if line.kind not in ("tariff", "modifier"):
        yield "LINE_KIND", f"'{line.kind}' is neither tariff nor modifier.", True
    if not re.fullmatch(r"[0-9A-Za-z]{4,10}", line.code):
        yield "TARIFF", f"'{line.code}' is not a tariff code: choose one from the price list.", True
    elif re.fullmatch(r"[0-9]{4}", line.code) and line.kind == "tariff":
        yield "TARIFF", f"{line.code} belongs to the COIDA tariff; schemes take five digits.", True
    if not (line.quantity.is_finite() and line.quantity > 0):
        yield "QUANTITY", "The quantity must be more than 0.", True
    if line.cents is None:
        yield (
            "PRICE_MISSING",
            f"There is no price for {line.code}: load the scheme's price list or type it in.",
            True,
        )
    elif line.kind == "tariff" and line.cents < 0:
        yield "PRICE", "An examination cannot cost less than nothing: a reduction is a modifier.", True
    elif line.kind == "tariff" and line.cents == 0:
        yield "PRICE", "The examination costs nothing: check the price.", False
    if line.demo:
        yield "PRICE_DEMO", "The price is a demo price, not a tariff: load the scheme's price list.", False
    if line.items and line.cents is not None and sum(item.cents for item in line.items) != line.cents:
        total = rands(sum(item.cents for item in line.items))
        yield "ITEMS", f"Its items make {total}, the line says {rands(line.cents)}: make them agree.", True
    for item in line.items:
        if not re.fullmatch(r"[0-9]{1,15}", item.nappi):
            yield "NAPPI", f"'{item.nappi}' is not a NAPPI code: digits only.", True


def modifiers(claim: Claim, known: Known) -> Iterator[Problem]:
    """A modifier follows its tariff; reductions come before additions (PHISC claim form, order of modifiers)."""
    added = False
    value: int | None = None
    for at, line in enumerate(claim.lines):
        if line.kind == "tariff":
            added, value = False, line.cents
            continue
        if at == 0:
            yield Problem(
                "MODIFIER_FIRST", _say(line, "A modifier must follow the tariff it changes."), f"lines.{at}"
            )
        cents = line.cents or 0
        if cents < 0 and added:
            yield Problem(
                "MODIFIER_ORDER",
                _say(line, "A reduction must come before additions: move it up."),
                f"lines.{at}",
            )
        added = added or cents > 0
        value = None if value is None else value + cents
        if value is not None and value < 0:
            yield Problem(
                "MODIFIER_AMOUNT", _say(line, "The reduction is larger than what it reduces."), f"lines.{at}"
            )


def duplicates(claim: Claim, known: Known) -> Iterator[Problem]:
    """The same thing twice, on this claim or beside an earlier one."""
    seen: dict[str, int] = {}
    for line in claim.of_kind("tariff"):
        where = f"lines.{claim.lines.index(line)}"
        if line.code in seen:
            sentence = f"{line.code} already stands on line {seen[line.code]}: raise its quantity, or say why in the notes."
            yield Problem("DUPLICATE_LINE", _say(line, sentence), where, stop=False)
        seen.setdefault(line.code, line.number)
        if not claim.correction and (claim.service_on, line.code) in known.earlier:
            sentence = f"{line.code} was already claimed for this patient on {claim.service_on:%d/%m/%Y}."
            yield Problem(
                "DUPLICATE_CLAIM", _say(line, sentence + " Send a correction instead."), where, stop=False
            )


def total(claim: Claim, known: Known) -> Iterator[Problem]:
    """What the person was shown must be what is sent."""
    if claim.total_cents is not None and claim.total_cents != claim.cents:
        yield Problem(
            "TOTAL",
            f"The lines make {rands(claim.cents)}, the claim says {rands(claim.total_cents)}: price it again.",
            "total_cents",
        )
    if claim.cents <= 0 and claim.lines and all(line.cents is not None for line in claim.lines):
        yield Problem("TOTAL", "The claim comes to nothing: check the prices.", "total_cents")


def diagnoses(claim: Claim, known: Known) -> Iterator[Problem]:
    """The ICD-10 rules on every line, every item and the referrer's codes."""
    if known.starter:
        yield Problem(
            "ICD10_STARTER",
            "Only the starter set of ICD-10 codes is loaded: import the national table to check against all of it.",
            "icd10",
            stop=False,
        )

    def rules(codes: tuple[str, ...], kind: str, tariff: str = "") -> tuple[Problem, ...]:
        return icd10.check_codes(
            codes,
            lookup=known.lookup,
            service_on=claim.service_on,
            patient_sex=claim.patient.sex,
            patient_birth_on=claim.patient.birth_on,
            line_kind=kind,
            tariff=tariff,
            starter=known.starter,
        )

    for problem in rules(claim.referring_icd10, "referral"):
        yield replace(problem, sentence=f"Referral: {problem.sentence}", field=f"referring.{problem.field}")
    for at, line in enumerate(claim.lines):
        for problem in rules(line.icd10, line.kind, line.code):
            yield replace(problem, sentence=_say(line, problem.sentence), field=f"lines.{at}.{problem.field}")
        for item in line.items:
            for problem in rules(item.icd10, "item"):
                sentence = f"Line {line.number}, item {item.nappi}: {problem.sentence}"
                yield replace(problem, sentence=sentence, field=f"lines.{at}.items")


def message(claim: Claim, known: Known) -> Iterator[Problem]:
    """What the chosen switch's message cannot hold."""
    if known.profile is not None:
        yield from medclm.fit(claim, known.profile)


CHECKS: tuple[Check, ...] = (
    report,
    scheme_and_member,
    patient,
    days,
    practice,
    treating,
    referrer,
    numbers,
    place,
    lines,
    modifiers,
    diagnoses,
    duplicates,
    total,
)
