"""Who may see what, in a real browser: groups, access to a patient, the broken glass, one's own account, and proofs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import access, alerts, changes, groups, patients, privacy, reporting, sessions, workflow
from core.rules.roles import Role
from core.store.db import maintenance
from core.store.model import SignInSession
from core.tokens import hash_token
from ops.bench.directory_server import BASE_DN, GROUPS_DN, READER, OpenLdapServer
from tests.browser.test_console import at_desk, press_cell, report_text, settled
from tests.fixtures.browser import DESK, HERE, PHONE, expect
from tests.fixtures.console import COOKIE, Console, early_house, log_of, serving
from tests.fixtures.house import TestHouse, book_thando
from tests.flows.test_reporting import report_until_proofreading, scan
from tests.test_staff_import import second_admin

WAIT_MS = 60_000
EMERGENCY = "Unconscious in resus, Dr Naidoo asks for the previous CT"
KEY = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
       "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip


@pytest.fixture(scope="module")
def office(
    tmp_path_factory: pytest.TempPathFactory, openldap_for_the_run: OpenLdapServer
) -> Iterator[Console]:
    """A console over a practice with two admins and a directory."""
    folder = tmp_path_factory.mktemp("access")
    test = second_admin(early_house(folder / "home"))
    with serving(test, **_named(openldap_for_the_run, folder / "reader.password")) as running:
        for role in ("admin", "manager", "reception", "radiologist"):
            running.token(role)
        yield running
    test.house.engine.dispose()


def _named(server: OpenLdapServer, password: Path) -> dict[str, str]:
    """The directory as a practice's settings name it."""
    password.write_text(server.password)
    at = server.processes[0].server
    return {
        "SORG_DIRECTORY": "openldap",
        "SORG_DIRECTORY_SERVERS": f"{at.tls_name}@{at.host}:{at.port}",
        "SORG_DIRECTORY_BASE": BASE_DN,
        "SORG_DIRECTORY_GROUPS": GROUPS_DN,
        "SORG_DIRECTORY_CA": str(server.ca_file),
        "SORG_DIRECTORY_USER": server.dn_of(READER),
        "SORG_DIRECTORY_PASSWORD_FILE": str(password),
    }


@pytest.fixture(scope="module")
def thando(office: Console) -> tuple[str, str, str]:
    """One patient with one study: (patient, study, file number)."""
    patient, study = book_thando(office.test)
    return str(patient), str(study), office.test.do("reception", patients.open_patient, patient).file_number


def go(page: Page, office: Console, address: str) -> None:
    page.goto(f"{office.url}/{address}")
    settled(page)


def tick(page: Page, row: int = 0) -> None:
    """Choose a row of the last table of the page."""
    press_cell(page, page.get_by_test_id("stDataFrame").last, 15, 50 + 33 * row)


def approve(test: TestHouse) -> None:
    """The other admin approves the one request that waits."""
    (card,) = test.do("second", changes.requests)
    test.do("second", changes.approve, card.id, digest=card.digest, code=test.code("second"))


def began_while_away(office: Console, role: str) -> str:
    """A session as the cached sign-in makes one."""
    token = office.fresh_token(role)
    with maintenance("test"), Session(office.test.house.engine.execution_options(write=True)) as db:
        db.scalars(
            select(SignInSession).where(SignInSession.token_hash == hash_token(token))
        ).one().is_away = True
        db.commit()
    return token


def test_while_the_directory_is_away_a_banner_says_so_and_the_pages_say_what_waits(
    browser: Browser, office: Console, openldap_for_the_run: OpenLdapServer
) -> None:
    openldap_for_the_run.stop()
    try:
        with at_desk(browser, office, "admin") as (page, complaints):
            go(page, office, "groups")
            expect(page.locator(".sorg-above")).to_contain_text("The directory does not answer")
            expect(page.get_by_text("its groups cannot be searched now")).to_be_visible()
            expect(page.get_by_text("Possible again when the directory answers.")).to_be_visible()
            go(page, office, "people?new=1")
            find = page.get_by_label("Find them in the directory")
            find.fill("naidoo")
            find.press("Enter")
            expect(page.get_by_text("Try again in a minute.")).to_be_visible(timeout=WAIT_MS)
            assert [] == complaints
        with at_desk(browser, office, "admin", token=began_while_away(office, "admin")) as (page, complaints):
            go(page, office, "people?new=1")
            expect(page.locator(".sorg-above")).to_contain_text(
                "You came in with the password of the last time"
            )
            expect(page.get_by_text("sign in anew to manage people")).to_be_visible()
            expect(page.get_by_role("button", name="Ask for this account")).to_have_count(0)
            assert [] == complaints
        with office.http() as stranger:
            assert "directory does not answer now" in stranger.get("/login").text
    finally:
        openldap_for_the_run.mend()


