"""The browser tests' own `expect`: patient while a page settles, and no milder than Playwright's."""

import pytest
from playwright.sync_api import Error, Page

from tests.fixtures import browser as fixture
from tests.fixtures.browser import expect

TWICE = "<p>Nowhere else.</p><p id='old'>Nowhere else.</p>"


def test_a_sentence_that_stands_twice_while_the_page_settles_is_waited_for(page: Page) -> None:
    page.set_content(
        TWICE + "<script>setTimeout(() => document.getElementById('old').remove(), 400)</script>"
    )
    expect(page.get_by_text("Nowhere else.")).to_be_visible()


def test_a_sentence_that_stands_twice_for_good_fails(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixture, "TWICE_MS", 300)
    page.set_content(TWICE)
    with pytest.raises(AssertionError, match="strict mode violation"):
        expect(page.get_by_text("Nowhere else.")).to_be_visible()


def test_another_failure_is_told_at_once(page: Page) -> None:
    page.set_content("<p>Somewhere</p>")
    with pytest.raises(AssertionError, match="expected to have text"):
        expect(page.locator("p")).to_have_text("Nowhere else.", timeout=100)


def test_what_stands_twice_while_the_page_settles_is_pressed_once_it_stands_once(page: Page) -> None:
    page.set_content(
        "<button>Done</button><button id='old'>Done</button>"
        "<script>onclick = (press) => document.body.append(press.target.id || 'new'); "
        "setTimeout(() => document.getElementById('old').remove(), 400)</script>"
    )
    page.get_by_role("button", name="Done").click()
    assert "Donenew" == page.locator("body").inner_text().replace(" ", "")


def test_what_stands_twice_for_good_is_not_pressed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixture, "TWICE_MS", 300)
    page.set_content(TWICE + "<script>onclick = () => document.body.append('pressed')</script>")
    with pytest.raises(Error, match="strict mode violation"):
        page.get_by_text("Nowhere else.").click()
    assert "pressed" not in page.locator("body").inner_text()


def test_a_press_waits_until_what_it_is_for_has_stopped_moving(page: Page) -> None:
    page.set_content(
        """<div id="box" style="overflow:hidden">More</div><button onclick="this.textContent = 'Pressed'">Press</button>
        <script>
          document.addEventListener("mousedown", () => { window.moved = document.getAnimations().length; });
          document.getElementById("box").animate({height: ["0px", "300px"]}, {duration: 700});
        </script>"""
    )
    page.get_by_role("button").click()
    expect(page.get_by_role("button")).to_have_text("Pressed")
    assert 0 == page.evaluate("window.moved")
