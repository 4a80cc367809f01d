"""What ended long ago is swept away with all that hung on it, and nothing else is; and how the image store does."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from core import factors, health, signin
from core.errors import Denied, WrongAnswer
from core.ports.orthanc import OrthancRest
from core.rules.roles import Permission
from core.store.model import Challenge, SignInSession, StepUp, Throttle
from ops.orthanc_child import free_port
from tests.fixtures.guests import WRONG, hire


def rows(test, model) -> int:
    with test.does("system") as work, work.look(Permission.ERRANDS_RUN):
        return work.db.scalar(select(func.count()).select_from(model))


def test_sessions_of_long_ago_go_with_their_proofs_and_challenges(either_shared):
    guest = hire(either_shared)
    token = guest.enters()
    actor = guest.behind(token)
    with either_shared.house.work(actor) as work:
        factors.prove_by_code(work, purpose="factors", code=guest.code())
    with either_shared.house.work(actor) as work, work.tend(Permission.ACCOUNT_SELF):
        work.db.add(
            Challenge(
                id=work.new_id(),
                session_id=actor.session,
                purpose="new-key",
                challenge=b"x",
                ends_at=work.now(),
            )
        )
    assert 1 <= rows(either_shared, StepUp)
    either_shared.clock.pass_(days=31)
    while either_shared.do("system", health.sweep_sessions):
        pass
    assert [0, 0, 0] == [rows(either_shared, m) for m in (SignInSession, StepUp, Challenge)]
    assert guest.enters()


def test_counts_of_guessed_names_go_after_a_week_and_not_before(either_shared):
    guest = hire(either_shared)
    with pytest.raises(WrongAnswer):
        guest.asks(signin.check_password, login="no-such-person", password=WRONG)
    assert 1 <= rows(either_shared, Throttle)
    either_shared.clock.pass_(days=6)
    either_shared.do("system", health.sweep_limits)
    assert 1 <= rows(either_shared, Throttle)
    either_shared.clock.pass_(days=2)
    either_shared.do("system", health.sweep_limits)
    assert 0 == rows(either_shared, Throttle)


def test_an_image_store_is_missing_silent_or_answers_and_whoever_may_not_ask_hears_nothing(house, orthanc):
    assert health.ImageStore("missing") == house.do("manager", health.image_store)
    stores = [
        OrthancRest(f"http://127.0.0.1:{free_port()}", timeout_s=(0.5, 0.5), retries=0),
        OrthancRest(orthanc.url, orthanc.auth),
    ]
    found = []
    for store in stores:
        house.house.ports = replace(house.house.ports, orthanc=store)
        found.append(house.do("admin", health.image_store))
        store.close()
    assert ["silent", "answers"] == [one.state for one in found]
    assert "does not answer" in found[0].told and found[1].told[:1].isdigit()
    with pytest.raises(Denied):
        house.do("reception", health.image_store)
