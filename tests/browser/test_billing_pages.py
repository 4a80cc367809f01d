"""The billing desk in a real browser: a clerk codes, submits and posts; every problem is on the screen at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page

from console import nav
from core import billing, remittances, workflow
from core.rules.roles import Role
from core.rules.steps import Status
from tests.browser.test_console import at_desk, settled
from tests.fixtures.billing import ready_to_bill, run_errands, signed_study, submit
from tests.fixtures.browser import expect
from tests.fixtures.console import Console, early_house, serving
from tests.fixtures.house import TestHouse

PAGES = ("billing_queue", "claim", "claims", "remittances", "code_tables")


@pytest.fixture(scope="module")
def billing_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console over a practice with signed studies: one to code, one with a gap, one refused, one unreadable."""
    test = ready_to_bill(early_house(tmp_path_factory.mktemp("billing") / "home"))
    wrist = "wrist-left-xray"
    studies = {
        "fresh": signed_study(test, examination=wrist, family_name="Botha"),
        "gap": signed_study(test, examination=wrist, family_name="Naidoo", member_surname=""),
        "refused": signed_study(test, membership="800101000", family_name="Smit"),
        "unreadable": signed_study(test, membership="800101090", family_name="Adams"),
    }
    submit(test, studies["refused"])
    submit(test, studies["unreadable"])
    hear(test)
    # From here on it is now: errands that the console leaves are due.
    test.clock.at = datetime.now(UTC)
    with serving(test) as running:
        running.studies = studies
        yield running
    test.house.engine.dispose()


def hear(test: TestHouse) -> None:
    """What the worker does about the switch."""
    run_errands(test)
    billing.fetch_answers(test.house)
    remittances.fetch_remittances(test.house)


def open_claim(page: Page, desk: Console, study: UUID) -> None:
    page.goto(f"{desk.url}/claim?study={study}")
    settled(page)


def test_a_clerk_codes_submits_and_posts_a_claim(browser: Browser, billing_desk: Console) -> None:
    test, study = billing_desk.test, billing_desk.studies["fresh"]
    with at_desk(browser, billing_desk, "billing") as (page, complaints):
        page.goto(f"{billing_desk.url}/billing_queue")
        settled(page)
        expect(page.get_by_text("STARTER SET", exact=True)).to_be_visible()
        open_claim(page, billing_desk, study)
        expect(page.get_by_text("DEMO PRICE", exact=True).first).to_be_visible()
        expect(page.get_by_role("button", name="Submit claim")).to_be_disabled()
        search = page.get_by_placeholder("Code(s) or words")
        search.fill("headache")
        search.press("Enter")
        expect(page.get_by_role("button", name="R51")).to_be_visible()
        search.fill("s52.50")
        search.press("Enter")
        expect(page.get_by_text("primary", exact=True)).to_be_visible()
        # The field is empty again and still has the cursor: the next code needs no mouse.
        expect(search).to_have_value("")
        page.keyboard.type("w19.99")
        page.keyboard.press("Enter")
        expect(page.get_by_text("W19.99", exact=True)).to_be_visible()
        expect(page.get_by_text("Nothing stops this claim")).to_be_visible()
        page.get_by_role("button", name="Submit claim").click()
        expect(page.get_by_text("On its way", exact=False).first).to_be_visible()
        test.clock.at = datetime.now(UTC)
        hear(test)
        expect(page.get_by_text("Fully Processed", exact=False).first).to_be_visible()
        (payment,), _ = test.do("billing", remittances.remittances, open_only=True)
        page.goto(f"{billing_desk.url}/remittances?remittance={payment.id}")
        settled(page)
        page.get_by_role("button", name="Post R").click()
        expect(page.get_by_text("Posted", exact=False).first).to_be_visible()
        open_claim(page, billing_desk, study)
        expect(page.get_by_text("Settled", exact=False).first).to_be_visible()
        assert [] == complaints
    assert Status.PAID == test.do("billing", workflow.open_study, study).row.status
    desk = test.do("billing", billing.open_claim, study)
    assert (54050, 54050, 0) == (desk.total_cents, desk.paid_cents, desk.owed_by_scheme_cents)


