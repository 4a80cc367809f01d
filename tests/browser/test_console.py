"""The console in a real browser: every page of every role, and the work that people do in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page

from console import nav
from core import reporting, sessions, workflow
from core.rules.roles import STAFF, Role
from core.rules.steps import Status
from tests.fixtures.browser import DESK, HERE, PATIENCE_MS, expect
from tests.fixtures.console import COOKIE, CORRECTED, Console, log_of

# Pages that are about something say so in their address.
ABOUT = {"study": "reporting", "claim": "signed"}
TEXT = ".st-key-report-text textarea"


@contextmanager
def at_desk(
    browser: Browser, console: Console, role: str, *, token: str = ""
) -> Iterator[tuple[Page, list[str]]]:
    """A page of somebody who is signed in, and what the browser complained about.

    Streamlit's script asks below a page's address whether its server is there, and is told no: that is no complaint.
    """
    context = browser.new_context(**HERE, **DESK)
    context.add_cookies(
        [
            {
                "name": COOKIE,
                "value": token or console.token(role),
                "url": console.url,
                "httpOnly": True,
                "sameSite": "Strict",
            }
        ]
    )
    page, complaints = context.new_page(), []
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: (
            complaints.append(f"{said.text} {said.location['url']}")
            if said.type == "error" and "/_stcore/" not in said.location["url"]
            else None
        ),
    )
    yield page, complaints
    context.close()


def settled(page: Page) -> None:
    """Until the page has been drawn once and nothing runs."""
    page.wait_for_selector("[data-testid=stApp]")
    page.wait_for_selector("h1, .sorg-banner, .sorg-empty")
    page.wait_for_selector('[data-testid=stApp]:not([data-test-script-state="running"])')


def report_text(page: Page) -> Locator:
    """The field of the report. Streamlit draws it empty and then fills it, over what a test had written meanwhile."""
    field = page.locator(TEXT)
    expect(field).not_to_have_value("")
    return field


def press_cell(page: Page, table: Locator, x: float, y: float) -> None:
    """Press what is drawn so far from the table's corner: its cells are no elements, and it may still be moving."""
    settled(page)
    expect(table.get_by_test_id("data-grid-canvas")).to_be_visible()
    table.scroll_into_view_if_needed()
    before, box = None, table.bounding_box()
    while box is None or before != box:
        page.wait_for_timeout(150)
        before, box = box, table.bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + y)


@pytest.mark.parametrize("role", STAFF)
def test_every_page_of_a_role_is_drawn_without_trouble(
    browser: Browser, console: Console, role: Role
) -> None:
    pages = nav.pages_for(frozenset({role}))
    with at_desk(browser, console, role) as (page, complaints):
        for row in pages:
            about = f"?study={console.studies[ABOUT[row.key]]}" if row.key in ABOUT else ""
            page.goto(f"{console.url}/{row.key}{about}")
            settled(page)
            said = page.inner_text("[data-testid=stMain]")
            assert "Something went wrong" not in said and "Traceback" not in said, (row.key, said)
            assert page.locator("[data-testid=stException]").count() == 0, row.key
        titles = [r.title for g in nav.GROUPS for r in pages if r.group == g and r.in_menu]
        links = page.locator("[data-testid=stSidebarNavLink]")
        expect(links).to_have_count(len(titles))
        assert titles == [m.strip().split("\n")[-1] for m in links.all_inner_texts()]
        assert [] == complaints
    assert "trouble" not in log_of(console)


def test_each_role_begins_where_its_work_is(browser: Browser, console: Console) -> None:
    for role, page_key in (
        (Role.RADIOLOGIST, "reading_list"),
        (Role.TRANSCRIPTIONIST, "transcription"),
        (Role.RECEPTION, "board"),
    ):
        with at_desk(browser, console, role) as (page, _):
            page.goto(console.url)
            page.wait_for_url(f"**/{page_key}")


