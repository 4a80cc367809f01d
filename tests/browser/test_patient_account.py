"""An account in real Chromium: the slip on a phone, the second factor, the list, the images, and the way out."""

import os
import re
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Page, Route

from tests.browser.test_patient_link import BRIGHTEST, wait_for
from tests.fixtures.house import PASSWORD
from tests.fixtures.ward import Ward
from tests.services.test_gateway_account import slip_for

PICTURES = Path(__file__).parents[2] / "docs" / "img"


def sign_in(ward: Ward, page: Page, login: str) -> None:
    ward.ticks[0] += 3600
    page.goto(f"{ward.url}/account")
    page.get_by_label("Name").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Six-digit code").fill(ward.code(login))
    page.get_by_role("button", name="Sign in").click()


def keep_picture(page: Page, name: str) -> None:
    """The pages as docs/img shows them: taken anew with PICTURES=1."""
    if os.environ.get("PICTURES"):
        page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def no_wider_than_the_screen(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_patient_signs_in_on_a_phone_looks_at_images_and_report_and_signs_out(ward, phone, complaints):
    sign_in(ward, phone, "thando")
    assert "Your examinations" == phone.get_by_role("heading", level=1).inner_text()
    assert ["CT chest", "CT brain"] == phone.get_by_role("heading", level=2).all_inner_texts()
    assert no_wider_than_the_screen(phone)
    keep_picture(phone, "account-patient-phone")
    phone.get_by_role("link", name="Images and report: CT brain").click()
    phone.wait_for_url("**/view/")
    wait_for(phone, "ready")
    assert phone.evaluate(BRIGHTEST) > 100
    phone.get_by_role("tab", name="Report").click()
    assert "The brain is normal." in phone.locator("#report").inner_text()
    assert "This link works until" not in phone.inner_text("body")
    phone.get_by_role("button", name="All examinations").click()
    phone.get_by_role("button", name="Sign out").click()
    assert "You are signed out" == phone.get_by_role("heading", level=1).inner_text()
    phone.go_back()
    assert "CT brain" not in phone.inner_text("body")
    assert [] == complaints


def test_a_visit_that_ends_in_the_viewer_says_so_and_leads_back_to_the_door(ward, page):
    sign_in(ward, page, "thando")

    def too_late(route: Route) -> None:
        ward.test.clock.pass_(minutes=16)
        route.continue_()

    page.route("**/manifest", too_late)
    page.get_by_role("link", name="Images and report: CT brain").click()
    page.wait_for_url("**/view/")
    page.get_by_role("heading", name="You are signed out").wait_for()
    assert "ended" == page.evaluate("document.body.dataset.state")
    page.get_by_role("button", name="Sign in again").click()
    page.get_by_text("After 15 minutes without use").wait_for()
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("Password").wait_for()


def test_somebody_elses_examination_looks_like_none_and_leads_back_to_the_list(ward, page):
    sign_in(ward, page, "thando")
    page.goto(f"{ward.url}/account/studies/{ward.foreign}/view/")
    page.get_by_role("heading", name="Nothing was found here").wait_for()
    page.get_by_role("button", name="All examinations").click()
    page.get_by_role("heading", name="Your examinations").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_doctor_reads_whose_examination_it_is_at_a_desk(ward, page, complaints, scheme):
    page.emulate_media(color_scheme=scheme)
    sign_in(ward, page, "molefe")
    card = page.get_by_role("listitem").filter(has_text="CT brain")
    assert re.search("Nkosi-Müller, Thandô\\s+File \\d+", card.inner_text())
    assert no_wider_than_the_screen(page)
    if scheme == "light":
        keep_picture(page, "account-referrer-desk")
    assert [] == complaints


def test_the_slip_is_followed_with_a_keyboard_alone(ward, phone, complaints):
    ward.ticks[0] += 3600
    phone.goto(f"{ward.url}/account/activate")
    phone.keyboard.type(slip_for(ward, "keyboard"))
    phone.keyboard.press("Enter")
    phone.get_by_label("Your new password").wait_for()
    for key in ("purple oxen sing at dawn", "Tab", "purple oxen sing at dawn", "Enter"):
        phone.keyboard.press(key) if key in ("Tab", "Enter") else phone.keyboard.type(key)
    phone.get_by_label("Six-digit code").wait_for()
    secret = "".join(phone.locator(".secret").text_content().split())
    phone.keyboard.type(pyotp.TOTP(secret).at(ward.test.clock.at))
    phone.keyboard.press("Enter")
    phone.get_by_role("heading", name="Write these ten codes down").wait_for()
    assert 10 == phone.locator(".codes li").count()
    assert no_wider_than_the_screen(phone)
    assert [] == complaints
