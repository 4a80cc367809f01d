"""The console killed, flooded, and left alone by the image store, while people work in a real browser."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
import websockets.exceptions
from playwright.sync_api import Browser, Page
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

from console.__main__ import LARGEST_MESSAGE
from core import privacy, reporting, workflow
from core.rules.steps import Status
from ops.orthanc_child import OrthancChild
from tests.browser.test_console import at_desk, report_text, settled
from tests.fixtures.browser import expect
from tests.fixtures.console import COOKIE, CORRECTED, DRAFT, Console, early_house, log_of, serving
from tests.fixtures.scanner import Radiology, beside

FLOOD = 20_000_000

# Puts a text into a field as pasting does: the page hears one event, not a key a letter.
PASTE = """(field, size) => {
    const line = 'The ventricles are of normal size and no bleeding is seen in this line. \\n'
    const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set
    set.call(field, line.repeat(Math.ceil(size / line.length)).slice(0, size))
    field.dispatchEvent(new Event('input', {bubbles: true}))
    field.dispatchEvent(new FocusEvent('focusout', {bubbles: true}))
}"""


@contextmanager
def practice(folder: Path, child: OrthancChild) -> Iterator[Radiology]:
    """A practice of this test's own beside that Orthanc."""
    there = beside(early_house(folder / "home"), child)
    there.follow()
    yield there
    there.orthanc.close()
    there.test.house.engine.dispose()


def scanned(there: Radiology, **who: str) -> UUID:
    study = there.booked(**who)
    there.scan(study)
    there.settle()
    return study


@pytest.fixture
def reported(tmp_path: Path, clean_orthanc: OrthancChild) -> Iterator[tuple[Radiology, UUID, UUID]]:
    """A study whose report was begun and saved once: (practice, study, version)."""
    with practice(tmp_path, clean_orthanc) as there:
        study = scanned(there)
        there.do("radiologist", reporting.begin, study)
        yield there, study, there.do("radiologist", reporting.save, study, text=DRAFT, based_on=None)


class Socket:
    """A browser's side of the websocket, by hand."""

    def __init__(self, desk: Console, role: str) -> None:
        self.wire = connect(
            f"ws://127.0.0.1:{desk.port}/_stcore/stream",
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None,
            proxy=None,
            additional_headers={"Cookie": f"{COOKIE}={desk.token(role)}"},
        )

    def run(self, page: str, query: str, *states: WidgetState) -> list[Element]:
        """Everything that one run of that page draws."""
        wish = BackMsg()
        wish.rerun_script.page_name, wish.rerun_script.query_string = page, query
        wish.rerun_script.widget_states.widgets.extend(states)
        self.wire.send(wish.SerializeToString())
        drawn = []
        while True:
            told = ForwardMsg()
            told.ParseFromString(self.wire.recv(timeout=60))  # type: ignore[arg-type]
            if told.WhichOneof("type") == "delta":
                drawn.append(told.delta.new_element)
            elif told.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY and told.HasField(
                "script_finished"
            ):
                return drawn


def test_a_text_of_twenty_megabytes_is_refused_in_words_and_the_work_goes_on(
    reported: tuple[Radiology, UUID, UUID],
) -> None:
    there, study, kept = reported
    with serving(there.test) as desk:
        socket = Socket(desk, "radiologist")
        drawn = socket.run("study", f"study={study}")
        field = next(e.text_area.id for e in drawn if e.WhichOneof("type") == "text_area")
        save = next(
            e.button.id for e in drawn if e.WhichOneof("type") == "button" and e.button.label == "Save"
        )
        pressed = WidgetState(id=save, trigger_value=True)
        flood = WidgetState(id=field, string_value=("The ventricles are of normal size. " * 600_000)[:FLOOD])
        told = [
            e.alert.body
            for e in socket.run("study", f"study={study}", flood, pressed)
            if e.WhichOneof("type") == "alert"
        ]
        assert any("longer than the 200 000 characters that a report holds" in t for t in told), told
        assert any("A report holds at most 200 000 characters" in t for t in told), told
        assert kept == there.do("radiologist", reporting.open_desk, study).current.id
        socket.run("study", f"study={study}", WidgetState(id=field, string_value=CORRECTED), pressed)
        assert "trouble" not in log_of(desk)
    assert [DRAFT, CORRECTED] == [
        v.text for v in there.do("radiologist", reporting.open_desk, study).versions
    ]


