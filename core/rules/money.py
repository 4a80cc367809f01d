"""Whole cents until printed. Rates are exact: Decimal, or Fraction where a third is meant."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

VAT_RATE = Decimal("0.15")
"""The standard rate; medical services carry it when the practice is a VAT vendor. A setting may replace it."""

LARGEST_CENTS = 10**14
"""A thousand thousand million rand; a larger amount is a slip, and no database column would hold a much larger one."""

NO_BREAK_SPACE = "\u00a0"


def half_up(amount: Decimal | Fraction | int, *, step_cents: int = 1) -> int:
    """An exact amount in cents, rounded half away from zero to the nearest `step_cents`.

    Scheme tariffs round to 1 cent, COIDA to 10 cents (PHISC claim form, rounding rules).

    >>> half_up(Fraction(100, 3)), half_up(Decimal("0.5")), half_up(Decimal("-0.5")), half_up(1234, step_cents=10)
    (33, 1, -1, 1230)
    """
    exact = Fraction(amount) / step_cents
    steps = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
    return (steps if exact >= 0 else -steps) * step_cents


def rands(cents: int) -> str:
    """Cents as a person reads them, with spaces that do not break over a line.

    >>> rands(123456), rands(-5), rands(0)
    ('R\\xa01\\xa0234.56', '-R\\xa00.05', 'R\\xa00.00')
    """
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}R{NO_BREAK_SPACE}{whole:,}.{part:02d}".replace(",", NO_BREAK_SPACE)


def plain(cents: int) -> str:
    """Cents as a rand amount for a file: no currency sign, no grouping.

    >>> plain(54050), plain(-5)
    ('540.50', '-0.05')
    """
    sign = "-" if cents < 0 else ""
    whole, part = divmod(abs(cents), 100)
    return f"{sign}{whole}.{part:02d}"


def parse_rands(text: str) -> int:
    """A rand amount as people and files write it, in cents. ValueError when it is not one.

    Both decimal signs are in use in South Africa; thousands may stand apart by blanks or commas. Never by
    dots: 540.500 would otherwise be read as half a million.

    >>> [parse_rands(t) for t in ("540.50", "R 1 234,5", "1,234.56", "-0.05", "700", "1,234", "(12.00)")]
    [54050, 123450, 123456, -5, 70000, 123400, -1200]
    """
    found = _AMOUNT.fullmatch(re.sub(r"\s", "", text))
    if not found:
        raise ValueError(f"'{text}' is not a rand amount.")
    negative = bool(found["minus"]) or found["open"] == "("
    cents = int(found["whole"].replace(",", "")) * 100 + int((found["part"] or "0").ljust(2, "0"))
    if cents > LARGEST_CENTS:
        raise ValueError(f"'{text}' is more money than any payer has.")
    return -cents if negative else cents


_AMOUNT = re.compile(
    r"(?P<open>\()?(?P<minus>-)?R?(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:[.,](?P<part>[0-9]{1,2}))?(?(open)\))"
)


def vat_inside(cents: int, *, rate: Decimal = VAT_RATE) -> int:
    """The VAT that a VAT-inclusive amount contains, in cents.

    >>> vat_inside(11500)
    1500
    """
    return half_up(Fraction(cents) * Fraction(rate) / (1 + Fraction(rate)))
