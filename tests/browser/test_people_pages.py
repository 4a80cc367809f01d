"""The admin's desk in a real browser: a colleague is asked for, approved, given a slip; a sheet is tried and taken in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from playwright.sync_api import Browser, Page

from console import nav
from core import activation, changes, patients, people, sessions
from core.patients import Particulars
from core.rules.roles import Permission, Role
from core.store.model import SecurityKey
from tests.browser.test_console import at_desk, press_cell, settled
from tests.fixtures.browser import expect
from tests.fixtures.console import Console, early_house, serving
from tests.fixtures.guests import hire
from tests.test_staff_import import second_admin

SHEET = (
    "Login;Name;Roles\nthandi.nkosi;Sr Thandi Nkosi;radiographer\nbilling;Billing Persoon;billing\n"
    "manager;Manager Person;manager\nаdmin;Cyrillic Person;admin\nx y;Two Words;receptionist\n=cmd;Formula;billing\n"
)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console over a practice with two admins and 1,000 people who wait for their first sign-in."""
    test = second_admin(early_house(tmp_path_factory.mktemp("people") / "home"))
    with test.does("admin") as work, work.act(Permission.PEOPLE_MANAGE):
        for n in range(1_000):
            crowd = {"login": f"crowd.{n:04d}", "name": f"Zola Crowd {n:04d}", "roles": ["reception"]}
            people.new_person(work, crowd, at_once=False)
    with serving(test) as running:
        for admin in ("admin", "second"):
            running.token(admin)
        yield running
    test.house.engine.dispose()


def cell(page: Page, row: int) -> None:
    """Click on the name in a row of the page's first table, as somebody does who never saw its small boxes."""
    press_cell(page, page.get_by_test_id("stDataFrame").first, 150, 33 * (row + 1) + 16)


def a_key_of(office: Console, login: str) -> None:
    with office.test.does(login) as work, work.act(Permission.ACCOUNT_SELF):
        work.db.add(
            SecurityKey(
                id=work.new_id(),
                origin="test",
                person_id=work.actor.person,
                credential_id=b"k",
                public_key=b"k",
                name="Blue key",
                made_at=work.now(),
            )
        )


def go(page: Page, office: Console, address: str) -> None:
    page.goto(f"{office.url}/{address}")
    settled(page)


def test_a_colleague_is_asked_for_approved_by_another_admin_and_signs_in_with_the_slip(
    browser: Browser, office: Console
) -> None:
    test = office.test
    with at_desk(browser, office, "admin") as (page, complaints):
        go(page, office, "people")
        page.get_by_role("button", name="Add a person").click()
        page.get_by_role("button", name="Ask for this account").click()
        expect(page.get_by_text("Say why, in 5 to 300 characters.")).to_be_visible()
        expect(page.get_by_text("Write a login: the name to sign in with.")).to_be_visible()
        expect(page.get_by_text("Choose at least one role.")).to_be_visible()
        page.get_by_role("textbox", name="Why").fill("Locum until June")
        page.get_by_label("Name", exact=True).fill("Dr Sipho Dlamini")
        page.get_by_role("textbox", name="Signs in as").fill("sipho.dlamini")
        page.get_by_role("combobox", name="Roles").click()
        page.get_by_role("option", name="radiologist: images").click()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Ask for this account").click()
        expect(page.get_by_text("Another admin must approve what you asked for.")).to_be_visible()
        address = page.url
        assert [] == complaints
    with at_desk(browser, office, "second") as (page, complaints):
        go(page, office, "requests")
        page.get_by_role("button", name="Decide").click()
        expect(page).to_have_url(address)
        expect(page.get_by_text("Locum until June")).to_be_visible()
        page.get_by_role("textbox", name="Code from your authenticator").fill("000000")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("That code is not right")).to_be_visible()
        page.get_by_role("textbox", name="Code from your authenticator").fill(office.code_now("second"))
        page.get_by_role("button", name="Approve").click()
        page.get_by_role("button", name="Make a sign-in slip").click()
        expect(page.get_by_text("The sign-in slip is shown once")).to_be_visible()
        code = page.locator(".sorg-code").inner_text()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Print: save as PDF").click()
        assert saved.value.path().read_bytes().startswith(b"%PDF-")
        assert code not in page.url
        page.get_by_role("button", name="Done, hide it").click()
        expect(page.locator(".sorg-code")).to_have_count(0)
        go(page, office, page.url.removeprefix(f"{office.url}/"))
        expect(page.get_by_role("button", name="Make a new slip")).to_be_visible()
        assert 0 == page.locator(".sorg-code").count()
        assert [] == complaints
    sipho = test.do("admin", people.people, search="sipho")[0][0]
    assert "waits" == sipho.standing
    assert "sipho.dlamini" == test.do("nobody", activation.look_at, slip=code).login