def test_a_paste_of_twenty_megabytes_is_not_taken_by_the_field_and_what_was_typed_stays(
    browser: Browser, reported: tuple[Radiology, UUID, UUID]
) -> None:
    there, study, _ = reported
    with (
        serving(there.test, there.child) as desk,
        at_desk(browser, desk, "radiologist") as (page, complaints),
    ):
        page.goto(f"{desk.url}/study?study={study}")
        settled(page)
        field = report_text(page)
        field.fill(CORRECTED)
        field.evaluate(PASTE, FLOOD)
        expect(field).to_have_value(CORRECTED)
        expect(page.get_by_text("At most 200 000 characters; a longer paste is not taken.")).to_be_visible()
        press(page, "Save")
        expect(page.get_by_text("Version 2, saved")).to_be_visible()
        assert [] == complaints
    assert CORRECTED == there.do("radiologist", reporting.open_desk, study).current.text


def test_a_message_beyond_all_measure_costs_its_sender_the_connection_and_nobody_else(
    tmp_path: Path, clean_orthanc: OrthancChild
) -> None:
    with practice(tmp_path, clean_orthanc) as there, serving(there.test) as desk:
        message = BackMsg()
        message.rerun_script.query_string = "x" * LARGEST_MESSAGE
        address = f"ws://127.0.0.1:{desk.port}/_stcore/stream"
        how = {
            "additional_headers": {"Cookie": f"{COOKIE}={desk.token('radiologist')}"},
            "subprotocols": ["streamlit"],
            "max_size": None,
            "proxy": None,
        }
        with connect(address, **how) as bystander, connect(address, **how) as flooder:
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                flooder.send(message.SerializeToString())
                while True:
                    flooder.recv(timeout=60)
            small = BackMsg()
            small.rerun_script.page_name = "reading_list"
            bystander.send(small.SerializeToString())
            assert bystander.recv(timeout=60)
        assert desk.process.poll() is None


# Killed ---------------------------------------------------------------------------------------------------------


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).first.click()  # a shortcut is part of a button's name


def write(page: Page, text: str, then: str) -> None:
    report_text(page).fill(text)
    press(page, then)


# Each act of the chain in the browser: who does it, on which page, where the study stands before and after.
ACTS: tuple[tuple[str, str, str, Callable[[Page], None], Status, Status], ...] = (
    ("arrive", "reception", "study", lambda p: press(p, "Patient is here"), Status.BOOKED, Status.WAITING),
    ("begin", "radiologist", "study", lambda p: press(p, "Start the report"), Status.SCANNED, Status.REPORTING),
    ("pass_on", "radiologist", "study", lambda p: write(p, DRAFT, "Pass to transcription"), Status.REPORTING,
     Status.TO_TRANSCRIBE),
    ("take", "transcriptionist", "transcription", lambda p: press(p, "Take this draft"), Status.TO_TRANSCRIBE,
     Status.TRANSCRIBING),
    ("pass_back", "transcriptionist", "transcription", lambda p: write(p, CORRECTED, "Pass to the radiologist"),
     Status.TRANSCRIBING, Status.PROOFREADING),
)  # fmt: skip


def kill(desk: Console) -> None:
    os.kill(desk.process.pid, signal.SIGKILL)
    desk.process.wait(20)


