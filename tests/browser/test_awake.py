"""Who is at the desk stays signed in, who is not does not; and what was typed outlives the session, for its writer alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute
from sqlalchemy import select
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from core import reporting, sessions
from core.rules.roles import Permission
from core.store.model import SignInSession
from core.store.work import Work, nobody
from core.tokens import hash_token
from tests.browser.test_console import TEXT, at_desk, report_text, settled
from tests.fixtures.browser import eventually, expect
from tests.fixtures.console import COOKIE, CORRECTED, DRAFT, Console, serving
from tests.fixtures.scanner import Radiology

TYPED = "CONCLUSION\nTyped, and not saved."
IDLE_S = 120
EVERY_S = IDLE_S / 15
# Rested so long, a session has half a minute left: enough for a busy machine, and its page warns.
NEARLY_S, OVER_S = IDLE_S - 30, IDLE_S + 1


@pytest.fixture(scope="module")
def brief(practice_with_images: Radiology) -> Iterator[Console]:
    """A console whose sessions rest after two minutes, over reports that were begun."""
    there = practice_with_images
    studies = {}
    for n, name in enumerate(("mine", "left", "other", "waits", "theirs")):
        studies[name] = there.booked(family_name=f"Person{n}", membership_number=str(n))
        there.scan(studies[name], salt=name)
    there.settle()
    for name in studies:
        there.do("radiologist", reporting.begin, studies[name])
    with serving(there.test, there.child, SORG_SESSION_IDLE_MINUTES="2") as desk:
        desk.studies = studies
        yield desk


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png")


def seated(desk: Console, role: str, *, rested_s: float = 0) -> str:
    """A new session of this role, last used so long ago."""
    token = desk.fresh_token(role)
    rest(desk, token, rested_s)
    return token


def rest(desk: Console, token: str, seconds: float) -> datetime:
    """Let the session have rested so long already: nobody waits for it."""
    at = datetime.now(UTC) - timedelta(seconds=seconds)
    with desk.test.house.work(nobody(channel="test")) as work, work.tend(Permission.SIGN_IN):
        _session(work, token).seen_at = at
    return at


def used_at(desk: Console, token: str) -> datetime:
    with desk.test.house.work(nobody(channel="test")) as work, work.look(Permission.SIGN_IN):
        return _session(work, token).seen_at


def _session(work: Work, token: str) -> SignInSession:
    return work.db.scalars(select(SignInSession).where(SignInSession.token_hash == hash_token(token))).one()


def open_report(page: Page, desk: Console, study: UUID, *, on: str = "study") -> None:
    page.goto(f"{desk.url}/{on}?study={study}")
    settled(page)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).first.click()  # a shortcut is part of a button's name


def finished_runs(page: Page) -> list[bytes]:
    """Grows with each run of a page that the console has finished; to be asked for before the page is opened."""
    runs: list[bytes] = []

    def hear(frame: str | bytes) -> None:
        if isinstance(frame, bytes) and ForwardMsg.FromString(frame).HasField("script_finished"):
            runs.append(frame)

    page.on("websocket", lambda wire: wire.on("framereceived", hear))
    return runs


def texts(desk: Console, study: UUID) -> list[str]:
    return [v.text for v in desk.test.do("radiologist", reporting.open_desk, study).versions]


def test_typing_keeps_a_session_awake_without_leaving_the_field(browser: Browser, brief: Console) -> None:
    token = seated(brief, "radiologist")
    with at_desk(browser, brief, "radiologist", token=token) as (page, complaints):
        open_report(page, brief, brief.studies["mine"])
        report_text(page).focus()
        # The images count, too, and they come on their own.
        expect(page.frame_locator("iframe").locator("body[data-state=ready]")).to_be_attached()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1500)
        rested = rest(brief, token, 50)
        page.wait_for_timeout(1500)
        assert rested == used_at(brief, token)

        def typed_and_heard() -> bool:
            page.keyboard.type("a")
            page.wait_for_timeout(250)
            return used_at(brief, token) > rested

        eventually(typed_and_heard, what="typing kept nothing awake")
        assert "TEXTAREA" == page.evaluate("document.activeElement.tagName")
        assert [] == complaints  # The policy that lets no foreign script run lets this one.
    assert [] == texts(brief, brief.studies["mine"])


def test_a_page_that_draws_itself_anew_keeps_nothing_awake(browser: Browser, brief: Console) -> None:
    token, study = seated(brief, "transcriptionist"), brief.studies["waits"]
    with at_desk(browser, brief, "transcriptionist", token=token) as (page, _):
        page.goto(f"{brief.url}/transcription")
        expect(page.get_by_text("0 waiting, 0 being corrected.")).to_be_visible()
        rested = rest(brief, token, 20)
        brief.test.do("radiologist", reporting.pass_on, study, text=DRAFT, based_on=None)
        expect(page.get_by_text("1 waiting, 0 being corrected.")).to_be_visible()
        page.wait_for_timeout(EVERY_S * 1000 + 500)
        assert rested == used_at(brief, token)


def test_images_and_a_word_from_our_own_page_count_and_nothing_else_does(brief: Console) -> None:
    def asked(method: str, path: str, **headers: str) -> tuple[int, bool]:
        token = seated(brief, "radiologist")
        rested = rest(brief, token, 50)
        with httpx.Client(base_url=brief.url, timeout=60, trust_env=False, cookies={COOKIE: token}) as client:
            answer = client.request(method, path, headers=headers)
        return answer.status_code, used_at(brief, token) > rested

    assert (200, True) == asked("GET", f"/images/{brief.studies['mine']}/manifest")
    assert (204, True) == asked("POST", "/awake", origin=brief.url)
    assert (200, False) == asked("GET", "/awake")
    assert (403, False) == asked("POST", "/awake", origin="https://elsewhere.example")
    assert 401 == httpx.post(f"{brief.url}/awake", timeout=60, trust_env=False).status_code


def test_a_warning_is_answered_by_any_key_and_the_end_is_told(browser: Browser, brief: Console) -> None:
    token, study = seated(brief, "radiologist"), brief.studies["left"]
    with at_desk(browser, brief, "radiologist", token=token) as (page, _):
        page.clock.install()
        open_report(page, brief, study)
        bar = page.locator(".sorg-awake")
        expect(bar).to_have_count(0)
        page.wait_for_timeout(EVERY_S * 1000)  # Opening the page has just counted.
        rested = rest(brief, token, NEARLY_S)
        page.clock.fast_forward(IDLE_S * 1000)
        expect(bar).to_contain_text("Are you still there? You are signed out in less than a minute.")
        picture(page, "awake_warning")
        page.keyboard.press("Shift")
        expect(bar).to_be_hidden()
        assert used_at(brief, token) > rested + timedelta(seconds=60)
        report_text(page).fill(TYPED)
        rest(brief, token, OVER_S)
        page.clock.fast_forward(IDLE_S * 1000)
        expect(bar).to_contain_text("You are signed out. What you typed and did not save is offered to you")
        picture(page, "awake_over")
        # The field is left by this very press.
        bar.get_by_role("link").click()
        page.wait_for_url(f"**/login?next=%2Fstudy%3Fstudy%3D{study}")
    with at_desk(browser, brief, "radiologist", token=seated(brief, "radiologist")) as (page, _):
        open_report(page, brief, study)
        press(page, "Restore")
        expect(page.locator(TEXT)).to_have_value(TYPED)


def test_a_session_over_at_a_server_that_was_away_is_said_by_the_bar_alone(
    browser: Browser, brief: Console
) -> None:
    token, wires = seated(brief, "radiologist"), []

    def through(wire: WebSocketRoute) -> None:
        wires.append(wire)
        wire.connect_to_server()

    with at_desk(browser, brief, "radiologist", token=token) as (page, _):
        page.route_web_socket("**/_stcore/stream", through)
        page.goto(f"{brief.url}/my_account")  # No images, which would count after it is open.
        settled(page)
        rest(brief, token, OVER_S)
        wires[-1].close()  # As a server does that starts anew; nothing was typed, so nothing is promised.
        expect(page.locator(".sorg-awake")).to_have_text("You are signed out.Sign in again")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.locator(".sorg-awake").get_by_role("link").click()
        page.wait_for_url("**/login?next=**")


def test_a_text_outlives_its_session_and_is_restored_and_saved(browser: Browser, brief: Console) -> None:
    study = brief.studies["mine"]
    token = seated(brief, "radiologist")
    with at_desk(browser, brief, "radiologist", token=token) as (page, complaints):
        open_report(page, brief, study)
        report_text(page).fill(TYPED)
        rest(brief, token, OVER_S)
        page.locator(TEXT).blur()
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        expect(page.get_by_text("What you typed and did not save is kept for a day")).to_be_visible()
        picture(page, "awake_ended")
    with at_desk(browser, brief, "radiologist", token=seated(brief, "radiologist")) as (page, complaints):
        open_report(page, brief, study)
        expect(page.get_by_text("You had typed this at")).to_be_visible()
        expect(page.locator(TEXT)).to_have_count(0)
        picture(page, "awake_restore")
        press(page, "Restore")
        expect(page.locator(TEXT)).to_have_value(TYPED)
        page.reload()
        settled(page)
        press(page, "Restore")
        press(page, "Save")
        expect(page.get_by_text("Version 1, saved")).to_be_visible()
        page.reload()
        expect(page.locator(TEXT)).to_have_value(TYPED)
        assert [] == complaints
    assert [TYPED] == texts(brief, study)


def test_a_restored_text_never_replaces_a_newer_one_and_can_be_thrown_away(
    browser: Browser, brief: Console
) -> None:
    study, token = brief.studies["other"], seated(brief, "radiologist")
    with at_desk(browser, brief, "radiologist", token=token) as (page, _):
        runs = finished_runs(page)
        open_report(page, brief, study)
        report_text(page).fill(TYPED)
        before = len(runs)
        page.locator(TEXT).blur()
        eventually(
            lambda: page.locator(TEXT).is_visible() and len(runs) > before,
            what="the text never reached the console",
        )
        # A key touched in another window gives the session a new token: this window is out, its text is not.
        rest(
            brief, token, (datetime.now(UTC) - brief.test.clock.at).total_seconds()
        )  # as the practice's clock has it
        with brief.test.house.work(nobody(channel="console")) as work:
            fresh = sessions.rotate(work, token=token)
        rest(brief, fresh, 0)
        press(page, "Save")
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        brief.test.do("radiologist", reporting.save, study, text=DRAFT, based_on=None)
        page.context.add_cookies(
            [{"name": COOKIE, "value": fresh, "url": brief.url, "httpOnly": True, "sameSite": "Strict"}]
        )
        open_report(page, brief, study)
        expect(page.get_by_text("Restoring yours does not replace it")).to_be_visible()
        press(page, "Restore")
        expect(page.get_by_text("saved a newer text at")).to_be_visible()
        press(page, "Save")
        expect(page.get_by_role("alert").filter(has_text="newer").last).to_be_visible()
        assert [DRAFT] == texts(brief, study)
        page.reload()
        settled(page)
        press(page, "Throw away")
        expect(page.locator(TEXT)).to_have_value(DRAFT)
        page.reload()
        expect(page.locator(TEXT)).to_have_value(DRAFT)


def test_nobody_else_is_shown_what_was_typed(browser: Browser, brief: Console) -> None:
    study, token = brief.studies["theirs"], seated(brief, "transcriptionist")
    based_on = brief.test.do("radiologist", reporting.pass_on, study, text=DRAFT, based_on=None)
    brief.test.do("transcriptionist", reporting.take, study)
    with at_desk(browser, brief, "transcriptionist", token=token) as (page, _):
        open_report(page, brief, study, on="transcription")
        report_text(page).fill(TYPED)
        rest(brief, token, OVER_S)
        page.locator(TEXT).blur()
        expect(page.get_by_text("What you typed and did not save is kept for a day")).to_be_visible()
        # The same tab, somebody else's cookie.
        brief.test.do("transcriptionist", reporting.pass_back, study, text=CORRECTED, based_on=based_on)
        page.context.add_cookies(
            [
                {
                    "name": COOKIE,
                    "value": seated(brief, "radiologist"),
                    "url": brief.url,
                    "httpOnly": True,
                    "sameSite": "Strict",
                }
            ]
        )
        open_report(page, brief, study, on="sign_off")
        expect(page.locator(TEXT)).to_have_value(CORRECTED)
        expect(page.get_by_text("You had typed this")).to_have_count(0)
