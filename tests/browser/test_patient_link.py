"""The link on a phone, in real Chromium: tapped in a message, answered, looked at, and shut again."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.fixtures.browser import DESK, HERE, PHONE, eventually, expect
from tests.fixtures.door import Door

PICTURES = Path(__file__).parents[2] / "docs" / "img"
BRIGHTEST = """() => {
  let most = 0;
  for (const c of document.querySelectorAll('canvas')) {
    const flat = document.createElement('canvas'); flat.width = c.width; flat.height = c.height;
    if (!c.width || !c.height) continue;
    const pen = flat.getContext('2d'); pen.drawImage(c, 0, 0);
    for (const v of pen.getImageData(0, 0, c.width, c.height).data.filter((_, i) => i % 4 < 3)) most = Math.max(most, v);
  }
  return most;
}"""


def type_day(page: Page, day: str, month: str, year: str) -> None:
    page.get_by_label("Day").fill(day)
    page.get_by_label("Month").fill(month)
    page.get_by_label("Year").fill(year)
    page.get_by_role("button", name="Open my images").click()


def wait_for(page: Page, state: str, *, seconds: int = 60) -> None:
    """The viewer says in one word where it is; the page's own policy forbids scripts that a test would inject."""
    for _ in range(seconds * 5):
        if page.evaluate("document.body.dataset.state") == state:
            return
        page.wait_for_timeout(200)
    raise AssertionError(
        f"still {page.evaluate('document.body.dataset.state')}: {page.inner_text('body')[:300]}"
    )


def painted(page: Page) -> None:
    """The picture may reach the canvas a frame after the page says that it is ready."""
    eventually(lambda: page.evaluate(BRIGHTEST) > 100, what="nothing was painted")


@pytest.fixture
def messenger() -> Iterator[str]:
    """A page on another site (another host name) with a link in it, as a message in a web messenger is."""
    target = {"url": ""}

    class Message(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            target["url"] = self.path.partition("?to=")[2] or target["url"]
            body = f"<!doctype html><a id=link href='{target['url']}'>Your images</a>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a test is no place for an access log."""

    # Browsers open connections in advance: one that says nothing must not keep the others waiting.
    server = ThreadingHTTPServer(("127.0.0.1", 0), Message)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}/?to="
    server.shutdown()
    server.server_close()


def test_a_patient_taps_the_link_answers_and_sees_images_and_report(
    door: Door, phone: Page, messenger, complaints
):
    link = door.mint()
    phone.goto(messenger + link.url)
    phone.locator("#link").click()
    expect(phone.get_by_role("heading")).to_have_text("Your images and report are ready")
    expect(phone.locator("header")).to_contain_text("Ubuntu Radiology", use_inner_text=True)
    type_day(phone, "1", "1", "1980")
    phone.wait_for_url("**/view/")
    wait_for(phone, "ready")
    painted(phone)
    expect(phone.locator("body")).to_contain_text("Thandô", use_inner_text=True)
    phone.get_by_role("tab", name="Report").click()
    expect(phone.locator("#report")).to_contain_text("The brain is normal.", use_inner_text=True)
    assert [] == complaints
    token = link.url.rsplit("/", 1)[1]
    assert token not in phone.url + phone.content() + phone.evaluate("document.referrer + document.cookie")


def test_tapping_the_same_link_again_from_the_message_goes_straight_to_the_images(
    door: Door, phone: Page, messenger
):
    """A Strict cookie stays at home when another site leads here; our own page asks for it."""
    link = door.mint()
    for visit in range(2):
        phone.goto(messenger + link.url)
        phone.locator("#link").click()
        if visit == 0:
            type_day(phone, "1", "1", "1980")
        phone.wait_for_url("**/view/")
        wait_for(phone, "ready")


def test_another_device_is_told_kindly(door: Door, phone: Page, browser: Browser, messenger):
    link = door.mint()
    door.opened(link).close()
    phone.goto(messenger + link.url)
    phone.locator("#link").click()
    phone.wait_for_url("**?again=1")
    expect(phone.get_by_role("heading")).to_contain_text("already open on another device")
    expect(phone.get_by_role("link", name="Call 021 555 0100")).to_have_attribute("href", "tel:0215550100")


def test_the_viewer_shuts_when_the_practice_withdraws_the_link(door: Door, phone: Page):
    link = door.mint()
    phone.goto(link.url)
    type_day(phone, "1", "1", "1980")
    phone.wait_for_url("**/view/")
    wait_for(phone, "ready")
    door.revoke(link)
    phone.reload()
    wait_for(phone, "ended")
    expect(phone.locator("body")).to_contain_text("withdrawn", use_inner_text=True)
    expect(phone.locator("canvas")).to_have_count(0)


def test_who_closes_the_images_is_out_on_this_device_too(door: Door, phone: Page):
    link = door.mint()
    phone.goto(link.url)
    type_day(phone, "1", "1", "1980")
    phone.wait_for_url("**/view/")
    wait_for(phone, "ready")
    phone.get_by_role("button", name="I am done").click()
    phone.get_by_role("button", name="Yes, close them").click()
    wait_for(phone, "ended")
    phone.goto(link.url)
    expect(phone.get_by_role("heading")).to_have_text("You have closed your images")


def test_the_page_works_without_scripts_by_keyboard_and_names_its_fields(door: Door, browser: Browser):
    context = browser.new_context(java_script_enabled=False, **HERE, **DESK)
    page = context.new_page()
    page.goto(door.mint().url)
    page.keyboard.press("Tab")
    for text in ("1", "1", "1981"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not the date of birth")
    expect(page.get_by_label("Year")).to_have_attribute("aria-invalid", "true")
    type_day(page, "01", "01", "1980")
    page.wait_for_url("**/view/")
    context.close()


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1440])
def test_nothing_sticks_out_at_any_width(door: Door, browser: Browser, width):
    context = browser.new_context(**HERE, viewport={"width": width, "height": 700})
    page = context.new_page()
    page.goto(door.mint().url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        "[...document.querySelectorAll('input:not([type=hidden]), button')].filter(e => e.offsetHeight < 44).length"
    )
    assert 0 == small
    context.close()


# The pages as docs/img shows them: taken anew with PICTURES=1, walked in every run -------------------------------------


ENDINGS = {
    "fresh": "Your images and report are ready",
    "wrong": "Please try once more",
    "used": "This link is already open on another device",
    "expired": "This link no longer works",
    "revoked": "The practice has withdrawn this link",
}


def _shots(context: BrowserContext, door: Door, kind: str) -> None:
    page = context.new_page()

    def shoot(name: str) -> None:
        expect(page.get_by_role("heading").first).to_have_text(ENDINGS[name])
        if os.environ.get("PICTURES"):
            page.screenshot(path=PICTURES / f"link-{name}-{kind}.png")

    fresh = door.mint()
    page.goto(fresh.url)
    shoot("fresh")
    type_day(page, "2", "1", "1980")
    shoot("wrong")
    used = door.mint()
    door.opened(used).close()
    page.goto(used.url)
    shoot("used")
    page.goto(f"{door.url}/s/{'A' * 43}")
    shoot("expired")
    door.revoke(fresh)
    page.goto(fresh.url)
    shoot("revoked")


@pytest.mark.parametrize(("kind", "device"), [("phone", PHONE), ("desk", DESK)])
def test_every_ending_has_its_own_words(door: Door, browser: Browser, kind, device):
    context = browser.new_context(**HERE, **device)
    _shots(context, door, kind)
    context.close()