def test_signing_in_by_hand_shows_the_page_that_was_asked_for(browser: Browser, console: Console) -> None:
    context = browser.new_context(**HERE, **DESK, java_script_enabled=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{console.url}/patients")
    page.get_by_label("Name").fill("manager")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    page.get_by_label("Six-digit code").fill(console.code_now("manager"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/patients")
    settled(page)
    expect(page.get_by_role("heading", name="Patients")).to_be_visible()
    assert COOKIE not in page.evaluate("document.cookie")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    expect(page.get_by_label("Password")).to_be_visible()
    context.close()


def test_a_page_whose_session_was_ended_says_so_at_its_next_step(browser: Browser, console: Console) -> None:
    token = console.fresh_token("analyst")
    analyst = console.test.actors["analyst"].person
    session = console.test.do("admin", sessions.sessions, person_id=analyst)[0]
    with at_desk(browser, console, "analyst", token=token) as (page, _):
        page.goto(f"{console.url}/my_account")
        settled(page)
        console.test.do("admin", sessions.end_session, session.id)
        page.get_by_role("link", name="Insight").first.click()
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


def test_a_patients_arrival_is_one_press_on_the_board_and_the_board_shows_it(
    browser: Browser, console: Console
) -> None:
    with at_desk(browser, console, "reception") as (page, complaints):
        page.goto(f"{console.url}/study?study={console.studies['booked']}")
        settled(page)
        page.get_by_role("button", name="Patient is here").click()
        expect(page.locator(".sorg-banner")).to_contain_text("Waiting")
        assert [] == complaints
    card = console.test.do("reception", workflow.open_study, console.studies["booked"])
    assert Status.WAITING == card.row.status


def test_an_arrival_without_consent_is_refused_in_words(browser: Browser, console: Console) -> None:
    with at_desk(browser, console, "reception") as (page, _):
        page.goto(f"{console.url}/study?study={console.studies['unasked']}")
        settled(page)
        page.get_by_role("button", name="Patient is here").click()
        expect(page.get_by_text("Record the patient's consent to the examination first")).to_be_visible()


def test_the_radiologist_sees_the_images_beside_the_report_and_saves_it(
    browser: Browser, console: Console
) -> None:
    study = console.studies["reporting"]
    with at_desk(browser, console, "radiologist") as (page, complaints):
        page.goto(f"{console.url}/study?study={study}")
        settled(page)
        viewer = page.frame_locator("iframe")
        expect(viewer.locator("canvas").first).to_be_visible()
        report_text(page).fill(CORRECTED)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Version 1, saved")).to_be_visible()
        assert [] == complaints
    kept = console.test.do("radiologist", reporting.open_desk, study)
    assert CORRECTED == kept.current.text


def test_a_text_that_somebody_else_made_newer_is_shown_beside_and_neither_is_lost(
    browser: Browser, console: Console
) -> None:
    study = console.studies["scanned"]
    console.test.do("radiologist", reporting.begin, study)
    with at_desk(browser, console, "radiologist") as (page, _):
        page.goto(f"{console.url}/study?study={study}")
        settled(page)
        console.test.do("radiologist", reporting.save, study, text="Written at another desk.", based_on=None)
        report_text(page).fill("Written here.")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Somebody saved a newer text meanwhile")).to_be_visible()
        expect(page.locator(".sorg-text", has_text="Written at another desk.")).to_be_visible()
        expect(page.locator(TEXT)).to_have_value("Written here.")


def test_signing_shows_what_was_changed_and_then_the_sealed_report(
    browser: Browser, console: Console
) -> None:
    study = console.studies["proofreading"]
    with at_desk(browser, console, "radiologist") as (page, complaints):
        page.goto(f"{console.url}/sign_off?study={study}")
        settled(page)
        expect(page.locator("del", has_text="ventricals")).to_be_visible()
        expect(page.locator("ins", has_text="ventricles")).to_be_visible()
        code = page.get_by_label("Code from your authenticator")
        code.fill("000000")
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_text("That code is not right")).to_be_visible()
        code.fill(console.code_now("radiologist"))
        page.get_by_role("button", name="Sign", exact=True).click()
        expect(page.get_by_text("fits the text")).to_be_visible()
        # A radiologist has no System health: they read whom to tell.
        expect(page.get_by_text("If it is not there in an hour, tell your practice's admin")).to_be_visible()
        expect(page.get_by_text("System health")).to_have_count(0)
        assert [] == complaints
    assert console.test.do("radiologist", reporting.read_signed, study).is_intact
