"""Johannesburg time, which appears only when something is drawn or a day is asked for. No daylight saving since 1944."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SAST = ZoneInfo("Africa/Johannesburg")


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """First instant of a South African day and of the next one, in UTC."""
    start = datetime.combine(day, time(), tzinfo=SAST)
    return start.astimezone(UTC), (start + timedelta(days=1)).astimezone(UTC)


def local_day(at: datetime) -> date:
    """The South African day of an instant."""
    return at.astimezone(SAST).date()


def say_time(at: datetime | None) -> str:
    """24/11/2026 14:05, in South Africa."""
    return at.astimezone(SAST).strftime("%d/%m/%Y %H:%M") if at else ""


def say_until(at: datetime) -> str:
    """When something ends: at midnight it is the end of the day before, as it was asked for."""
    here = at.astimezone(SAST)
    if here.time() != time():
        return say_time(at)
    return f"the end of {say_day(here.date() - timedelta(days=1))}"


def say_day(day: date | None) -> str:
    """24/11/2026."""
    return day.strftime("%d/%m/%Y") if day else ""
