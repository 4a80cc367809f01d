"""One claim from what was done to the message: priced, checked, written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from core.rules import claim_checks, icd10, medclm, tariff
from core.rules.claim import Claim, ClaimLine, ClaimPatient, Member, Provider, Scheme
from core.rules.examinations import DATA
from core.rules.tariff import Asked
from ops.bench.rows import AT_MOST, Bar, Measured, median, p95

N = 1_000
BARS = (Bar("claim", "price, every check, MEDCLM message read back by its grammar", "ms", "", AT_MOST, 2),)
DONE = (("65130", "Left wrist X-ray", ("S52.50", "W19.99")), ("30110", "Chest X-ray", ("J32.9",)))
PROFILE = medclm.SwitchProfile()


def measure() -> Iterator[Measured]:
    """Rules alone, as billing calls them, with the starter codes and the demo's prices; no database."""
    codes = {
        code.code: code for code in icd10.parse_official((DATA / "icd10_starter.csv").read_bytes()).codes
    }
    prices = {row.code: row for row in tariff.preview((DATA / "demo_tariff.csv").read_bytes()).new}
    today = datetime.now(UTC).date()
    times, size = [], 0
    for number in range(N + 20):
        begun_s = time.perf_counter()
        priced = tariff.price(
            [Asked(code, modifiers=("00093",) * (at == 0)) for at, (code, *_) in enumerate(DONE)],
            find=prices.get,
        )
        claim = _claim(priced, number, today - timedelta(days=3))
        problems = claim_checks.check(claim, lookup=codes.get, today=today, starter=True, profile=PROFILE)
        message = medclm.write(
            claim, PROFILE, batch_no=number + 1, prepared_at=datetime.now(UTC), control_ref=f"R{number}"
        )
        times.append((time.perf_counter() - begun_s) * 1000)
        size = len(message)
        if any(problem.stop for problem in problems):
            raise RuntimeError(f"The claim of the benchmark is refused: {problems}")
    times = times[20:]  # The first ones fill caches.
    yield Measured(
        "claim", median(times), None, N, f"p95 {p95(times):.2f} ms; {len(claim.lines)} lines, {size} bytes"
    )


BLANK = Claim(
    number="", account_no="", practice=Provider("0000000123456", "Ubuntu Radiology"),
    scheme=Scheme("Ubuntu Demo Medical Scheme", "99999"), member=Member("100200300", "Mokoena", "TJ"),
    patient=ClaimPatient("Mokoena", "Lerato", "L", date(1980, 1, 1), "F", "", "01"),
    treating=Provider("0000000123457", "Dr P Pillay"), referrer=Provider("0000000222333", "Dr A Botha"),
    service_on=date.min, lines=(), report_version_id="signed",
)  # fmt: skip


def _claim(priced: tariff.Priced, number: int, service_on: date) -> Claim:
    lines = tuple(
        ClaimLine(
            at,
            line.kind,
            line.code,
            line.description,
            Decimal(line.quantity),
            line.cents,
            DONE[line.asked][2] if line.kind == "tariff" else (),
            f"01C{number:08d}-{at:03d}",
            demo=line.demo,
        )
        for at, line in enumerate(priced.lines, start=1)
    )
    return replace(
        BLANK,
        number=f"01C{number:08d}",
        account_no=f"01P{number:06d}",
        accession=f"01A{number:06d}",
        service_on=service_on,
        lines=lines,
        total_cents=priced.cents,
    )
