"""Texts that were typed and not saved: whose they are, and for how long."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from console.drafts import LASTS, MOST, MOST_OF_ONE, PERSON, Drafts, rescue
from core.rules.report_text import LONGEST

NOW = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)
ME, OTHER, STUDY = uuid4(), uuid4(), uuid4()


def typed(drafts: Drafts, text: str, *, study: UUID = STUDY, person: UUID = ME, at: datetime = NOW) -> None:
    drafts.keep(person, study, text=text, based_on=None, at=at)


def text_of(drafts: Drafts, study: UUID = STUDY, *, person: UUID = ME, now: datetime = NOW) -> str | None:
    found = drafts.find(person, study, now=now)
    return found.text if found else None


def test_a_draft_is_its_writers_alone_and_goes_when_it_is_dropped() -> None:
    drafts = Drafts()
    typed(drafts, "mine")
    assert ("mine", None) == (text_of(drafts), text_of(drafts, person=OTHER))
    drafts.drop(OTHER, STUDY)
    assert "mine" == text_of(drafts)
    drafts.drop(ME, STUDY)
    assert None is text_of(drafts)


def test_a_draft_is_gone_after_a_day_however_often_its_page_was_drawn() -> None:
    drafts = Drafts()
    typed(drafts, "mine")
    for hours in range(1, 24):
        typed(drafts, "mine", at=NOW + timedelta(hours=hours))
    assert "mine" == text_of(drafts, now=NOW + LASTS - timedelta(seconds=1))
    drafts.tidy(NOW + LASTS)
    assert None is text_of(drafts)


def test_only_the_newest_drafts_are_kept_and_nobody_pushes_out_a_colleagues() -> None:
    drafts = Drafts()
    typed(drafts, "a colleague's", person=OTHER)
    studies = [uuid4() for _ in range(MOST + 1)]
    for study in studies:
        typed(drafts, "mine", study=study)
    assert MOST_OF_ONE == sum(text_of(drafts, s) is not None for s in studies)
    assert ("mine", "a colleague's") == (text_of(drafts, studies[-1]), text_of(drafts, person=OTHER))
    for person in (uuid4() for _ in range(MOST)):
        typed(drafts, "theirs", person=person)
    assert None is text_of(drafts, person=OTHER)


def test_a_text_that_no_report_holds_is_not_kept() -> None:
    drafts = Drafts()
    typed(drafts, "x" * (LONGEST + 1))
    assert None is text_of(drafts)


def test_a_tab_that_is_cleared_leaves_what_its_field_holds_with_the_version_it_is_based_on() -> None:
    drafts, base = Drafts(), uuid4()
    untouched = uuid4()
    state = {
        PERSON: ME,
        f"start-{STUDY}": "saved",
        f"draft-{STUDY}": "typed",
        f"text-{STUDY}": "typed on",
        f"base-{STUDY}": base,
        f"start-{untouched}": "saved",
        f"draft-{untouched}": "saved",
    }
    assert rescue(drafts, state, now=NOW)
    found = drafts.find(ME, STUDY, now=NOW)
    assert found and ("typed on", base, NOW) == (found.text, found.based_on, found.at)
    assert None is drafts.find(ME, untouched, now=NOW)
    assert not rescue(drafts, {**state, f"text-{STUDY}": "saved"}, now=NOW)
    assert not rescue(drafts, {k: v for k, v in state.items() if k != PERSON}, now=NOW)
    assert "typed on" not in repr(drafts) + repr(found)