def test_a_proof_by_key_lets_an_admin_approve_without_a_code(browser: Browser, office: Console) -> None:
    test = office.test
    analyst = test.actors["analyst"].person
    request = test.do(
        "admin", changes.ask, kind="reset-factor", payload={"person_id": str(analyst)}, why="Lost phone"
    )
    with at_desk(browser, office, "second") as (page, _):
        go(page, office, f"requests?request={request}")
        expect(page.get_by_text("Be sure that it is them")).to_be_visible()
        assert 0 == page.get_by_role("link", name="Use my key instead").count()
        a_key_of(office, "second")
        go(page, office, f"requests?request={request}")
        way = page.get_by_role("link", name="Use my key instead").get_attribute("href")
        assert (
            way
            == f"/stepup?for=change%3A{request}%3A{way.split('%3A')[2].split('&')[0]}&next=%2Frequests%3Frequest%3D{request}"
        )
        settled(page)
        page.get_by_text("Refuse it").click()
        remark = page.get_by_label("What should they know?")
        remark.fill("Call her first")
        remark.press("Tab")
        expect(remark).to_have_value("Call her first")
        page.get_by_role("button", name="Refuse", exact=True).click()
        expect(page.get_by_text("Call her first")).to_be_visible()
    assert "refused" == test.do("admin", changes.request, request).state


def test_a_bad_sheet_is_shown_row_by_row_and_its_good_rows_are_asked_for(
    browser: Browser, office: Console
) -> None:
    test = office.test
    with at_desk(browser, office, "second") as (page, complaints):
        go(page, office, "staff_import")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Template as CSV").click()
        assert b"example.person" in saved.value.path().read_bytes()
        upload = page.locator("input[type=file]")
        upload.set_input_files({"name": "x.csv", "mimeType": "text/csv", "buffer": b"%PDF-1.7 nothing"})
        expect(page.get_by_text("This is a PDF, not a sheet")).to_be_visible()
        upload.set_input_files({"name": "staff.csv", "mimeType": "text/csv", "buffer": SHEET.encode()})
        expect(page.get_by_text("Refused: 3")).to_be_visible()
        expect(page.get_by_text("New: 1")).to_be_visible()
        with page.expect_download() as saved:
            page.get_by_role("button", name="The whole result").click()
        result = saved.value.path().read_text("utf-8-sig")
        assert "\n=cmd" not in result
        assert ";=cmd" not in result
        page.get_by_role("textbox", name="Why").fill("New branch")
        page.get_by_role("button", name="Ask for this import").click()
        expect(page.get_by_text("Another admin must approve what you asked for.")).to_be_visible()
        assert [] == complaints
    request = test.do(
        "admin", changes.request, next(r.id for r in test.do("admin", changes.requests) if r.kind == "import")
    )
    assert ["thandi.nkosi", "billing"] == list(dict.fromkeys(line.of for line in request.lines))
    with at_desk(browser, office, "admin") as (page, complaints):
        go(page, office, f"requests?request={request.id}")
        test.do("admin", changes.approve, request.id, digest=request.digest, code=test.code("admin"))
        page.reload()
        page.get_by_role("button", name="Print 1 slip").click()
        expect(page.get_by_text("The sign-in slip is shown once")).to_be_visible()
        assert [] == complaints