def test_a_claim_without_a_diagnosis_and_with_a_second_problem_shows_both(
    browser: Browser, billing_desk: Console
) -> None:
    with at_desk(browser, billing_desk, "billing") as (page, _):
        open_claim(page, billing_desk, billing_desk.studies["gap"])
        stops = page.get_by_role("alert").filter(has_text="2 things stop this claim")
        expect(stops).to_contain_text("add a diagnosis")
        expect(stops).to_contain_text("main member's surname is missing")
        expect(page.get_by_role("button", name="Submit claim")).to_be_disabled()


def test_a_refused_claim_says_why_in_the_payers_words(browser: Browser, billing_desk: Console) -> None:
    with at_desk(browser, billing_desk, "billing") as (page, _):
        open_claim(page, billing_desk, billing_desk.studies["refused"])
        expect(page.get_by_text("Unknown membership number", exact=False).first).to_be_visible()
        expect(
            page.get_by_text("Nothing was changed since the scheme refused", exact=False).first
        ).to_be_visible()


def test_an_unreadable_answer_is_read_and_dealt_with_on_the_claims_page(
    browser: Browser, billing_desk: Console
) -> None:
    with at_desk(browser, billing_desk, "billing") as (page, _):
        page.goto(f"{billing_desk.url}/claims")
        settled(page)
        page.get_by_text("no claim is named", exact=False).click()
        expect(page.get_by_text("?? 01C", exact=False)).to_be_visible()
        said = page.get_by_label("What did you do about it?")
        said.fill("Called the payer.")
        page.get_by_role("button", name="Dealt with").click()
        expect(page.get_by_text("could not be read", exact=False)).to_have_count(0)


def test_a_price_list_shows_its_refused_line_before_it_is_loaded(
    browser: Browser, billing_desk: Console
) -> None:
    prices = (
        b"code,description,kind,price,valid_from\n65130,Left wrist X-ray,tariff,600.00,2020-01-01\n"
        b"77777,New,tariff,100.00,2026-01-01\n8,Bad,tariff,1.00,2026-01-01\n"
    )
    with at_desk(browser, billing_desk, "admin") as (page, _):
        page.goto(f"{billing_desk.url}/code_tables")
        settled(page)
        page.get_by_text("Load a price list").click()
        page.locator("input[type=file]").last.set_input_files(
            {"name": "prices.csv", "mimeType": "text/csv", "buffer": prices}
        )
        expect(page.get_by_role("button", name="Take 1 new and 1 changed prices")).to_be_visible()
        expect(page.get_by_text("1 rows of the file cannot be used", exact=False)).to_be_visible()


@pytest.mark.parametrize("role", [Role.RECEPTION, Role.RADIOLOGIST, Role.TRANSCRIPTIONIST, Role.ANALYST])
def test_other_roles_cannot_reach_the_billing_pages(
    browser: Browser, billing_desk: Console, role: Role
) -> None:
    assert set() == {row.key for row in nav.pages_for(frozenset({role}))} & set(PAGES)
    with at_desk(browser, billing_desk, role) as (page, _):
        for key in PAGES:
            page.goto(f"{billing_desk.url}/{key}?study={billing_desk.studies['refused']}")
            page.wait_for_selector('[data-testid=stApp]:not([data-test-script-state="running"])')
            assert "Submit claim" not in page.inner_text("body")
            assert "01C0" not in page.inner_text("body")


def test_a_manager_sees_a_claim_and_has_no_button_that_changes_it(
    browser: Browser, billing_desk: Console
) -> None:
    with at_desk(browser, billing_desk, "manager") as (page, _):
        open_claim(page, billing_desk, billing_desk.studies["refused"])
        expect(page.get_by_text("Back for correction", exact=False).first).to_be_visible()
        for name in ("Submit claim", "Save", "Take the claim back"):
            assert 0 == page.get_by_role("button", name=name).count()
