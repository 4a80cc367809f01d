"""A sheet of five thousand in a real browser: tried, asked for, approved, slips printed, and given once more."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page

from core import changes
from core.rules.people_sheet import Known, write_people
from tests.browser.test_console import at_desk, settled
from tests.fixtures.browser import expect
from tests.fixtures.console import Console, early_house, serving
from tests.test_staff_import import second_admin

ROLES = {0: ("nurse",), 1: ("admin", "billing")}  # every twentieth row has a role that there is not
CROWD = write_people(
    [
        Known(f"p.{n:04d}", f"Person {n} É", ("reception",) if n % 20 and n != 4_001 else ROLES[n % 20])
        for n in range(5_000)
    ],
    kind="csv",
)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    test = second_admin(early_house(tmp_path_factory.mktemp("import") / "home"))
    with serving(test) as running:
        for admin in ("admin", "second"):
            running.token(admin)
        yield running
    test.house.engine.dispose()


def give(page: Page, data: bytes) -> None:
    page.locator("input[type=file]").set_input_files(
        {"name": "staff.csv", "mimeType": "text/csv", "buffer": data}
    )


def test_a_sheet_of_five_thousand_goes_its_whole_way(browser: Browser, office: Console) -> None:
    test = office.test
    with at_desk(browser, office, "admin") as (page, complaints):
        page.goto(f"{office.url}/staff_import")
        give(page, CROWD * 40)
        expect(page.get_by_text("at most 5 MB are read. Split it.")).to_be_visible()
        page.get_by_role("button", name="Remove staff.csv").click()
        give(page, CROWD)
        expect(page.get_by_text("New: 4750")).to_be_visible()
        expect(page.get_by_text("250 rows: There is no role 'nurse'")).to_be_visible()
        expect(page.get_by_text("The first 200 of 250 rows.")).to_be_visible()
        settled(page)
        page.get_by_text("New · 4750").click()
        expect(page.get_by_text("The first 200 of 4750 rows.")).to_be_visible()
        settled(page)
        page.get_by_role("textbox", name="Why").fill("New branch")
        page.get_by_role("button", name="Ask for this import").click()
        expect(page.get_by_text("Another admin must approve what you asked for.")).to_be_visible()
        request = UUID(page.url.partition("request=")[2])
        assert [] == complaints
    with at_desk(browser, office, "second") as (page, complaints):
        page.goto(f"{office.url}/requests?request={request}")
        expect(page.get_by_text("Roles that are given: reception 4749, ")).to_be_visible()
        expect(page.get_by_text("New admins among them: p.4001.")).to_be_visible()
        expect(page.get_by_text("… and 4700 more: in the file.")).to_be_visible()
        card = test.do("second", changes.request, request)
        test.do("second", changes.approve, request, digest=card.digest, code=test.code("second"))
        page.reload()
        page.get_by_role("button", name="Print the next 200 slips").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Print: save as PDF").click()
        assert b"/Type/Pages/Count 200/" in saved.value.path().read_bytes()
        page.goto(f"{office.url}/staff_import")
        give(page, CROWD)
        expect(page.get_by_text("Unchanged: 4750")).to_be_visible()
        expect(page.get_by_text("mend the refused rows first")).to_be_visible()
        assert [] == complaints
