"""An admin's day with a key, in Chromium with a virtual one: shut, opened by the first key, shut again, opened by a touch."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser
from sqlalchemy import select

from core.rules.roles import Permission
from core.store.model import SecurityKey
from core.store.work import system
from tests.browser.test_access_pages import KEY
from tests.browser.test_console import at_desk
from tests.fixtures.browser import expect
from tests.fixtures.console import COOKIE, Console, early_house, serving

WAIT_MS = 60_000
WITHOUT = "You are signed in without your key"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console where admins need keys, at the name at which browsers take them."""
    test = early_house(tmp_path_factory.mktemp("strict") / "home")
    with serving(test, SORG_ADMINS_NEED_KEYS="yes") as running:
        running.url = running.url.replace("127.0.0.1", "localhost")
        yield running
    test.house.engine.dispose()


def test_what_admins_do_is_shut_until_the_key_is_touched_and_again_once_it_is_gone(
    browser: Browser, strict: Console
) -> None:
    with at_desk(browser, strict, "admin") as (page, complaints):
        cdp = page.context.new_cdp_session(page)
        cdp.send("WebAuthn.enable")
        cdp.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})
        menu = page.get_by_test_id("stSidebarNav")

        def token() -> str:
            return next(c["value"] for c in page.context.cookies() if c["name"] == COOKIE)

        # A bookmark of an admin's page says how it opens; there is nothing in it but that.
        page.goto(f"{strict.url}/people")
        expect(page.get_by_text("This page opens with your key")).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_text("You have no key yet")).to_be_visible()
        expect(page.get_by_text("of 8 people")).to_have_count(0)
        first = token()
        page.get_by_role("link", name="Add my first key").click()
        page.get_by_label("Six-digit code").fill(strict.code_now("admin"))
        page.get_by_role("button", name="Confirm").click()
        page.get_by_label("What do you call it?").fill("blue key")
        page.get_by_role("button", name="Set up this key").click()
        expect(page.get_by_text("Your key is set up")).to_be_visible(timeout=WAIT_MS)
        page.goto(f"{strict.url}/people")
        expect(page.get_by_text("of 8 people")).to_be_visible(timeout=WAIT_MS)
        expect(menu).to_contain_text("Audit trail")
        assert first != token() and [] == complaints

        # The same person at another desk, with password and code alone.
        strict.test.clock.at = datetime.now(UTC)
        page.context.clear_cookies()
        page.context.add_cookies(
            [
                {
                    "name": COOKIE,
                    "value": strict.fresh_token("admin"),
                    "url": strict.url,
                    "httpOnly": True,
                    "sameSite": "Strict",
                }
            ]
        )
        page.goto(f"{strict.url}/people")
        expect(page.get_by_text(WITHOUT)).to_be_visible(timeout=WAIT_MS)
        before = token()
        # With a code there is no way to another key.
        page.goto(f"{strict.url}/account/keys/new")
        expect(page.get_by_text("is changed with your key")).to_be_visible()
        expect(page.get_by_label("Six-digit code")).to_have_count(0)
        page.goto(f"{strict.url}/people")
        page.get_by_role("link", name="Touch my key").click()
        page.get_by_role("button", name="Confirm with your key").click()
        # Back where it began, and open.
        expect(page.get_by_text("of 8 people")).to_be_visible(timeout=WAIT_MS)
        assert page.url.endswith("/people") and before != token()

        # The key is shut as a copy while this page lies open: the next step of the same websocket is shut.
        with strict.test.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
            for key in work.db.scalars(select(SecurityKey)):
                key.ended_at, key.ended_why = strict.test.clock.at, "copied"
        menu.get_by_role("link", name="Requests").click()
        expect(page.get_by_text("This page opens with your key")).to_be_visible(timeout=WAIT_MS)
        expect(page.get_by_text("You have no key yet")).to_be_visible(timeout=WAIT_MS)
        assert [] == complaints