def test_a_group_is_searched_given_a_role_and_counts_once_another_admin_approved(
    browser: Browser, office: Console
) -> None:
    with at_desk(browser, office, "admin") as (page, complaints):
        go(page, office, "groups")
        expect(page.get_by_text("No group gives a role yet")).to_be_visible()
        search = page.get_by_label("Search the directory's groups")
        search.fill("radiolog")
        search.press("Enter")
        expect(page.get_by_text("Choose the group.")).to_be_visible(timeout=WAIT_MS)
        tick(page)
        # Two from the start; other tests of this run's directory may have added theirs.
        counted = page.get_by_text(re.compile(r"PACS-Radiologists has ([2-9]|\d\d+) members of its own"))
        expect(counted).to_be_visible(timeout=WAIT_MS)
        page.get_by_label("Roles that PACS-Radiologists gives").click()
        page.get_by_role("option", name="radiologist").click()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Add to the draft").click()
        expect(page.get_by_text("1 new, 0 taken out")).to_be_visible(timeout=WAIT_MS)
        page.get_by_role("textbox", name="Why").fill("The first table")
        page.get_by_role("button", name="Ask for this change").click()
        expect(page.get_by_text("A change of this table waits for approval")).to_be_visible(timeout=WAIT_MS)
        assert () == office.test.do("admin", groups.mapping)
        approve(office.test)
        login = page.get_by_label("Name they sign in with")
        login.fill("dr.naidoo")
        login.press("Enter")
        # In through Locums, which is in Team-Chest, which is in the group that gives the role.
        expect(page.get_by_text("PACS-Radiologists (radiologist)")).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_text("once they have set up a second factor")).to_be_visible()
        login.fill("u.disabled")
        login.press("Enter")
        expect(page.get_by_text("Stays out: the directory says 'disabled'.")).to_be_visible(timeout=WAIT_MS)
        expect(
            page.get_by_text("locks an account after 5 wrong passwords since the last right one")
        ).to_be_visible()
        assert [] == complaints
    assert [("PACS-Radiologists", "radiologist")] == [
        (g.group_name, g.role) for g in office.test.do("admin", groups.mapping)
    ]


def is_alive(office: Console, token: str) -> bool:
    with office.http() as client:
        client.cookies.set(COOKIE, token, domain="127.0.0.1")
        return 200 == client.get("/awake").status_code


