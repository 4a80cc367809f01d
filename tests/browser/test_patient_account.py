"""An account in real Chromium: the slip on a phone, the second factor, the list, the images, and the way out."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Page, Route

from core import people
from core.rules.roles import Permission
from core.store.model import SecurityKey
from core.store.work import system
from tests.browser.test_patient_link import painted, wait_for
from tests.browser.test_signin import KEY
from tests.fixtures.browser import HERE, PHONE, expect
from tests.fixtures.house import PASSWORD
from tests.fixtures.ward import Ward
from tests.services.test_gateway_account import slip_for

PICTURES = Path(__file__).parents[2] / "docs" / "img"


def give_password(ward: Ward, page: Page, login: str) -> None:
    ward.ticks[0] += 3600
    page.goto(f"{ward.url}/account")
    page.get_by_label("Name").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="One more step").wait_for()


def sign_in(ward: Ward, page: Page, login: str) -> None:
    give_password(ward, page, login)
    page.get_by_label("Six-digit code").fill(ward.code(login))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/account/studies")


def keep_picture(page: Page, name: str) -> None:
    """The pages as docs/img shows them: taken anew with PICTURES=1."""
    if os.environ.get("PICTURES"):
        page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def no_wider_than_the_screen(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_patient_signs_in_on_a_phone_looks_at_images_and_report_and_signs_out(ward, phone, complaints):
    sign_in(ward, phone, "thando")
    expect(phone.get_by_role("heading", level=1)).to_have_text("Your examinations")
    expect(phone.get_by_role("heading", level=2)).to_have_text(["CT chest", "CT brain"])
    assert no_wider_than_the_screen(phone)
    keep_picture(phone, "account-patient-phone")
    phone.get_by_role("link", name="Images and report: CT brain").click()
    phone.wait_for_url("**/view/")
    wait_for(phone, "ready")
    painted(phone)
    phone.get_by_role("tab", name="Report").click()
    expect(phone.locator("#report")).to_contain_text("The brain is normal.", use_inner_text=True)
    assert "This link works until" not in phone.inner_text("body")
    phone.get_by_role("button", name="All examinations").click()
    phone.get_by_role("button", name="Sign out").click()
    expect(phone.get_by_role("heading", level=1)).to_have_text("You are signed out")
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
    wait_for(page, "ended")
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
    expect(card).to_contain_text(re.compile("Nkosi-Müller, Thandô\\s+File \\d+"), use_inner_text=True)
    assert no_wider_than_the_screen(page)
    if scheme == "light":
        keep_picture(page, "account-referrer-desk")
    assert [] == complaints


def test_the_slip_is_followed_with_a_keyboard_alone(ward, phone, complaints):
    ward.ticks[0] += 3600
    phone.goto(f"{ward.url}/account/activate")
    expect(phone.get_by_role("textbox")).to_be_focused()
    phone.keyboard.type(slip_for(ward, "keyboard"))
    phone.keyboard.press("Enter")
    expect(phone.get_by_label("Your new password")).to_be_focused()
    for key in ("purple oxen sing at dawn", "Tab", "purple oxen sing at dawn", "Enter"):
        phone.keyboard.press(key) if key in ("Tab", "Enter") else phone.keyboard.type(key)
    expect(phone.get_by_label("Six-digit code")).to_be_focused()
    secret = "".join(phone.locator(".secret").text_content().split())
    phone.keyboard.type(pyotp.TOTP(secret).at(ward.test.clock.at))
    phone.keyboard.press("Enter")
    phone.get_by_role("heading", name="Write these ten codes down").wait_for()
    expect(phone.locator(".codes li")).to_have_count(10)
    assert no_wider_than_the_screen(phone)
    assert [] == complaints


@pytest.fixture
def with_finger(phone: Page) -> Page:
    """A phone that knows its owner's finger."""
    cdp = phone.context.new_cdp_session(phone)
    cdp.send("WebAuthn.enable")
    cdp.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})
    return phone


def test_a_patient_sets_up_their_finger_signs_in_with_it_and_takes_it_away(ward, with_finger):
    phone, ward = with_finger, replace(ward, url=ward.url.replace("127.0.0.1", "localhost"))
    sign_in(ward, phone, "thando")
    phone.get_by_role("link", name="My account").click()
    expect(phone.get_by_role("link", name="Fingerprint or face: Set up")).to_be_visible()
    assert no_wider_than_the_screen(phone)
    keep_picture(phone, "account-me-phone")
    phone.get_by_role("link", name="Fingerprint or face: Set up").click()
    phone.get_by_role("link", name="Add this phone or computer").click()
    phone.get_by_label("Six-digit code").fill(ward.code("thando"))
    phone.get_by_role("button", name="Confirm").click()
    phone.get_by_label("What do you call it?").fill("Thandô's phone")
    phone.get_by_role("button", name="Use fingerprint or face").click()
    phone.get_by_text("This is set up.").wait_for()
    assert no_wider_than_the_screen(phone)
    phone.get_by_role("button", name="Sign out", exact=True).click()
    give_password(ward, phone, "thando")
    assert no_wider_than_the_screen(phone)
    phone.get_by_role("button", name="Use fingerprint or face").click()
    phone.get_by_role("heading", name="Your examinations").wait_for()
    phone.goto(f"{ward.url}/account/me/keys")
    phone.get_by_role("link", name="Take away Thandô's phone").click()
    phone.get_by_role("button", name="Use fingerprint or face").click()
    phone.get_by_role("button", name="Take it away").click()
    phone.get_by_text("It opens nothing any more.").wait_for()


def test_without_scripts_a_code_is_enough_and_nothing_stands_alone(ward, browser):
    ward = replace(ward, url=ward.url.replace("127.0.0.1", "localhost"))
    give_key(ward, "botha")
    page = browser.new_context(**HERE, **PHONE, java_script_enabled=False).new_page()
    sign_in(ward, page, "botha")
    page.goto(f"{ward.url}/account/me/confirm?for=factors&next=/account/me/recovery")
    expect(page.get_by_label("Six-digit code")).to_be_visible()
    expect(page.get_by_text("or", exact=True)).to_be_hidden()
    page.get_by_label("Six-digit code").fill(ward.code("botha"))
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("button", name="Make ten new codes").wait_for()


def give_key(ward: Ward, login: str) -> None:
    """A key, by the verbs."""
    with ward.test.house.work(system()) as work, work.tend(Permission.PEOPLE_FOUND):
        person = people.by_login(work, login)
        work.db.add(
            SecurityKey(
                id=work.new_id(),
                origin="01",
                person_id=person.id,
                credential_id=login.encode(),
                public_key=b"x",
                sign_count=0,
                name="Any",
                transports=[],
                made_at=work.now(),
            )
        )
