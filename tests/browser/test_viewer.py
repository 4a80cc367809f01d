"""The viewer in a real Chromium: painted pixels, and a kind word whenever something fails."""

import io
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import numpy
import pydicom
import pytest
from playwright.sync_api import Page, Route
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from tests.browser.viewer_server import DIST, SIGNED, ViewerServer, sample, serving, slices_of, study_of
from tests.fixtures.browser import eventually, expect

PATIENT = "/view/index.html"
STAFF = "/view/staff.html?study=0198c0de-0000-7000-8000-000000000042"
PATIENCE_S = 90

# The page's canvas drawn into one of ours: the only proof that something was painted.
PIXELS = """
() => [...document.querySelectorAll('.image canvas.cornerstone-canvas')].map((from) => {
  const to = document.createElement('canvas');
  to.width = 64; to.height = 64;
  const pen = to.getContext('2d');
  pen.drawImage(from, 0, 0, 64, 64);
  return [...pen.getImageData(0, 0, 64, 64).data].filter((_, i) => i % 4 !== 3);
})
"""

# The row of series is meant to be pushed along; its names are shortened, and whole in their titles.
SIDEWAYS = """
() => ['page', 'top', 'brand', 'who', 'rooms', 'reading', 'report', 'report-none', 'signed', 'report-text', 'foot']
  .flatMap((name) => [...document.querySelectorAll(`.${name}, .${name} > span:last-child`)])
  .filter((part) => part.scrollWidth > part.clientWidth && part.clientWidth)
  .map((part) => part.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The pages as they ship; built here when a clone has not built them yet."""
    if not (DIST / "staff.html").is_file():
        npm = shutil.which("npm")
        if npm is None:
            pytest.fail("viewer/dist is missing and there is no npm to build it: run `make setup`")
        subprocess.run([npm, "ci"], cwd=DIST.parent, check=True, timeout=300)
        subprocess.run([npm, "run", "build"], cwd=DIST.parent, check=True, timeout=180)


@pytest.fixture
def server() -> Iterator[ViewerServer]:
    """A CT of twelve slices with its signed report; a test gives `server.study` another study when it needs one."""
    study = study_of(("Chest", "CT", slices_of("CT_small.dcm", 12)), report=dict(SIGNED))
    with serving(study) as running:
        yield running


def wait_for(page: Page, expression: str, wanted: object, *, seconds: float = PATIENCE_S) -> None:
    """Poll: the page's policy refuses Playwright's own waiting, which evaluates a string in the page."""
    deadline = time.monotonic() + seconds
    seen = None
    while time.monotonic() < deadline:
        seen = page.evaluate(expression)
        if seen == wanted:
            return
        time.sleep(0.05)
    raise AssertionError(f"{expression} is {seen!r}, not {wanted!r}")


def state(page: Page, wanted: str) -> None:
    wait_for(page, "() => document.body.dataset.state", wanted)


def shown(page: Page, slice_number: int) -> None:
    wait_for(page, "() => document.querySelector('.image')?.dataset.shown", str(slice_number))
    drawn(page)