def test_a_record_is_closed_opened_in_an_emergency_loudly_and_reviewed_by_somebody_else(
    browser: Browser, office: Console, thando: tuple[str, str, str]
) -> None:
    patient, study, number = thando
    test = office.test
    with at_desk(browser, office, "admin") as (page, complaints):
        go(page, office, "patient_access")
        page.get_by_label("Number of the patient or the study").fill("999999999")
        page.keyboard.press("Enter")
        expect(page.get_by_text("There is no patient with this file number")).to_be_visible(timeout=WAIT_MS)
        page.get_by_label("Number of the patient or the study").fill(number)
        page.keyboard.press("Enter")
        expect(page.get_by_text("Only the usual rule")).to_be_visible(timeout=WAIT_MS)
        page.get_by_text("Close the record", exact=True).click()
        page.get_by_label("In words").fill("short")
        page.get_by_role("button", name="Ask to close it").click()
        expect(page.get_by_text("Say why, in 10 to 300 characters.")).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_text("Please mend this first:")).to_be_visible()
        page.get_by_label("In words").fill("A member of parliament, journalists ask")
        page.get_by_role("button", name="Ask to close it").click()
        expect(page.get_by_text("waits for another admin")).to_be_visible(timeout=WAIT_MS)
        approve(test)
        go(page, office, f"patient_access?patient={patient}")
        expect(page.get_by_text("This record is closed to everybody")).to_be_visible()
        # Whoever oversees access oversees the closed record, too, and its trail.
        page.get_by_role("button", name="Who looked at this patient").click()
        expect(page.get_by_text(f"file {number}. Every act")).to_be_visible(timeout=WAIT_MS)
        assert [] == complaints
    before = office.fresh_token("reception")
    with at_desk(browser, office, "reception", token=before) as (page, complaints):
        page.goto(f"{office.url}/study?study={study}")
        expect(page.get_by_text("does not exist, or is not yours to see")).to_be_visible()
        page.get_by_role("link", name="Break the glass…").click()
        page.get_by_label("Number of the patient or the study").fill(number)
        page.get_by_label("Why do you need this record now?").fill("urgent")
        page.get_by_role("button", name="Break the glass").click()
        expect(page.get_by_text("why in at least 10 characters")).to_be_visible(timeout=WAIT_MS)
        page.get_by_label("Why do you need this record now?").fill(EMERGENCY)
        page.get_by_label("Code from your authenticator").fill("000000")
        page.get_by_role("button", name="Break the glass").click()
        expect(page.get_by_text("That code is not right")).to_be_visible(timeout=WAIT_MS)
        page.get_by_label("Code from your authenticator").fill(office.code_now("reception"))
        page.get_by_role("button", name="Break the glass").click()
        expect(page.get_by_role("heading", name="Thandô Nkosi-Müller")).to_be_visible(timeout=WAIT_MS)
        expect(page.locator(".sorg-glass")).to_contain_text(
            "This record is open to you because you broke the glass"
        )
        # The record stays open for hours, and not to whoever had the token of before.
        after = next(c["value"] for c in page.context.cookies() if c["name"] == COOKIE)
        assert [False, True] == [is_alive(office, token) for token in (before, after)]
        go(page, office, "bookings")
        expect(page.locator(".sorg-glass")).to_contain_text(f"Nkosi-Müller, Thandô, file {number}")
        expect(page.locator(".sorg-glass")).to_contain_text(EMERGENCY)
        # Once more on the same record: the way there, and no second banner.
        go(page, office, "break_glass")
        page.get_by_label("Number of the patient or the study").fill(number)
        page.get_by_label("Why do you need this record now?").fill(EMERGENCY)
        page.get_by_role("button", name="Break the glass").click()
        expect(page.get_by_text("This record is open to you already")).to_be_visible(timeout=WAIT_MS)
        page.get_by_role("link", name="Open the record").click()
        expect(page.get_by_role("heading", name="Thandô Nkosi-Müller")).to_be_visible(timeout=WAIT_MS)
        expect(page.locator(".sorg-glass")).to_have_count(1)
        page.get_by_role("button", name="Close it now").click()
        expect(page.get_by_text(f"File {number} is closed to you again.")).to_be_visible(timeout=WAIT_MS)
        expect(page.locator(".sorg-glass")).to_have_count(0)
        page.goto(f"{office.url}/patients?patient={patient}")
        expect(page.get_by_text("does not exist, or is not yours to see")).to_be_visible()
        assert [] == complaints
    with at_desk(browser, office, "manager") as (page, complaints):
        go(page, office, "glass_review")
        page.get_by_role("button", name="1 alert").click()
        page.get_by_role("button", name="Seen", exact=True).click()
        expect(page.get_by_role("button", name="1 alert")).to_have_count(0, timeout=WAIT_MS)
        expect(page.get_by_text(EMERGENCY)).to_be_visible()
        page.get_by_text("What they did with this record").click()
        page.get_by_text("It was needed").click()
        page.get_by_role("button", name="Record the review").click()
        expect(page.get_by_text("Nothing to review")).to_be_visible(timeout=WAIT_MS)
        assert [] == complaints
    assert () == test.do("manager", alerts.alerts)
    assert () == test.do("manager", access.glass_to_review)