def test_a_thousand_people_are_narrowed_paged_and_opened(browser: Browser, office: Console) -> None:
    person = office.test.do("admin", people.people, search="Crowd 0777")[0][0]
    with at_desk(browser, office, "admin") as (page, complaints):
        go(page, office, "people")
        page.get_by_text("Waits for first sign-in · 1 00").click()
        expect(page.get_by_text("1–50 of 1 00")).to_be_visible()
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_text("51–100 of 1 00")).to_be_visible()
        page.get_by_placeholder("Name or login").fill("nobody of that name")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Nobody fits")).to_be_visible()
        page.get_by_placeholder("Name or login").fill("crowd 0777")
        page.keyboard.press("Enter")
        expect(page.get_by_text("1 person", exact=True)).to_be_visible()
        cell(page, 0)
        expect(page).to_have_url(f"{office.url}/people?person={person.id}")
        expect(page.get_by_text("waits for its owner")).to_be_visible()
        page.get_by_role("button", name="Make a sign-in slip").click()
        expect(page.get_by_text("The sign-in slip is shown once")).to_be_visible()
        settled(page)
        expect(page.get_by_role("button", name="Make a new slip")).to_have_count(0)
        page.get_by_role("button", name="Done, hide it").click()
        expect(page.get_by_role("button", name="Make a new slip")).to_be_visible()
        page.get_by_role("button", name="Shut out…").click()
        page.get_by_role("textbox", name="Why").fill("Never came")
        page.get_by_role("button", name="Shut them out now").click()
        expect(page.get_by_text("✕ Shut out")).to_be_visible()
        expect(page.get_by_role("button", name="Ask to let them in again")).to_be_visible()
        assert [] == complaints
    assert "shut" == office.test.do("admin", people.person, person.id).standing


def test_an_admin_ends_a_session_and_somebody_else_sees_no_way_in(browser: Browser, office: Console) -> None:
    ended = office.fresh_token("reception")
    with at_desk(browser, office, "admin") as (page, complaints):
        go(page, office, "people")
        page.get_by_text("Signed in now").click()
        settled(page)
        expect(page.get_by_role("button", name="End this session")).to_be_disabled()
        # The newest stands first.
        tables = page.locator("[data-testid=stDataFrame]")
        expect(tables).to_have_count(2)
        press_cell(page, tables.nth(1), 150, 33 + 16)
        expect(page.get_by_role("button", name="End this session")).to_be_enabled()
        page.get_by_role("button", name="End this session").click()
        expect(page.get_by_text("Ended.")).to_be_visible()
        assert [] == complaints
    with office.test.house.work(office.test.actors["nobody"]) as work:
        assert sessions.actor_of(work, token=ended, channel="console") is None
    for role in (Role.MANAGER, Role.RECEPTION):
        pages = {row.key for row in nav.pages_for(frozenset({role}))}
        assert ({"people", "requests"} if role is Role.MANAGER else set()) == pages & {
            "people",
            "requests",
            "staff_import",
        }
    manager = office.test.actors["manager"].person
    with at_desk(browser, office, "manager") as (page, complaints):
        go(page, office, f"people?person={manager}")
        assert 0 == page.get_by_role("button", name="Shut out…").count()
        go(page, office, "people?new=1")
        assert 0 == page.get_by_role("button", name="Ask for this account").count()
        go(page, office, "requests")
        expect(page.get_by_role("heading", name="Requests")).to_be_visible()
        assert [] == complaints
    assert office.test.do("admin", sessions.sessions, person_id=manager)


def test_a_patients_account_is_asked_for_only_after_its_file_was_seen(
    browser: Browser, office: Console
) -> None:
    test = office.test
    born = Particulars("Nkosi-Müller", "Thandô", date(1980, 1, 1), "F")
    file = test.do("reception", patients.open_patient, test.do("reception", patients.register, born))
    with at_desk(browser, office, "admin") as (page, complaints):
        go(page, office, "people?new=1")
        page.get_by_text("A patient", exact=True).click()
        page.get_by_label("File number").fill(file.file_number)
        page.get_by_role("button", name="Whose file is it?").click()
        expect(page.get_by_text("01/01/1980")).to_be_visible()
        expect(page.get_by_role("textbox", name="Name")).to_have_value("Thandô Nkosi-Müller")
        page.get_by_role("textbox", name="Name").fill("Pieter Botha")
        page.get_by_role("textbox", name="Signs in as").fill("thando.nkosi")
        page.get_by_role("textbox", name="Why").fill("She asked for it")
        page.get_by_role("button", name="Ask for this account").click()
        expect(page.get_by_text("The name is not the one on the file")).to_be_visible()
        page.get_by_role("textbox", name="Name").fill("Thando Nkosi-Muller")
        page.keyboard.press("Tab")
        expect(page.get_by_text("The file belongs to")).to_have_count(0)
        page.get_by_role("button", name="Ask for this account").click()
        expect(page.get_by_text("Another admin must approve what you asked for.")).to_be_visible()
        assert [] == complaints
    asked = next(r for r in test.do("admin", changes.requests) if r.kind == "add-person")
    assert file.id == asked.patient_id


