"""What becomes of an errand whose work did not succeed: tried again, or shown to a person."""

import pytest
from sqlalchemy.exc import OperationalError

from core import errands
from core.errors import Away, Missing, Refused, Stale, Unfit
from core.rules.roles import Permission
from core.store.work import unfit
from ops import worker
from tests.fixtures.house import TestHouse


@pytest.mark.parametrize(
    "said", ["database is locked", "database table is locked: claim", "deadlock detected"]
)
def test_a_database_that_is_busy_for_a_moment_says_so(said):
    busy = unfit(OperationalError("UPDATE claim", {}, Exception(said)))
    assert (Stale, "The practice is busy for a moment. Try again.") == (type(busy), busy.sentence)


TROUBLES = {
    "busy": (Stale("The practice is busy for a moment."), "waiting"),
    "away": (Away("Nobody answers."), "waiting"),
    "missing": (Missing("It is not there yet."), "waiting"),
    "unfit": (Unfit("The disk is full."), "waiting"),
    "surprise": (RuntimeError("A surprise."), "waiting"),
    "refused": (Refused("It will never do."), "stuck"),
}


def test_only_what_a_rule_refuses_waits_for_a_person(house: TestHouse, monkeypatch):
    def attempt(house, payload):
        raise TROUBLES[payload["trouble"]][0]

    monkeypatch.setitem(worker.HANDLERS, "try", attempt)
    with house.does("system") as work, work.act(Permission.ERRANDS_RUN):
        for trouble in TROUBLES:
            work.errand("try", key=f"try:{trouble}", trouble=trouble)
    worker.run_errands(house.house)
    found = {e.payload["trouble"]: e.state for e in house.do("admin", errands.open_errands)}
    assert {trouble: state for trouble, (_, state) in TROUBLES.items()} == found
