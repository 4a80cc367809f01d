"""A switch and its schemes in one folder: deterministic, idempotent, and still there after a restart.

It reads the message it was sent and nothing else of ours. What it does is chosen by the message's contents: the last
two digits of the membership number, and the codes on the lines (RULES; data/README.md has the same table).

At rest it keeps claim numbers, amounts, tariff codes, tracers and keyed digests: no name, no membership number, no
diagnosis.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import Away, Turned
from core.ports.switch import Receipt
from core.rules import claim_states, icd10, medclm
from core.rules.claim import Claim, ClaimLine
from core.rules.medclm import SwitchProfile
from core.rules.money import half_up
from core.rules.remittance import (
    CO_PAYMENT,
    LEVY,
    Deduction,
    LineAnswer,
    Money,
    Reason,
    Remittance,
    RemittanceLine,
    Response,
)

RULES = {
    "00": "The member is unknown: every line is rejected.",
    "10": "The scheme's rate is four fifths of the price: adjusted, the rest is rate difference.",
    "20": "A co-payment of R150 comes off the first examination.",
    "30": "Four fifths of the price, then a levy of a tenth of that, then a co-payment of R100.",
    "40": "Pended at first; approved at the next poll.",
    "50": "Paid in full, and taken back in the next payment (s59(3)).",
    "70": "No answer to the first attempt.",
    "80": "The first submission fails at the switch; the claim may be sent again.",
    "90": "An answer that nobody understands.",
}
"""By the last two digits of the membership number; every other member is paid in full."""

UNKNOWN_TARIFF = "99999"

REASONS = {
    "SIM-MEMBER": ("Rejection", "Unknown membership number"),
    "SIM-TARIFF": ("Rejection", "Tariff code unknown to this scheme"),
    "SIM-ICD10": ("Rejection", "Diagnosis code missing or not valid"),
    "SIM-FOLLOWS": ("Rejection", "The line it modifies was rejected"),
    "SIM-CLAIM": ("Rejection", "Claim number already used for a different claim"),
    "SIM-SERVICE": ("Rejection", "Service already claimed under another claim number"),
    "SIM-ORIGINAL": ("Rejection", "The claim to be corrected is not known"),
    "SIM-RATE": ("Information", "Paid at the scheme's rate"),
    "SIM-COPAY": ("Information", "Co-payment for the member's account"),
    "SIM-LEVY": ("Information", "Levy for the member's account"),
    "SIM-PENDED": ("Information", "Waiting for the scheme's assessor"),
    "SIM-REVERSED": ("Information", "Reversed on the practice's request"),
    "SIM-S59": ("Information", "Amount paid in error deducted, Medical Schemes Act s59(3)"),
}

Row = dict[str, Any]


@dataclass
class _State:
    """What the journal adds up to."""

    keys: dict[str, Row] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    claims: dict[tuple[str, str], Row] = field(default_factory=dict)
    services: dict[str, tuple[str, str]] = field(default_factory=dict)
    answers: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    due: list[Row] = field(default_factory=list)


class SwitchSimulator:
    """The body of Switch that needs nothing. today: the day a payment is made on.

    known_icd10, known_tariff: what the schemes know beyond the shape of a code; None takes every code that has it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        today: Callable[[], date],
        profile: SwitchProfile | None = None,
        known_icd10: Callable[[str], bool] | None = None,
        known_tariff: Callable[[str], bool] | None = None,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self.today, self.profile = folder, today, profile or SwitchProfile()
        self._known_icd10 = known_icd10 or (lambda code: icd10.shape_problem(code) is None)
        self._known_tariff = known_tariff or (lambda code: True)
        self._thread_lock = threading.RLock()
        self._state, self._read_bytes = _State(), 0
        self._salt = b""

    # --- the port ----------------------------------------------------------------------------------------

    def submit(self, message: bytes, *, key: str) -> Receipt:
        """Process the interchange at once; the answers wait for poll(). See Switch.submit."""
        with self._opened() as state:
            name, digest = self._digest("key", key), self._digest("message", message)
            before = state.keys.get(name)
            if before is not None:
                if before["digest"] != digest:
                    raise Turned("Another message was sent under the same key.")
                return Receipt(before["reference"], duplicate=True)
            try:
                claims = [one.claim for one in medclm.parse(message, self.profile).messages]
            except ValueError as error:
                raise Turned(f"The switch refuses the message: {error}") from error
            if any(_rule(claim) == "70" for claim in claims) and not state.attempts.get(name):
                self._note({"event": "attempt", "key": name})
                raise Away("The switch did not answer (simulated).")
            reference = f"SIM-{len(state.keys) + 1:06d}"
            repeated = 0
            for claim in claims:
                row = self._decide(claim, state)
                if row is None:
                    repeated += 1
                else:
                    self._note(row)
            # After a crash before this line the errand comes again and finds its claims known.
            self._note({"event": "submit", "key": name, "digest": digest, "reference": reference})
            return Receipt(reference, duplicate=repeated == len(claims))

    def poll(self, since: str) -> tuple[Response, ...]:
        """Answers after `since`. Whoever has seen that a claim is pended sees it approved at the next poll."""
        with self._opened() as state:
            seen = int(since or 0)
            for at, answer in enumerate(list(state.answers), start=1):
                claim = state.claims.get((answer["practice"], answer["number"]))
                if claim and claim.get("pended") and claim["answer"] == at <= seen:
                    self._note(
                        {"event": "approve", "practice": answer["practice"], "number": answer["number"]}
                    )
            return tuple(_response(at, row) for at, row in enumerate(state.answers, start=1) if at > seen)

    def remittances(self, since: str) -> tuple[Remittance, ...]:
        """Payments after `since`. Every look is a payment run: what is due is paid first."""
        with self._opened() as state:
            for practice, payer in sorted({(row["practice"], row["payer"]) for row in state.due}):
                day = self.today().isoformat()
                self._note({"event": "pay", "practice": practice, "payer": payer, "paid_on": day})
            seen = int(since or 0)
            return tuple(_remittance(at, row) for at, row in enumerate(state.payments, start=1) if at > seen)

    # --- deciding ----------------------------------------------------------------------------------------

    def _decide(self, claim: Claim, state: _State) -> Row | None:
        """The answer to one claim as a journal row; None when this very claim is known already."""
        practice, number = claim.practice.pcns, claim.number
        content = self._digest("claim", repr(claim))
        known = state.claims.get((practice, number))
        original = state.claims.get((practice, claim.original_number)) if claim.correction else None
        if known is not None and known["digest"] == content:
            return None
        row: Row = {
            "event": "claim",
            "practice": practice,
            "number": number,
            "digest": content,
            "correction": claim.correction,
            "original": claim.original_number,
            "rule": _rule(claim),
            "payer": f"Scheme {claim.scheme.routing_no or 'unknown'} (simulated)",
            "tracking": "",
            "lines": [],
            "services": {},
            "recorded": False,
            "pended": False,
            "paid": False,
            "raw": "",
        }
        if row["rule"] == "80" and not state.attempts.get(content):
            return row | {"tracking": "Failed", "attempt": content}
        if row["rule"] == "90":
            return row | {"raw": f"?? {number} ??"}
        whole = self._claim_fault(claim, row["rule"], known, original)
        if claim.correction == "REV" and original is not None and not whole:
            lines = [self._reversed(line) for line in original["lines"]]
        else:
            lines = self._lines(claim, state, row, whole)
        statuses = tuple(line["status"] for line in lines)
        return row | {
            "lines": lines,
            "tracking": claim_states.tracking_of(statuses),
            "recorded": whole not in ("SIM-CLAIM", "SIM-ORIGINAL"),
            "pended": "Pended" in statuses,
            "paid": claim.correction != "REV" and not set(statuses) <= {"Rejected", "Invalid"},
        }

    def _claim_fault(self, claim: Claim, rule: str, known: Row | None, original: Row | None) -> str:
        if claim.correction in ("ADJ", "REV") and (original is None or original["correction"] == "REV"):
            return "SIM-ORIGINAL"
        if claim.correction not in ("ADJ", "REV") and known is not None and known["paid"]:
            return "SIM-CLAIM"
        return "SIM-MEMBER" if rule == "00" else ""

    def _reversed(self, line: Row) -> Row:
        money = _money(line).reversed()
        return _line_row(line["number"], line["tracer"], line["code"], "Approved", money, ["SIM-REVERSED"])

    def _lines(self, claim: Claim, state: _State, row: Row, whole: str) -> list[Row]:
        lines: list[Row] = []
        above, first = "", True
        mine = {(row["practice"], row["number"]), (row["practice"], row["original"])}
        for line in claim.lines:
            if line.kind == "tariff":
                service = self._digest(
                    "service",
                    row["practice"],
                    claim.member.number,
                    claim.patient.dependant_code,
                    claim.service_on.isoformat(),
                    claim.accession,
                    line.code,
                )
                above = whole or self._line_fault(line) or _claimed(state, service, mine)
                if not above:
                    row["services"][service] = line.number
            fault = above and (above if line.kind == "tariff" or whole else "SIM-FOLLOWS")
            if fault:
                status = "Invalid" if fault == "SIM-ICD10" else "Rejected"
                submitted = line.cents or 0
                money = Money(submitted, 0, (), submitted)
                lines.append(_line_row(line.number, line.tracer, line.code, status, money, [fault]))
                continue
            lines.append(_paid_row(line, row["rule"], first=first))
            first = False
        return lines

    def _line_fault(self, line: ClaimLine) -> str:
        if line.code == UNKNOWN_TARIFF or not self._known_tariff(line.code):
            return "SIM-TARIFF"
        codes = (*line.icd10, *(code for item in line.items for code in item.icd10))
        return "" if codes and all(map(self._known_icd10, codes)) else "SIM-ICD10"

    # --- the folder --------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[_State]:
        """The state as of now, held against other threads and processes; what they wrote is read first."""
        with self._thread_lock, _private(self.folder / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._salt = self._salt or self._salted()
            self._catch_up()
            yield self._state

    def _salted(self) -> bytes:
        # Without it, digests of membership numbers could be tried out one by one.
        path = self.folder / "salt"
        if not path.exists():
            with _private(path) as file:
                file.write(os.urandom(32).hex().encode())
        return path.read_bytes()

    def _digest(self, *parts: str | bytes) -> str:
        framed = b"".join(
            len(raw).to_bytes(8, "big") + raw
            for raw in (p.encode() if isinstance(p, str) else p for p in parts)
        )
        return hmac.new(self._salt, framed, hashlib.sha256).hexdigest()

    def _catch_up(self) -> None:
        path = self.folder / "journal.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                # A line without its end was cut off by a crash and never acknowledged.
                if not line.endswith(b"\n"):
                    break
                _apply(self._state, json.loads(line))
                self._read_bytes += len(line)

    def _note(self, event: Row) -> None:
        content = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        with _private(self.folder / "journal.jsonl") as file:
            file.truncate(self._read_bytes)
            file.seek(self._read_bytes)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._read_bytes += len(content)
        _apply(self._state, event)


def _private(path: Path) -> BinaryIO:
    return open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


def _rule(claim: Claim) -> str:
    ending = claim.member.number[-2:]
    return ending if ending in RULES else ""


def _claimed(state: _State, service: str, mine: set[tuple[str, str]]) -> str:
    owner = state.services.get(service)
    return "SIM-SERVICE" if owner is not None and owner not in mine else ""


def _paid_row(line: ClaimLine, rule: str, *, first: bool) -> Row:
    submitted = line.cents or 0
    calculated, deductions, reasons = submitted, [], []
    if rule in ("10", "30"):
        calculated = half_up(Fraction(submitted) * Fraction(4, 5))
        reasons.append("SIM-RATE")
    if rule == "30":
        deductions.append((LEVY, half_up(Fraction(calculated, 10)), "SIM-LEVY"))
    if rule in ("20", "30") and first and calculated > 0:
        left = calculated - sum(cents for _, cents, _ in deductions)
        deductions.append((CO_PAYMENT, min(left, 150_00 if rule == "20" else 100_00), "SIM-COPAY"))
    money = Money(
        submitted, calculated, tuple(Deduction(kind, cents) for kind, cents, _ in deductions if cents)
    )
    reasons += [code for _, cents, code in deductions if cents]
    status = "Pended" if rule == "40" else "Approved" if money.approved_cents == submitted else "Adjusted"
    return _line_row(
        line.number, line.tracer, line.code, status, money, ["SIM-PENDED"] if rule == "40" else reasons
    )


def _line_row(number: int, tracer: str, code: str, status: str, money: Money, reasons: list[str]) -> Row:
    return {
        "number": number,
        "tracer": tracer,
        "code": code,
        "status": status,
        "reasons": reasons,
        "money": [money.submitted_cents, money.calculated_cents, money.rejected_cents],
        "deductions": [[one.kind, one.cents] for one in money.deductions],
    }


def _money(row: Row) -> Money:
    submitted, calculated, rejected = row["money"]
    return Money(
        submitted, calculated, tuple(Deduction(kind, cents) for kind, cents in row["deductions"]), rejected
    )


# --- what the journal's events do --------------------------------------------------------------------------


def _apply(state: _State, event: Row) -> None:
    _EVENTS[event["event"]](state, event)


def _submitted(state: _State, event: Row) -> None:
    state.keys[event["key"]] = event


def _attempted(state: _State, event: Row) -> None:
    state.attempts[event["key"]] = 1


def _decided(state: _State, row: Row) -> None:
    """One claim: its answer, and what it makes due."""
    name = (row["practice"], row["number"])
    if row.get("attempt"):
        state.attempts[row["attempt"]] = 1
    state.answers.append(row)
    if not row["recorded"]:
        return
    if row["correction"] in ("ADJ", "REV"):
        _take_back(state, (row["practice"], row["original"]), "SIM-REVERSED")
    for service in row["services"]:
        state.services[service] = name
    state.claims[name] = row | {"answer": len(state.answers), "settled": []}
    if row["paid"] and not row["pended"]:
        state.due += _due(row, row["lines"])


def _take_back(state: _State, name: tuple[str, str], reason: str) -> None:
    """Nothing more is paid for the claim, and what was paid is deducted from the next payment."""
    claim = state.claims[name]
    state.due = [row for row in state.due if (row["practice"], row["claim"]) != name]
    state.services = {service: owner for service, owner in state.services.items() if owner != name}
    taken = [
        _line_row(*_identity(line), "Paid", _money(line).reversed(), [reason]) for line in claim["settled"]
    ]
    state.due += _due(claim, taken)
    claim["settled"], claim["paid"], claim["pended"] = [], False, False


def _identity(line: Row) -> tuple[int, str, str]:
    return line["number"], line["tracer"], line["code"]


def _due(claim: Row, lines: list[Row]) -> list[Row]:
    about = {"practice": claim["practice"], "payer": claim["payer"], "claim": claim["number"]}
    return [about | line for line in lines if line["status"] in ("Approved", "Adjusted", "Paid")]


def _approved(state: _State, event: Row) -> None:
    claim = state.claims[event["practice"], event["number"]]
    lines = [
        line | ({"status": "Approved", "reasons": []} if line["status"] == "Pended" else {})
        for line in claim["lines"]
    ]
    statuses = tuple(line["status"] for line in lines)
    claim |= {"lines": lines, "pended": False, "tracking": claim_states.tracking_of(statuses)}
    state.answers.append(dict(claim))
    state.due += _due(claim, lines)


def _paid(state: _State, event: Row) -> None:
    payee = (event["practice"], event["payer"])
    mine = [row for row in state.due if (row["practice"], row["payer"]) == payee]
    state.due = [row for row in state.due if (row["practice"], row["payer"]) != payee]
    state.payments.append(event | {"lines": mine})
    by_claim: dict[tuple[str, str], list[Row]] = {}
    for row in mine:
        by_claim.setdefault((row["practice"], row["claim"]), []).append(row)
    for name, lines in by_claim.items():
        claim = state.claims[name]
        # What is being taken back ("Paid" already) is not paid a second time.
        claim["settled"] += [row for row in lines if row["status"] != "Paid"]
        if claim["rule"] == "50" and claim["settled"]:
            _take_back(state, name, "SIM-S59")


_EVENTS: dict[str, Callable[[_State, Row], None]] = {
    "submit": _submitted,
    "attempt": _attempted,
    "claim": _decided,
    "approve": _approved,
    "pay": _paid,
}


# --- how rows look from outside ----------------------------------------------------------------------------


def _reasons(row: Row) -> tuple[Reason, ...]:
    return tuple(Reason(REASONS[code][0], "Other", code, REASONS[code][1]) for code in row["reasons"])


def _response(at: int, row: Row) -> Response:
    cursor = f"{at:012d}"
    if row["raw"]:
        return Response(f"sim-{at}", cursor, "", "", "", raw=row["raw"].encode())
    lines = tuple(
        LineAnswer(line["number"], line["tracer"], line["status"], _money(line), _reasons(line))
        for line in row["lines"]
    )
    return Response(f"sim-{at}", cursor, row["practice"], row["number"], row["tracking"], lines)


def _remittance(at: int, row: Row) -> Remittance:
    lines = tuple(
        RemittanceLine(line["claim"], line["number"], line["tracer"], "Paid", _money(line), _reasons(line))
        for line in row["lines"]
    )
    return Remittance(
        f"ERA-{at:06d}",
        f"{at:012d}",
        row["payer"],
        row["practice"],
        date.fromisoformat(row["paid_on"]),
        sum(line.paid_cents for line in lines),
        lines,
    )