def test_a_name_is_corrected_and_a_colleagues_own_record_shut_on_the_persons_page(
    browser: Browser, office: Console
) -> None:
    test = office.test
    with test.does("admin") as work, work.act(Permission.PEOPLE_MANAGE):
        guest = people.new_person(
            work, {"login": "nomvula.w", "name": "Nomvula Wrong", "roles": ["radiologist"]}
        ).id
    born = Particulars("Wrong", "Nomvula", date(1988, 2, 29), "F")
    file = test.do("reception", patients.open_patient, test.do("reception", patients.register, born))
    with at_desk(browser, office, "admin") as (page, complaints):
        go(page, office, f"people?person={guest}")
        page.get_by_text("Correct name or numbers").click()
        page.get_by_role("textbox", name="Name").fill("Dr Nomvul\u0430 \u0174right")
        page.get_by_role("textbox", name="HPCSA registration").fill("MP 0765432")
        page.get_by_role("textbox", name="Why").fill("Mistyped at the start")
        page.get_by_role("button", name="Ask for this correction").click()
        expect(page.get_by_text("mixes Cyrillic and Latin letters")).to_be_visible()
        page.get_by_role("textbox", name="Name").fill("Dr Nomvula \u0174right")
        page.get_by_role("button", name="Ask for this correction").click()
        expect(page.get_by_text("Name and numbers: waits for approval")).to_be_visible()
        settled(page)
        page.get_by_text("Correct name or numbers").click()
        page.get_by_text("Correct what they sign in as").click()
        form = page.locator("[data-testid=stForm]", has_text="After a marriage or a typing slip")
        form.get_by_role("textbox", name="Signs in as").fill("ADMIN")
        form.get_by_role("textbox", name="Why").fill("Mistyped at the start")
        form.get_by_role("button", name="Ask for this correction").click()
        expect(page.get_by_text("There is somebody with the login admin already.")).to_be_visible()
        form.get_by_role("textbox", name="Signs in as").fill("nomvula.wright")
        form.get_by_role("button", name="Ask for this correction").click()
        expect(page.get_by_text("What they sign in as: waits for approval")).to_be_visible()
        settled(page)
        page.get_by_text("Correct what they sign in as").click()
        page.get_by_text("Their own record as a patient").click()
        page.get_by_role("textbox", name="File number").fill(file.file_number)
        page.get_by_role("button", name="Whose file is it?").click()
        expect(page.get_by_text("29/02/1988")).to_be_visible()
        page.locator("[data-testid=stForm]", has_text="Ask to close it to them").get_by_role("textbox").fill(
            "She is a patient, too"
        )
        page.get_by_role("button", name="Ask to close it to them").click()
        expect(page.get_by_text("Own record as a patient: waits for approval")).to_be_visible()
        third = hire(test, "admin")
        for request in third.does(changes.requests, person_id=guest):
            third.does(changes.approve, request.id, digest=request.digest, code=third.proof())
        go(page, office, f"people?person={guest}")
        expect(page.get_by_role("heading", name="Dr Nomvula \u0174right")).to_be_visible()
        expect(page.get_by_text("Signs in as nomvula.wright")).to_be_visible()
        expect(page.get_by_text(f"file {file.file_number}, their own")).to_be_visible()
        go(page, office, f"patient_access?patient={file.id}")
        expect(page.get_by_text("Only the usual rule")).to_have_count(0)
        assert [] == complaints