def test_another_session_of_mine_is_ended_from_a_telephone(browser: Browser, office: Console) -> None:
    forgotten = office.fresh_token("manager")
    context = browser.new_context(**HERE, **PHONE)
    context.add_cookies(
        [
            {
                "name": COOKIE,
                "value": office.token("manager"),
                "url": office.url,
                "httpOnly": True,
                "sameSite": "Strict",
            }
        ]
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    go(page, office, "my_account")
    expect(page.get_by_text("every patient of the practice")).to_be_visible()
    page.get_by_text("Signed in", exact=True).click()
    expect(page.get_by_text("this window")).to_have_count(1)
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_text("Nowhere else.")).to_be_visible()
    expect(page.get_by_text("One of them was not you?")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    with office.test.house.work(office.test.actors["nobody"]) as work:
        assert sessions.actor_of(work, token=forgotten, channel="console") is None


def test_a_report_is_signed_with_a_key_and_what_was_typed_before_is_in_it(
    browser: Browser, office: Console, thando: tuple[str, str, str]
) -> None:
    _, study = book_thando(office.test, family_name="Botha", given_names="Anneke")
    office.test.do("reception", workflow.arrive, study)
    scan(office.test, study)
    report_until_proofreading(office.test, study)
    url = office.url.replace("127.0.0.1", "localhost")  # Keys belong to names, never to an address.
    context = browser.new_context(**HERE, **DESK)
    context.add_cookies(
        [
            {
                "name": COOKIE,
                "value": office.fresh_token("radiologist"),
                "url": url,
                "httpOnly": True,
                "sameSite": "Strict",
            }
        ]
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    cdp = context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    cdp.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})
    page.goto(f"{url}/account/keys/new")
    page.get_by_label("Six-digit code").fill(office.code_now("radiologist"))
    page.get_by_role("button", name="Confirm", exact=True).click()
    page.get_by_label("What do you call it?").fill("Blue key")
    page.get_by_role("button", name="Set up this key").click()
    expect(page.get_by_text("Your key is set up.")).to_be_visible()
    page.goto(f"{url}/my_account")
    expect(page.get_by_text("Blue key")).to_be_visible()
    page.goto(f"{url}/sign_off?study={study}")
    settled(page)
    text = report_text(page)
    text.fill(text.input_value() + "\nCompared with the study of March.")
    page.get_by_role("button", name="Sign with my key").click()
    page.get_by_role("link", name="Touch my key").click()
    page.get_by_role("button", name="Confirm with your key").click()
    expect(page.get_by_text("Confirmed with your key.")).to_be_visible()
    expect(page.get_by_label("Code from your authenticator")).to_have_count(0)
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.get_by_text("fits the text")).to_be_visible()
    context.close()
    signed = office.test.do("radiologist", reporting.read_signed, study)
    assert signed.is_intact and "Compared with the study of March." in signed.version.text
    entry = next(e for e in office.test.do("admin", privacy.entries) if e.act == "report-sign")
    assert "key" == entry.facts["by"]


def test_a_list_of_names_leaves_only_with_a_fresh_code_and_on_record(
    browser: Browser, office: Console, thando: tuple[str, str, str]
) -> None:
    with at_desk(browser, office, "manager") as (page, complaints):
        go(page, office, "board")
        # A table's own way out would pass by the proof and the record.
        page.get_by_test_id("stDataFrame").hover()
        expect(page.get_by_role("button", name="Download as CSV")).to_have_count(0)
        page.get_by_role("button", name="Take this list out").click()
        page.get_by_role("button", name="Make the file").click()
        expect(page.get_by_text("Confirm that it is you first")).to_be_visible(timeout=WAIT_MS)
        page.get_by_label("Code from your authenticator").fill(office.code_now("manager"))
        page.get_by_role("button", name="Make the file").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save the file").click()
        assert saved.value.path().read_bytes().startswith(b"PK")
        asked = {who: file_status(saved.value.url, office.token(who)) for who in ("manager", "admin")}
        assert {"manager": 200, "admin": 404} == asked  # An address in the downloads list is nobody else's.
        assert 401 == file_status(saved.value.url, "")
        page.goto(f"{office.url}/my_account")
        settled(page)
        assert [] == complaints
    taken = [e for e in office.test.do("admin", privacy.entries) if e.subject_id == "board"]
    assert [("done", "code"), ("refused", None)] == [(e.outcome, e.facts.get("proof")) for e in taken]
    assert "trouble" not in log_of(office)


def file_status(url: str, token: str) -> int:
    return httpx.get(
        url, headers={"Cookie": f"{COOKIE}={token}"} if token else {}, trust_env=False
    ).status_code


def test_the_pages_are_there_for_whom_they_are_for() -> None:
    from console import nav

    shown = {
        key: {str(r) for r in Role if key in {p.key for p in nav.pages_for(frozenset({r}))}}
        for key in ("groups", "patient_access", "break_glass", "glass_review")
    }
    assert {
        "groups": {"admin", "manager"},
        "patient_access": {"admin", "manager"},
        "break_glass": {"reception", "radiographer", "radiologist"},
        "glass_review": {"admin", "manager"},
    } == shown