@pytest.mark.timeout(900)
def test_a_console_killed_ten_times_amid_the_chain_loses_nothing_and_doubles_nothing(
    tmp_path: Path, browser: Browser, clean_orthanc: OrthancChild
) -> None:
    dice, kills = random.Random(20261124), 0
    with practice(tmp_path, clean_orthanc) as there:
        studies = [
            there.booked(arrived=False, family_name=f"Person{n}", membership_number=str(n)) for n in range(2)
        ]
        tokens: dict[str, str] = {}

        def status(study: UUID) -> Status:
            return there.do("manager", workflow.open_study, study).row.status

        def attempt(act: tuple, study: UUID, *, fall: bool) -> None:
            """Once in the browser; with `fall` the console is killed at a random moment after the press."""
            name, role, place, does, _, after = act
            with serving(there.test, clean_orthanc) as desk:
                token = tokens.setdefault(role, desk.fresh_token(role))
                with at_desk(browser, desk, role, token=token) as (page, _):
                    page.goto(f"{desk.url}/{place}?study={study}")
                    settled(page)
                    does(page)
                    if fall:
                        time.sleep(dice.choice((0.0, 0.02, 0.05, 0.1, 0.2, 0.4)))
                        kill(desk)
                    else:
                        deadline_s = time.monotonic() + 60
                        while status(study) != after and time.monotonic() < deadline_s:
                            time.sleep(0.1)
                        assert after == status(study), name

        for study in studies:
            for act in ACTS:
                if act[0] == "begin":
                    there.scan(study)
                    there.settle()
                name, *_, before, after = act
                assert before == status(study)
                attempt(act, study, fall=True)
                kills += 1
                assert status(study) in (before, after)
                assert None is there.do("admin", privacy.verify_chain).broken_at
                if status(study) == before:
                    attempt(act, study, fall=False)
        assert 10 == kills
        for study in studies:
            card = there.do("manager", workflow.open_study, study)
            # Each step once. Not in order: the scanner's clock in this test is not the console's.
            once = {"book", "arrive", "receive", "begin", "pass_on", "take", "pass_back"}
            assert dict.fromkeys(once, 1) == Counter(m.step for m in card.history)
            texts = there.do("radiologist", reporting.open_desk, study).versions
            assert [("draft", DRAFT), ("transcribed", CORRECTED)] == [(v.kind, v.text) for v in texts]
        done = Counter(
            e.facts.get("step") or e.act
            for e in there.do("admin", privacy.entries, size=1000)
            if e.outcome == "done" and e.subject_kind == "study" and e.facts
        )
        assert {name: 2 for name, *_ in ACTS} == {name: done[name] for name, *_ in ACTS}, done
        assert None is there.do("admin", privacy.verify_chain).broken_at


# The image store is away ----------------------------------------------------------------------------------------


def test_an_image_store_that_goes_away_is_said_kindly_and_comes_back_with_try_again(
    tmp_path: Path, browser: Browser
) -> None:
    with OrthancChild(tmp_path / "orthanc", password="a password made for this test") as child:
        with practice(tmp_path, child) as there:
            study = scanned(there)
            with serving(there.test, child) as desk, at_desk(browser, desk, "radiologist") as (page, _):
                page.goto(f"{desk.url}/study?study={study}")
                settled(page)
                viewer = page.frame_locator("iframe")
                expect(viewer.locator("body[data-state=ready]")).to_be_attached()
                child.kill()
                with desk.http("radiologist") as client:
                    manifest = client.get(f"/images/{study}/manifest")
                    assert 200 == manifest.status_code
                    first = manifest.json()["series"][0]["instances"][0]["id"]
                    away = client.get(f"/images/{study}/instances/{first}/file")
                    assert (503, "no-store") == (away.status_code, away.headers["cache-control"])
                    assert away.json()["sentence"].endswith(".") and "Traceback" not in away.text
                page.reload()
                settled(page)
                viewer = page.frame_locator("iframe")
                expect(viewer.get_by_text("The images cannot be reached just now").first).to_be_visible()
                # The rest of the desk goes on: the report can be begun and written meanwhile.
                press(page, "Start the report")
                report_text(page).fill(DRAFT)
                press(page, "Save")
                expect(page.get_by_text("Version 1, saved")).to_be_visible()
                child.start()
                viewer.get_by_role("button", name="Try again").first.click()
                expect(viewer.locator("body[data-state=ready]")).to_be_attached()
                with desk.http("radiologist") as client:
                    back = client.get(f"/images/{study}/instances/{first}/file")
                    assert (200, b"DICM") == (back.status_code, back.content[128:132])
                assert "trouble" not in log_of(desk)
