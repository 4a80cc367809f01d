"""Ids in the addresses of both doors: what is no id, nobody's or of another kind is not found, and nothing falls.

The routes are found by their parameters, so that a new one cannot be forgotten.
"""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pyotp
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from core import practice, signin
from gateway.app import create
from gateway.images import Fetched
from gateway.manners import SESSION
from tests.fixtures.doors import COOKIE, doors_of, signed_in
from tests.fixtures.guests import hire
from tests.fixtures.house import PASSWORD, TestHouse, open_test_house
from tests.fixtures.rows import Rows, rows_of_a_patient

# Dots are tidied away by this client; tests/test_console_gate.py and tests/services/test_gateway.py send them raw.
NO_IDS = [
    "x", "0", "-1", "7" * 40, "null", "None", "*", "%00", "%ff", "%0d%0aX: y", "..%2f..", "' or 1=1 --",
    "{uuid}", "٠", "A" * 4000, UUID(int=7).hex, f"{{{UUID(int=7)}}}", str(UUID(int=7)) + "0", str(UUID(int=7)) + "%00",
    f"urn:uuid:{UUID(int=7)}",
]  # fmt: skip


class NoImages:
    """An image store that must not be asked."""

    def fetch(self, instance_id: str) -> Fetched:
        raise AssertionError(f"Orthanc was asked for {instance_id}.")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestHouse, Rows]]:
    test = open_test_house(tmp_path_factory.mktemp("doors") / "home")
    test.do(
        "system",
        practice.describe,
        name="Ubuntu Radiology",
        address="",
        phone="",
        email="",
        pcns="0380000123456",
    )
    yield test, rows_of_a_patient(test)
    test.house.engine.dispose()


@pytest.fixture(scope="module")
def doors(house) -> dict[str, tuple[Starlette, TestClient]]:
    """Both doors, each with a browser in which somebody is signed in."""
    test, rows = house
    test.house.rules["gateway_url"] = "http://gateway.test"
    apps = {"console": doors_of(test, hosts=("console.test",)), "gateway": create(test.house, NoImages())}
    guest = hire(test, "patient", patient_id=rows.patient_id)
    first = guest.asks(signin.check_password, channel="gateway", login=guest.login, password=PASSWORD)
    seat = guest.asks(
        signin.check_code, channel="gateway", token=first, code=pyotp.TOTP(guest.secret).at(test.clock.at)
    )
    cookies = {"console": {COOKIE: signed_in(test, "radiologist")}, "gateway": {SESSION: seat}}
    return {
        name: (
            app,
            TestClient(
                app,
                f"http://{name}.test",
                raise_server_exceptions=False,
                cookies=cookies[name],
                follow_redirects=True,
            ),
        )
        for name, app in apps.items()
    }


THE_VIEWER = [f"/account/studies/{{id:uuid}}{end}" for end in ("", "/view", "/view/")]


def of_an_id(app: Starlette) -> list[Route]:
    """The routes that have an id in their path."""
    return [r for r in app.routes if isinstance(r, Route) and "uuid" in str(r.path)]


def filled(route: Route, rows: Rows, name: str, wish: str) -> str:
    """The route's path: this one of its ids replaced, the others the patient's own."""
    own = {
        n: str(rows.study_id if n in ("study", "id") else rows.instance_id) for n in route.param_convertors
    }
    path = route.path_format
    for n, value in {**own, name: wish}.items():
        path = path.replace(f"{{{n}}}", value)
    return path


def test_the_routes_with_an_id_are_these(doors):
    assert {
        "console": ["/images/{study:uuid}/instances/{instance:uuid}/file", "/images/{study:uuid}/manifest"],
        "gateway": [
            "/account/studies/{id:uuid}",
            "/account/studies/{id:uuid}/instances/{image:uuid}/file",
            "/account/studies/{id:uuid}/manifest",
            "/account/studies/{id:uuid}/report.pdf",
            "/account/studies/{id:uuid}/view",
            "/account/studies/{id:uuid}/view/",
            "/share/instances/{id:uuid}/file",
        ],
    } == {door: sorted(r.path for r in of_an_id(app)) for door, (app, _) in doors.items()}


@pytest.mark.parametrize("door", ["console", "gateway"])
def test_what_is_no_id_or_of_something_else_is_not_found_and_nothing_falls(house, doors, door):
    _, rows = house
    app, browser = doors[door]
    strange = [
        str(i)
        for i in (UUID(int=0), uuid4(), rows.patient_id, rows.share_id, rows.version_id, rows.arrival_id)
    ]
    wrong, asked = [], 0
    for route in of_an_id(app):
        own = browser.get(filled(route, rows, "", ""))
        for name in route.param_convertors:
            for wish in (*NO_IDS, *strange):
                answer = browser.get(filled(route, rows, name, wish))
                asked += 1
                # The viewer's page is one page for everybody: what it shows, it asks for by the other addresses.
                same = route.path in THE_VIEWER and answer.content == own.content
                # Without an open link there is nothing under /share at all.
                meant = {401, 404, 410} if route.path.startswith("/share") else {404}
                if not same and answer.status_code not in meant or "Traceback" in answer.text:
                    wrong.append((route.path, name, wish[:50], answer.status_code))
    assert not wrong, "\n".join(map(str, wrong))
    assert asked >= 3 * len(NO_IDS)


def test_what_is_no_id_in_a_form_or_a_question_is_none(doors):
    _, browser = doors["console"]
    for key in (*NO_IDS, str(UUID(int=0))):
        answer = browser.get("/account/keys/remove", params={"key": key}, follow_redirects=False)
        assert (303, "/account/keys") == (answer.status_code, answer.headers["location"])