def drawn(page: Page) -> None:
    """What was asked to be drawn is drawn in the next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels(page: Page, pane: int = 0) -> list[int]:
    return page.evaluate(PIXELS)[pane]


def painted(page: Page, pane: int = 0) -> None:
    """The picture may reach the canvas a frame after the page says that it is ready."""
    deadline = time.monotonic() + PATIENCE_S
    while not (values := pixels(page, pane)) or max(values) == 0:
        assert time.monotonic() < deadline, "nothing was painted"
        time.sleep(0.05)


FORMATS = {
    "CT, uncompressed": ("CT_small.dcm", "CT"),
    "MR, uncompressed": ("MR_small.dcm", "MR"),
    "MR, RLE": ("MR_small_RLE.dcm", "MR"),
    "MR, JPEG-LS": ("MR_small_jpeg_ls_lossless.dcm", "MR"),
    "US, 30 frames of JPEG": ("examples_ybr_color.dcm", "US"),
    "US, palette": ("examples_palette.dcm", "US"),
    "CT, JPEG 2000": ("693_J2KI.dcm", "CT"),
    "US, JPEG 2000 in colour": ("examples_jpeg2k.dcm", "US"),
}


# Software machines draw on the CPU, phones on WebGL; the formats decode alike, so WebGL proves one grey and one colour.
WALKS = [(kind, "cpu") for kind in FORMATS] + [("MR, RLE", "gpu"), ("US, JPEG 2000 in colour", "gpu")]


@pytest.mark.parametrize(("kind", "renderer"), WALKS)
def test_each_kind_of_image_is_painted(
    server: ViewerServer, page: Page, complaints: list, kind: str, renderer: str
):
    name, modality = FORMATS[kind]
    server.study = study_of((kind, modality, [sample(name)]))
    page.goto(f"{server.url}{PATIENT}?render={renderer}")
    state(page, "ready")
    painted(page)
    assert float(page.evaluate("() => document.body.dataset.firstImageMs")) > 0
    assert [] == complaints


def test_a_frame_of_a_loop_is_another_picture(server: ViewerServer, page: Page, complaints: list):
    server.study = study_of(("Loop", "US", [sample("examples_ybr_color.dcm")]))
    page.goto(server.url + PATIENT)
    shown(page, 1)
    painted(page)
    first = pixels(page)
    page.keyboard.press("End")
    shown(page, 30)
    assert first != pixels(page)
    assert ["s1-i1"] == server.study.asked  # one file holds all thirty
    assert [] == complaints


def test_the_first_image_is_the_middle_one_and_scrolling_shows_another(server: ViewerServer, page: Page):
    page.goto(server.url + PATIENT)
    shown(page, 6)
    painted(page)
    assert "s1-i6" == server.study.asked[0]
    middle = pixels(page)
    page.locator(".image").hover()
    page.mouse.wheel(0, 120)
    shown(page, 7)
    assert middle != pixels(page)
    page.keyboard.press("ArrowUp")
    shown(page, 6)
    assert middle == pixels(page)
    page.get_by_role("slider", name="Move through the images").fill("12")
    shown(page, 12)
    expect(page.get_by_text("Image 12 of 12")).to_be_visible()


def test_every_instance_is_fetched_once(server: ViewerServer, page: Page):
    page.goto(server.url + PATIENT)
    wait_for(page, "() => document.body.dataset.state", "ready")
    deadline = time.monotonic() + PATIENCE_S
    while len(server.study.asked) < 12 and time.monotonic() < deadline:
        time.sleep(0.05)
    page.keyboard.press("Home")
    shown(page, 1)
    assert sorted(server.study.files) == sorted(server.study.asked)


def test_a_bone_window_changes_the_picture_and_reset_brings_it_back(server: ViewerServer, page: Page):
    page.goto(server.url + PATIENT)
    shown(page, 6)
    painted(page)
    own = pixels(page)
    page.get_by_role("button", name="Light").click()
    page.get_by_role("button", name="Bone").click()
    page.get_by_role("button", name="Light").click()
    shown(page, 6)
    assert own != pixels(page)
    page.get_by_role("button", name="Reset").click()
    deadline = time.monotonic() + PATIENCE_S
    while own != pixels(page):
        assert time.monotonic() < deadline, "the picture did not come back"
        time.sleep(0.05)


def test_a_link_revoked_while_looking_ends_kindly_and_takes_the_images_away(server: ViewerServer, page: Page):
    server.study = study_of(("Chest", "CT", slices_of("CT_small.dcm", 12)))
    server.study.fails = {f"s1-i{n}": 410 for n in range(8, 13)}
    page.goto(server.url + PATIENT)
    state(page, "ended")
    expect(page.get_by_role("heading", name="This link has ended")).to_be_visible()
    expect(page.get_by_text("The practice has ended this link.")).to_be_visible()
    expect(page.get_by_text("012 555 0142")).to_be_visible()
    expect(page.locator("canvas")).to_have_count(0)
    page.wait_for_load_state("networkidle")  # What was under way may still reach the server.
    asked = len(server.study.asked)
    time.sleep(0.3)
    assert asked == len(server.study.asked)


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (401, "Please open your link again"),
        (403, "This link does not open these images"),
        (404, "Nothing was found here"),
        (410, "This link has ended"),
    ],
)
def test_a_refused_manifest_says_why_in_the_servers_words(
    server: ViewerServer, page: Page, status: int, title: str
):
    from tests.browser.viewer_server import SENTENCES

    server.study.fails["manifest"] = status
    page.goto(server.url + PATIENT)
    page.get_by_role("heading", name=title).wait_for()
    expect(page.get_by_text(SENTENCES[status])).to_be_visible()


def test_an_image_server_that_is_away_can_be_tried_again(server: ViewerServer, page: Page):
    server.study.fails["manifest"] = 503
    page.goto(server.url + PATIENT)
    page.get_by_role("heading", name="The images cannot be reached just now").wait_for()
    state(page, "error")
    server.study.fails = {"s1-i6": 503}
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("The image server is not answering just now.").wait_for()
    expect(page.get_by_text("Image 6 of 12")).to_be_visible()
    server.study.fails = {}
    page.get_by_role("button", name="Try again").click()
    state(page, "ready")
    painted(page)


@pytest.mark.parametrize("damage", ["cut short", "not DICOM at all", "deflated", "missing"])
def test_one_bad_slice_says_so_and_the_others_go_on(server: ViewerServer, page: Page, damage: str):
    good = slices_of("CT_small.dcm", 3)
    bad = {"cut short": good[1][:9000], "not DICOM at all": b"<html>oops</html>" * 50}.get(damage, good[1])
    server.study = study_of(("Chest", "CT", good))
    server.study.files["s1-i2"] = sample("image_dfl.dcm") if damage == "deflated" else bad
    if damage == "missing":
        server.study.fails["s1-i2"] = 404
    page.goto(server.url + PATIENT)
    page.get_by_role("heading", name="This image cannot be shown").wait_for()
    expect(page.get_by_text("The other images are not affected.")).to_be_visible()
    page.keyboard.press("ArrowDown")
    shown(page, 3)
    painted(page)
    expect(page.get_by_role("heading", name="This image cannot be shown")).to_be_hidden()
    state(page, "ready")


def test_a_deflated_image_is_named_unreadable_without_being_fetched(server: ViewerServer, page: Page):
    server.study = study_of(("Secondary capture", "OT", [sample("image_dfl.dcm")]))
    page.goto(server.url + PATIENT)
    state(page, "error")
    expect(page.get_by_text("stored in a form that this page cannot read")).to_be_visible()


def test_a_study_without_images_still_shows_its_report(server: ViewerServer, page: Page):
    server.study.series = []
    page.goto(server.url + PATIENT)
    state(page, "ready")
    expect(page.get_by_role("heading", name="No images in this examination")).to_be_visible()
    expect(page.get_by_text("Normal CT of the chest.")).to_be_visible()


def test_five_hundred_slices_start_with_one_and_stay_within_memory(server: ViewerServer, page: Page):
    server.study = study_of(("Thorax", "CT", slices_of("CT_small.dcm", 500)))
    page.goto(server.url + PATIENT)
    shown(page, 250)
    painted(page)
    page.keyboard.press("End")
    shown(page, 500)
    page.keyboard.press("Home")
    shown(page, 1)
    painted(page)
    assert len(server.study.asked) <= 500


def test_a_connection_lost_and_found_again_goes_on_by_itself(server: ViewerServer, page: Page):
    page.add_init_script(KEEP_SAYINGS)
    page.goto(server.url + PATIENT)
    shown(page, 6)
    page.context.set_offline(True)
    page.get_by_text("You are offline.").wait_for()
    page.context.set_offline(False)
    # It stands for three seconds only.
    wait_for(page, "() => window.sayings.has('Connected again.')", True)


def test_on_a_phone_nothing_is_wider_than_the_screen(server: ViewerServer, phone: Page, complaints: list):
    server.study = study_of(
        ("A very long series description that will not fit", "CT", slices_of("CT_small.dcm", 3)),
        ("Knee", "MR", [sample("MR_small.dcm")]),
        ("Loop", "US", [sample("examples_ybr_color.dcm")]),
        ("Head", "CT", [sample("693_J2KI.dcm")]),
        report=dict(SIGNED, text=SIGNED["text"] + "\n" + "x" * 300),
        description="CT chest, abdomen and pelvis with intravenous and oral contrast, three phases",
    )
    server.study.practice_name = "Radiologiepraktykvennootskapsgenootskap van die Witwatersrand"
    waits, signed = None, dict(server.study.report, signed_by=f"Dr N. {'Dlamini' * 9}")
    for width, report in ((360, signed), (390, signed), (390, waits)):
        server.study.report = report
        phone.set_viewport_size({"width": width, "height": 740})
        phone.goto(server.url + PATIENT)
        state(phone, "ready")
        for tab in ("Images", "Report"):
            phone.get_by_role("tab", name=tab).tap()
            expect(phone.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
            assert phone.evaluate("() => document.documentElement.scrollWidth") <= width
            # The parts that scroll by themselves, and those that would cut what they hold.
            assert [] == phone.evaluate(SIDEWAYS)
    assert [] == complaints


def test_a_finger_moves_through_the_images_and_the_big_buttons_do_too(server: ViewerServer, phone: Page):
    phone.goto(server.url + PATIENT)
    shown(phone, 6)
    phone.get_by_label("Next image").tap()
    shown(phone, 7)
    box = phone.locator(".image").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger = phone.context.new_cdp_session(phone)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(points)]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    touch("touchStart", (x, y))
    touch("touchMove", (x, y + 15))
    touch("touchMove", (x, y + 30))
    touch("touchEnd")
    wait_for(phone, "() => Number(document.body.dataset.slice) > 7", True)


def test_a_pinch_brings_the_image_nearer_where_the_fingers_are(server: ViewerServer, phone: Page):
    phone.goto(server.url + PATIENT)
    shown(phone, 6)
    painted(phone)
    before = pixels(phone)
    box = phone.locator(".image").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger = phone.context.new_cdp_session(phone)
    for kind, spread in (("touchStart", 30), ("touchMove", 60), ("touchMove", 90), ("touchEnd", None)):
        points = (
            [] if spread is None else [{"x": x - spread, "y": y, "id": 0}, {"x": x + spread, "y": y, "id": 1}]
        )
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    wait_for(phone, "() => document.querySelector('.image').classList.contains('near')", True)
    eventually(lambda: before != pixels(phone), what="the picture did not come nearer")
    time.sleep(0.2)
    drawn(phone)
    after = pixels(phone)
    # Nearer around the middle: the middle pixel is the same tissue, and no black border has moved in.
    middle = 3 * (32 * 64 + 32)
    assert abs(before[middle] - after[middle]) < 40
    assert 6 == int(phone.evaluate("() => document.body.dataset.slice"))


def test_the_report_is_set_with_headings_and_can_be_downloaded(server: ViewerServer, phone: Page):
    phone.goto(server.url + PATIENT)
    phone.get_by_role("tab", name="Report").tap()
    expect(phone.get_by_role("heading", name="Findings")).to_be_visible()
    expect(phone.get_by_text("Signed by Dr N. Dlamini on 24/11/2026 14:05")).to_be_visible()
    with phone.expect_download() as download:
        phone.get_by_text("Download the report (PDF)").tap()
    assert "report.pdf" == download.value.suggested_filename


def test_a_study_not_yet_reported_says_whom_to_ask(server: ViewerServer, phone: Page):
    server.study.report = None
    phone.goto(server.url + PATIENT)
    phone.get_by_role("tab", name="Report").tap()
    expect(phone.get_by_text("The report is not here yet")).to_be_visible()


def test_the_page_says_until_when_and_what_it_is_not(server: ViewerServer, phone: Page):
    phone.goto(server.url + PATIENT)
    shown(phone, 6)
    expect(phone.get_by_text("This link works until 30/11/2031 14:00")).to_be_visible()
    expect(phone.get_by_text("not for diagnosis")).to_be_visible()
    expect(phone.get_by_text("THANDIWE MOKOENA")).to_be_visible()
    assert "Thandiwe" not in phone.title() and "MOKOENA" not in phone.title()


def test_i_am_done_asks_then_tells_the_practice_and_clears_the_page(
    server: ViewerServer, phone: Page, complaints: list
):
    phone.goto(server.url + PATIENT)
    shown(phone, 6)
    phone.get_by_role("button", name="I am done").tap()
    phone.get_by_role("button", name="Yes, close them").tap()
    phone.get_by_role("heading", name="You have closed your images").wait_for()
    state(phone, "ended")
    assert ["sorg"] == server.study.closed_by
    expect(phone.locator("canvas")).to_have_count(0)
    assert [] == complaints


@pytest.mark.parametrize("path", [PATIENT, STAFF])
def test_nothing_is_asked_of_anyone_else(server: ViewerServer, page: Page, complaints: list, path: str):
    server.study = study_of(
        ("Head", "CT", [sample("693_J2KI.dcm")]),
        ("Knee", "MR", [sample("MR_small.dcm")]),
        report=dict(SIGNED),
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url + path)
    state(page, "ready")
    time.sleep(0.5)
    elsewhere = [url for url in asked if not url.startswith((server.url, "blob:", "data:"))]
    assert [] == elsewhere
    assert [] == complaints


def test_staff_see_who_and_where_and_change_the_window_with_keys_and_mouse(
    server: ViewerServer, page: Page, complaints: list
):
    page.set_viewport_size({"width": 800, "height": 700})
    page.goto(server.url + STAFF)
    shown(page, 6)
    painted(page)
    for text in ("THANDIWE MOKOENA", "1CT1", "UPS-000042", "6 / 12"):
        expect(page.get_by_text(text, exact=True)).to_be_visible()
    own = pixels(page)
    page.keyboard.press("3")
    page.get_by_text("W 1500 L -600").wait_for()
    drawn(page)
    assert own != pixels(page)
    page.keyboard.press("r")
    page.keyboard.press("w")
    before = page.locator(".corner.se").inner_text()
    box = page.locator(".image").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 230, steps=5)
    page.mouse.up()
    expect(page.locator(".corner.se")).not_to_have_text(before, use_inner_text=True)
    page.mouse.wheel(0, 120)
    shown(page, 7)
    page.keyboard.press("End")
    shown(page, 12)
    assert [] == complaints


def test_staff_measure_a_length_in_millimetres(server: ViewerServer, page: Page):
    page.goto(server.url + STAFF)
    shown(page, 6)
    page.keyboard.press("l")
    box = page.locator(".image").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 260, steps=6)
    page.mouse.up()
    page.mouse.move(box["x"] + 50, box["y"] + 400)
    expect(page.locator(".pane svg text").first).to_contain_text("mm")


def test_staff_lay_out_four_panes_and_drop_a_series_into_one(
    server: ViewerServer, page: Page, complaints: list
):
    server.study = study_of(
        ("Chest", "CT", slices_of("CT_small.dcm", 5)),
        ("Knee", "MR", slices_of("MR_small.dcm", 4)),
        ("Loop", "US", [sample("examples_ybr_color.dcm")]),
    )
    page.goto(server.url + STAFF)
    shown(page, 3)
    page.keyboard.press("g")
    page.keyboard.press("g")
    expect(page.locator(".pane")).to_have_count(4)
    page.get_by_text("2 / 4", exact=True).wait_for()
    expect(page.get_by_text("Drag a series here").last).to_be_visible()
    page.locator(".series").nth(0).drag_to(page.locator(".pane").nth(3))
    wait_for(page, "() => [...document.querySelectorAll('.pane .sw')].at(-1).textContent", "1 · Chest3 / 5")
    for pane in range(4):
        painted(page, pane)
    page.keyboard.press("g")
    expect(page.locator(".pane")).to_have_count(1)
    assert [] == complaints


def test_staff_keys_are_listed(server: ViewerServer, page: Page):
    page.goto(server.url + STAFF)
    shown(page, 6)
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard and mouse")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Keyboard and mouse")).to_be_hidden()


def test_the_patients_page_carries_no_measuring_tools():
    html = (DIST / "index.html").read_text()
    scripts = [path for path in (DIST / "assets").glob("*.js") if path.name in html]
    assert scripts
    assert not [path.name for path in scripts if "LengthTool" in path.read_text()]


def test_assets_have_compressed_copies_and_no_inline_script():
    for page in ("index.html", "staff.html"):
        html = (DIST / page).read_text()
        assert 'preload" ' in html
        assert html.count("<script") == html.count('<script type="module" crossorigin src="/view/assets/')
    for path in (DIST / "assets").glob("*.js"):
        assert path.with_name(path.name + ".gz").is_file()


def test_a_slow_connection_is_told_to_wait_and_then_gets_its_image(server: ViewerServer, phone: Page):
    server.study.held.add("s1-i6")
    phone.goto(server.url + PATIENT)
    phone.get_by_text("Your connection is slow.").wait_for()
    server.study.held.clear()
    shown(phone, 6)
    painted(phone)
    expect(phone.get_by_text("Your connection is slow.")).to_be_hidden()


# The preview: what the small first script paints before Cornerstone is there ------------------------------------------

# Keeps the preview's canvas when the page takes it away, so that it can be laid beside what Cornerstone painted.
KEEP_PREVIEW = """
window.previews = 0;
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) if (node.className === 'preview') { window.previews += 1; window.preview = node; }
  }
}).observe(document, { childList: true, subtree: true });
"""
# Everything that the page's banner has said, though it says it for a moment only.
KEEP_SAYINGS = """
window.sayings = new Set();
new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) window.sayings.add(node.textContent);
}).observe(document, { childList: true, subtree: true });
"""
# Size and greys of both canvases, dot by dot: their mean and largest difference, and how much there is to see.
BESIDE = """
() => {
  const greys = (from) => {
    const to = document.createElement('canvas');
    to.width = from.width; to.height = from.height;
    const pen = to.getContext('2d');
    pen.drawImage(from, 0, 0);
    return pen.getImageData(0, 0, to.width, to.height).data.filter((_, i) => i % 4 === 0);
  };
  const own = document.querySelector('.image canvas.cornerstone-canvas');
  const [a, b] = [greys(window.preview), greys(own)];
  let sum = 0, most = 0, shades = new Set(a).size;
  for (let i = 0; i < a.length; i += 1) { const by = Math.abs(a[i] - b[i]); sum += by; if (by > most) most = by; }
  return { same: a.length === b.length, mean: sum / a.length, most, shades, standing: document.querySelectorAll('.preview').length };
}
"""


def made(change: Callable[[Dataset], None]) -> bytes:
    """CT_small.dcm, changed."""
    ds = pydicom.dcmread(io.BytesIO(sample("CT_small.dcm")))
    change(ds)
    file = io.BytesIO()
    ds.save_as(file)
    return file.getvalue()


def in_negative(ds: Dataset) -> None:
    ds.PhotometricInterpretation = "MONOCHROME1"


def with_a_window(ds: Dataset) -> None:
    ds.WindowCenter, ds.WindowWidth = ["40", "-600"], ["400", "1500"]


def signed_in_twelve_bits(ds: Dataset) -> None:
    ramp = numpy.linspace(-2048, 2047, ds.Rows * ds.Columns).astype("int16") & 0x0FFF
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.PixelData = 12, 11, 1, ramp.tobytes()


def unsigned(ds: Dataset) -> None:
    ramp = numpy.linspace(0, 4095, ds.Rows * ds.Columns).astype("uint16")
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation, ds.PixelData = 12, 11, 0, ramp.tobytes()


def eight_bits_and_an_odd_length(ds: Dataset) -> None:
    ds.Rows, ds.Columns = 63, 65
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = (numpy.arange(63 * 65) % 251).astype("uint8").tobytes() + b"\0"
    ds["PixelData"].VR = "OB"


def not_square(ds: Dataset) -> None:
    ds.PixelSpacing = ["1.5", "0.5"]


def implicit(ds: Dataset) -> None:
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


PLAIN: dict[str, Callable[[], bytes]] = {
    "CT_small": lambda: sample("CT_small.dcm"),
    "CT of 512²": lambda: slices_of("CT_small.dcm", 1, size=512)[0],
    "with its own window": lambda: made(with_a_window),
    "MONOCHROME1": lambda: made(in_negative),
    "signed, 12 bits stored": lambda: made(signed_in_twelve_bits),
    "unsigned, 12 bits stored": lambda: made(unsigned),
    "8 bits, odd length": lambda: made(eight_bits_and_an_odd_length),
    "pixels that are not square": lambda: made(not_square),
    "implicit VR": lambda: made(implicit),
    "MR": lambda: sample("MR_small.dcm"),
}
BOTH_RENDERERS = [(kind, "cpu") for kind in PLAIN] + [
    ("MONOCHROME1", "gpu"),
    ("pixels that are not square", "gpu"),
]


@pytest.mark.parametrize(("kind", "renderer"), BOTH_RENDERERS)
def test_the_preview_is_what_cornerstone_paints(
    server: ViewerServer, page: Page, complaints: list, kind: str, renderer: str
):
    server.study = study_of(("Plain", "CT", [PLAIN[kind]()]), report=dict(SIGNED))
    page.add_init_script(KEEP_PREVIEW)
    page.goto(f"{server.url}{PATIENT}?render={renderer}")
    state(page, "ready")
    painted(page)
    wait_for(page, "() => document.querySelectorAll('.preview').length", 0)
    assert 1 == page.evaluate("() => window.previews")
    beside = page.evaluate(BESIDE)
    assert beside["same"] and beside["shades"] > 40
    assert beside["mean"] < (0.01 if renderer == "cpu" else 1.0), beside
    assert 0 < float(page.evaluate("() => document.body.dataset.firstPaintMs"))
    # Cornerstone's reader says aloud that an implicit file names no VR for its pixels; that is not a fault.
    assert [] == [said for said in complaints if not said.startswith("Invalid vr type")]


def test_the_preview_stands_while_cornerstone_is_on_its_way(
    server: ViewerServer, page: Page, complaints: list
):
    held: list[Route] = []
    let_go = []
    page.route("**/assets/page-*.js", lambda route: route.continue_() if let_go else held.append(route))
    page.add_init_script(KEEP_PREVIEW)
    page.goto(server.url + PATIENT, wait_until="commit")
    wait_for(page, "() => document.body?.dataset.firstPaintMs > 0", True)
    assert "loading" == page.evaluate("() => document.body.dataset.state")
    expect(page.get_by_text("Image 6 of 12")).to_be_visible()
    expect(page.get_by_text("Normal CT of the chest.")).to_be_visible()
    assert ["s1-i6"] == server.study.asked
    box = page.locator(".preview").bounding_box()
    let_go.append(True)
    for route in held:
        route.continue_()
    shown(page, 6)
    state(page, "ready")
    assert box == page.locator(".image").bounding_box()
    assert page.evaluate(BESIDE)["mean"] < 0.01
    assert [] == complaints


def wrong_vr(data: bytes) -> bytes:
    return data.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00SS")


def more_bits_than_stored(ds: Dataset) -> None:
    unsigned(ds)
    ds.PixelData = ds.PixelData[:-2] + b"\xff\xff"


def with_a_lookup_table(ds: Dataset) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], numpy.arange(4096, dtype="uint16").tobytes()
    table["LUTData"].VR = "OW"
    ds.VOILUTSequence = [table]


def pet(ds: Dataset) -> None:
    ds.Modality = "PT"


def fractional(ds: Dataset) -> None:
    ds.RescaleSlope = "0.5"


def huge(ds: Dataset) -> None:
    eight_bits_and_an_odd_length(ds)
    ds.Rows = ds.Columns = 3300
    ds.PixelData = bytes(3300 * 3300)


UNUSUAL: dict[str, Callable[[], bytes]] = {
    "JPEG 2000": lambda: sample("693_J2KI.dcm"),
    "RLE": lambda: sample("MR_small_RLE.dcm"),
    "colour": lambda: sample("examples_rgb_color.dcm"),
    "palette": lambda: sample("examples_palette.dcm"),
    "many frames": lambda: sample("examples_ybr_color.dcm"),
    "cut short": lambda: sample("CT_small.dcm")[:9000],
    "a VR that is not the tag's": lambda: wrong_vr(sample("CT_small.dcm")),
    "more bits than stored": lambda: made(more_bits_than_stored),
    "a lookup table": lambda: made(with_a_lookup_table),
    "PET": lambda: made(pet),
    "a fractional slope": lambda: made(fractional),
    "huge": lambda: made(huge),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_unusual_image_is_left_to_cornerstone(server: ViewerServer, page: Page, kind: str):
    server.study = study_of(("Unusual", "CT", [UNUSUAL[kind]()]))
    page.add_init_script(KEEP_PREVIEW)
    page.goto(server.url + PATIENT)
    wait_for(page, "() => document.body.dataset.state !== 'loading'", True)
    assert 0 == page.evaluate("() => window.previews")


def test_a_file_that_is_not_what_the_manifest_says_has_no_preview(server: ViewerServer, page: Page):
    server.study.series[0]["instances"][5]["rows"] = 127
    page.add_init_script(KEEP_PREVIEW)
    page.goto(server.url + PATIENT)
    state(page, "ready")
    assert 0 == page.evaluate("() => window.previews")


def test_a_preview_that_comes_late_is_not_put_over_another_image(server: ViewerServer, page: Page):
    server.study.held.add("s1-i6")
    page.add_init_script(KEEP_PREVIEW)
    page.goto(server.url + PATIENT)
    wait_for(page, "() => document.body.dataset.slice", "6")
    page.keyboard.press("ArrowDown")
    wait_for(page, "() => document.body.dataset.slice", "7")
    server.study.held.clear()
    shown(page, 7)
    page.wait_for_load_state("networkidle")
    time.sleep(0.5)
    assert 0 == page.evaluate("() => window.previews")
    assert "7" == page.evaluate("() => document.querySelector('.image').dataset.shown")
