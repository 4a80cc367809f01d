"""The patients' gateway beside a real Orthanc: what it opens, for whom, until when, and everything it refuses."""

import asyncio
import io
import logging
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import psutil
import pydicom
import pytest

from core import privacy, sharing
from gateway import patience, viewer_files
from gateway.app import create
from gateway.images import OrthancImages
from gateway.limits import Buckets
from ops.orthanc_child import free_port, listening
from tests.fixtures.door import DAY, TEXT, WRONG, Door, serve, signed_study

PREVIEWS = [
    "WhatsApp/2.24.20 A", "facebookexternalhit/1.1", "Mozilla/5.0 (compatible; Googlebot/2.1)",
    "TelegramBot (like TwitterBot)", "Slackbot-LinkExpanding 1.0", "SkypeUriPreview Preview/0.5",
]  # fmt: skip


def ids(browser: httpx.Client) -> list[str]:
    return [i["id"] for s in browser.get("/share/manifest").json()["series"] for i in s["instances"]]


def image(browser: httpx.Client, one: object) -> httpx.Response:
    return browser.get(f"/share/instances/{one}/file")


# The whole path -------------------------------------------------------------------------------------------------


def test_a_link_leads_from_the_question_to_images_and_report(door):
    link, browser = door.mint(), door.browser()
    onward = door.answer(browser, link)
    assert (303, "/view/") == (onward.status_code, onward.headers["location"])
    manifest = browser.get("/share/manifest").json()
    assert {"description": "CT brain", "date": "2026-11-24", "modalities": ["CT"]}.items() <= manifest[
        "study"
    ].items()
    assert {"name": "Nkosi-Müller^Thandô", "birth_date": "1980-01-01"} == manifest["patient"]
    assert {"name": "Ubuntu Radiology", "phone": "021 555 0100"} == manifest["practice"]
    assert (TEXT, "Radiologist Person") == (manifest["report"]["text"], manifest["report"]["signed_by"])
    assert link.expires_at.isoformat() == manifest["until"]
    first = manifest["series"][0]["instances"][0]
    assert {"id", "number", "frames", "rows", "columns", "syntax"} == set(first)
    got = image(browser, first["id"])
    assert ("application/dicom", "no-store") == (got.headers["content-type"], got.headers["cache-control"])
    assert "CT" == pydicom.dcmread(io.BytesIO(got.content)).Modality
    pdf = browser.get("/share/report.pdf")
    assert ("application/pdf", b"%PDF") == (pdf.headers["content-type"], pdf.content[:4])


def test_orthancs_own_numbers_stay_inside(door):
    browser = door.opened(door.mint())
    told = browser.get("/share/manifest").text
    inside = [h.orthanc_id for h in door.there.orthanc.instances_of(door.there.card(door.study).orthanc_id)]
    assert [] == [i for i in inside if i in told]
    assert {404} == {image(browser, i).status_code for i in inside}


def test_a_pdf_that_is_not_made_yet_is_a_matter_of_waiting(door):
    study = signed_study(door.there, attach=False, family_name="Botha", membership_number="1")
    answer = door.opened(door.mint(study)).get("/share/report.pdf")
    assert (503, "30") == (answer.status_code, answer.headers["retry-after"])
    assert "Try again in a minute" in answer.json()["sentence"]


def test_a_large_cine_loop_goes_through_in_pieces(door, monkeypatch):
    monkeypatch.setattr("gateway.images.WHOLE_BYTES", 1000)
    browser = door.opened(door.mint())
    got = image(browser, ids(browser)[0])
    assert (200, len(got.content)) == (got.status_code, int(got.headers["content-length"]))
    assert "CT" == pydicom.dcmread(io.BytesIO(got.content)).Modality


# Not burnt ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", PREVIEWS)
def test_a_messengers_preview_burns_nothing(door, agent):
    link = door.mint()
    for method in ("HEAD", "GET", "HEAD", "GET"):
        seen = httpx.request(method, link.url, headers={"User-Agent": agent}, trust_env=False)
        assert (200, "no-store") == (seen.status_code, seen.headers["cache-control"])
    assert "Nkosi" not in seen.text and "CT brain" not in seen.text
    assert 303 == door.answer(door.browser(), link).status_code


def test_no_post_without_our_form_counts_as_an_answer(door):
    link = door.mint()
    for data, headers in (
        (WRONG, {}),
        ({**WRONG, "form": "guessed"}, {}),
        ({**WRONG, "form": "guessed"}, {"Cookie": "sorg_form=other"}),
        ({**WRONG, "form": ""}, {"Cookie": "sorg_form="}),
    ):
        refused = httpx.post(link.url, data=data, headers=headers, trust_env=False)
        assert 403 == refused.status_code
    assert 0 == door.card(link).wrong_answers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://[no-address"},
    ],
)
def test_a_form_from_a_foreign_page_is_refused_even_with_the_cookie(door, headers):
    link, browser = door.mint(), door.browser()
    page = browser.get(link.url).text
    form = page.partition('name="form" value="')[2].partition('"')[0]
    assert 403 == browser.post(link.url, data={"form": form, **DAY}, headers=headers).status_code
    assert 303 == browser.post(link.url, data={"form": form, **DAY}, headers={"Origin": door.url}).status_code


# Refused --------------------------------------------------------------------------------------------------------


def test_a_guessed_link_looks_like_an_expired_one(door):
    link = door.mint(lasts=timedelta(hours=1))
    door.test.clock.pass_(hours=2)
    expired, guessed = (httpx.get(u, trust_env=False) for u in (link.url, f"{door.url}/s/{'A' * 43}"))
    assert (410, 410, expired.text) == (expired.status_code, guessed.status_code, guessed.text)
    assert "no longer works" in guessed.text


def test_a_link_used_on_one_device_is_closed_to_another_and_open_to_the_first(door):
    link = door.mint()
    first, other = door.opened(link), door.browser()
    used = other.get(link.url, headers={"Sec-Fetch-Site": "none"})
    assert (410, True) == (used.status_code, "already open on another device" in used.text)
    assert 410 == door.answer(other, link).status_code
    assert 401 == other.get("/share/manifest").status_code
    again = first.get(link.url)
    assert (303, "/view/") == (again.status_code, again.headers["location"])


def test_a_browser_that_left_its_cookie_at_home_is_asked_to_come_again_from_our_own_page(door):
    link = door.mint()
    browser = door.opened(link)
    from_a_messenger = httpx.get(link.url, headers={"Sec-Fetch-Site": "cross-site"}, trust_env=False)
    assert 'content="0; url=?again=1"' in from_a_messenger.text
    assert 303 == browser.get(f"{link.url}?again=1").status_code
    assert 410 == httpx.get(f"{link.url}?again=1", trust_env=False).status_code


def test_who_is_in_already_goes_on_to_the_images_with_a_form_that_lay_open_for_too_long(door):
    link = door.mint()
    browser = door.opened(link)
    browser.cookies.delete("sorg_form")
    late = browser.post(link.url, data={"form": "of yesterday", **DAY})
    assert (303, "/view/") == (late.status_code, late.headers["location"])


def test_two_links_in_one_browser_do_not_push_each_other_out(door):
    second_study = signed_study(door.there, family_name="Botha", membership_number="1")
    one, two, browser = door.mint(), door.mint(second_study), door.browser()
    for link, name in ((one, "Nkosi"), (two, "Botha")):
        door.answer(browser, link)
        assert browser.get("/share/manifest").json()["patient"]["name"].startswith(name)
    assert 303 == browser.get(one.url).status_code
    assert browser.get("/share/manifest").json()["patient"]["name"].startswith("Nkosi")


def test_an_expired_link_says_so_to_the_viewer(door):
    browser = door.opened(door.mint(lasts=timedelta(hours=1)))
    one = ids(browser)[0]
    door.test.clock.pass_(minutes=59)
    assert 200 == image(browser, one).status_code
    door.test.clock.pass_(minutes=1)
    for path in (f"/share/instances/{one}/file", "/share/manifest", "/share/report.pdf"):
        gone = browser.get(path)
        assert (410, sharing.SENTENCES["expired"]) == (gone.status_code, gone.json()["sentence"])


def test_a_link_revoked_in_the_middle_of_a_series_refuses_the_next_image(door):
    link = door.mint()
    browser = door.opened(link)
    one, two, *_ = ids(browser)
    assert 200 == image(browser, one).status_code
    door.revoke(link)
    assert (410, 410) == (image(browser, two).status_code, browser.get("/share/manifest").status_code)
    assert "withdrawn" in image(browser, one).json()["sentence"]
    assert "has withdrawn this link" in browser.get(link.url).text


def test_another_studys_image_is_not_part_of_the_link(door):
    other = signed_study(door.there, family_name="Botha", membership_number="1")
    foreign, browser = ids(door.opened(door.mint(other))), door.opened(door.mint())
    assert {404} == {image(browser, one).status_code for one in foreign}
    assert {200} == {image(browser, one).status_code for one in ids(browser)}
    assert 404 == image(browser, UUID(int=1)).status_code


@pytest.mark.parametrize(
    "path",
    [
        "/share/instances/../manifest",
        "/share/instances/%2e%2e%2fsystem/file",
        "/share/instances/..%2f..%2fsystem/file",
        "/share/instances/x/file",
        "/share/instances//file",
        "/view/../gateway/app.py",
        "/view/..%2f..%2fpyproject.toml",
        "/view/%2e%2e/%2e%2e/README.md",
        "/view/staff.html",
        "/view/staff.html.gz",
        "/view/index.html.gz",
        "/view//etc/passwd",
        "/studies",
        "/dicom-web/studies",
        "/s/",
        "/s/a/b",
        "/share/manifest/",
        "/s/%00",
    ],
)
def test_tricks_with_paths_find_nothing(door, path):
    browser = door.opened(door.mint())
    raw = ask_raw(door, f"GET {path} HTTP/1.1", f"Cookie: sorg_visit={browser.cookies['sorg_visit']}")
    assert raw.split()[1] in (b"404", b"410", b"307"), raw[:200]
    assert b"Traceback" not in raw and b"[project]" not in raw


def ask_raw(door: Door, first: str, *headers: str, body: bytes = b"") -> bytes:
    """Exactly these bytes, as no well-behaved client would send them."""
    host, port = door.url[7:].split(":")
    lines = "\r\n".join([first, f"Host: {host}:{port}", "Connection: close", *headers, "", ""])
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(lines.encode() + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/s/x"),
        ("DELETE", "/s/x"),
        ("POST", "/share/manifest"),
        ("PUT", "/share/report.pdf"),
        ("GET", "/share/close"),
        ("POST", "/view/"),
        ("OPTIONS", "/share/close"),
        ("TRACE", "/s/x"),
    ],
)
def test_methods_that_are_not_ours_are_not_allowed(door, method, path):
    answer = httpx.request(method, door.url + path, trust_env=False)
    assert (405, True) == (answer.status_code, "sentence" in answer.json())


@pytest.mark.parametrize("cookie", ["", "forged", "A" * 43, "x" * 5000, "é", "' or 1=1 --", "\x7f"])
def test_a_forged_cookie_opens_nothing(door, cookie):
    door.opened(door.mint())
    headers = {"Cookie": f"sorg_visit={cookie}".encode()}
    for path in ("/share/manifest", f"/share/instances/{UUID(int=1)}/file", "/share/report.pdf"):
        answer = httpx.get(door.url + path, headers=headers, trust_env=False)
        assert (401, True) == (answer.status_code, "open the link" in answer.json()["sentence"])


def test_the_token_itself_is_no_session_and_the_session_no_token(door):
    link = door.mint()
    browser = door.opened(link)
    token, session = link.url.rsplit("/", 1)[1], browser.cookies["sorg_visit"]
    refused = httpx.get(f"{door.url}/share/manifest", cookies={"sorg_visit": token}, trust_env=False)
    assert 401 == refused.status_code
    assert 410 == httpx.get(f"{door.url}/s/{session}", trust_env=False).status_code


def test_five_wrong_dates_close_the_link_for_good(door):
    link, browser = door.mint(), door.browser()
    answers = [door.answer(browser, link, WRONG) for _ in range(5)]
    assert [403, 403, 403, 403, 410] == [a.status_code for a in answers]
    assert "You can try 4 more times" in answers[0].text and "This link is closed" in answers[4].text
    assert 410 == door.answer(browser, link).status_code
    assert ("closed", 5) == (door.card(link).state, door.card(link).wrong_answers)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"day": "31", "month": "2", "year": "1980"}, "There is no such day"),
        ({"day": "1", "month": "1", "year": "80"}, "four digits"),
        ({"day": "one", "month": "1", "year": "1980"}, "as numbers"),
        ({"day": "1", "month": "1", "year": "2080"}, "still to come"),
        ({"day": "", "month": "", "year": ""}, "as numbers"),
        ({"day": "<b>", "month": "١", "year": "1980"}, "as numbers"),
    ],
)
def test_what_is_no_date_is_said_and_not_counted(door, typed, said):
    link, browser = door.mint(), door.browser()
    answer = door.answer(browser, link, typed)
    assert (422, True, False) == (answer.status_code, said in answer.text, "<b>" in answer.text)
    assert 0 == door.card(link).wrong_answers


def test_of_two_that_answer_at_once_exactly_one_gets_in(door):
    link, answers = door.mint(), []
    browsers = [door.browser() for _ in range(5)]
    forms = [b.get(link.url).text.partition('name="form" value="')[2].partition('"')[0] for b in browsers]
    barrier = threading.Barrier(5)

    def answer(browser: httpx.Client, form: str) -> None:
        barrier.wait()
        answers.append(browser.post(link.url, data={"form": form, **DAY}).status_code)

    threads = [threading.Thread(target=answer, args=pair) for pair in zip(browsers, forms, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [303, 410, 410, 410, 410] == sorted(answers)
    assert [200, 401, 401, 401, 401] == sorted(b.get("/share/manifest").status_code for b in browsers)


def test_tries_are_limited_for_each_address(door):
    link, browser = door.mint(), door.browser()
    codes = [
        door.answer(browser, link, {"day": "x", "month": "1", "year": "1980"}).status_code for _ in range(12)
    ]
    assert [422] * 10 + [429] * 2 == codes
    door.ticks[0] += 6
    assert 303 == door.answer(browser, link).status_code


def test_who_says_done_is_out_and_a_foreign_page_cannot_say_it(door):
    link = door.mint()
    browser = door.opened(link)
    assert 403 == browser.post("/share/close").status_code
    foreign = {"X-Requested-With": "sorg", "Sec-Fetch-Site": "cross-site"}
    assert 403 == browser.post("/share/close", headers=foreign).status_code
    session = browser.cookies["sorg_visit"]
    assert 204 == browser.post("/share/close", headers={"X-Requested-With": "sorg"}).status_code
    stolen = httpx.get(f"{door.url}/share/manifest", cookies={"sorg_visit": session}, trust_env=False)
    assert (410, sharing.SENTENCES["left"]) == (stolen.status_code, stolen.json()["sentence"])
    assert "You have closed your images" in browser.get(link.url).text


# Secrets and headers --------------------------------------------------------------------------------------------


def test_after_the_answer_the_token_is_nowhere(door, caplog):
    caplog.set_level(logging.DEBUG)
    link, browser = door.mint(), door.browser()
    onward = door.answer(browser, link)
    token, session = link.url.rsplit("/", 1)[1], browser.cookies["sorg_visit"]
    answers = [onward, *(browser.get(p) for p in ("/view/", "/share/manifest", "/share/report.pdf"))]
    told = "".join(a.text + str(a.headers.multi_items()) for a in answers)
    assert token not in told
    logged = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore")))
    entries = str(door.test.do("admin", privacy.entries, size=1000))
    assert [] == [s for s in (token, session) if s in logged or s in entries]
    again = browser.get(link.url)
    assert token not in again.text + str(again.headers.multi_items())


def test_every_answer_carries_the_safe_headers(door):
    link = door.mint()
    browser = door.opened(link)
    asset = next(line.split('"')[0] for line in browser.get("/view/").text.split('src="')[1:])
    for path in (
        "/s/unknown",
        link.url,
        "/share/manifest",
        "/share/report.pdf",
        "/view/",
        asset,
        "/nowhere",
        "/health",
        f"/share/instances/{ids(browser)[0]}/file",
    ):
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe-eval" not in headers["content-security-policy"].replace("wasm-unsafe-eval", "")
        assert ("no-referrer", "nosniff", "same-origin", "same-origin", True) == (
            headers["referrer-policy"],
            headers["x-content-type-options"],
            headers["cross-origin-opener-policy"],
            headers["cross-origin-resource-policy"],
            "noindex" in headers["x-robots-tag"],
        ), path
        assert "server" not in headers
        assert ("immutable" in headers["cache-control"]) == path.startswith("/view/assets"), path


def test_cookies_are_for_the_server_only_and_never_leave_this_site(door):
    link, browser = door.mint(), door.browser()
    page, onward = browser.get(link.url), door.answer(browser, link)
    for cookie in page.headers.get_list("set-cookie") + onward.headers.get_list("set-cookie"):
        assert ("HttpOnly" in cookie, "SameSite=strict" in cookie) == (True, True), cookie
    paths = sorted(c.partition("Path=")[2].partition(";")[0] for c in onward.headers.get_list("set-cookie"))
    assert ["/s", "/share"] == paths


def test_a_worker_and_its_webassembly_carry_the_policy_and_come_packed(door):
    assets = Path(__file__).parents[2] / "viewer" / "dist" / "assets"
    served = [p.name for p in assets.iterdir() if p.suffix in (".wasm", ".js") and "staff" not in p.name]
    for name in served:
        plain = httpx.get(
            f"{door.url}/view/assets/{name}", headers={"Accept-Encoding": "identity"}, trust_env=False
        )
        packed = httpx.get(
            f"{door.url}/view/assets/{name}", headers={"Accept-Encoding": "gzip"}, trust_env=False
        )
        assert (200, plain.content) == (plain.status_code, packed.content)
        assert "wasm-unsafe-eval" in packed.headers["content-security-policy"]
        if (assets / f"{name}.gz").exists():
            assert ("gzip", "Accept-Encoding") == (packed.headers["content-encoding"], packed.headers["vary"])
        assert ("application/wasm" if name.endswith(".wasm") else "text/javascript") in packed.headers[
            "content-type"
        ]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "", "127.0.0.1:1"])
def test_another_name_in_the_host_header_is_not_ours(door, host):
    answer = httpx.get(f"{door.url}/health", headers={"Host": host}, trust_env=False)
    assert answer.status_code in (400, 421)


def test_a_body_larger_than_our_form_is_not_read(door):
    link = door.mint()
    sent = httpx.post(link.url, content=b"day=" + b"1" * 5000, trust_env=False)
    assert 413 == sent.status_code
    chunked = httpx.post(link.url, content=(b"x" * 1000 for _ in range(10)), trust_env=False)
    assert 413 == chunked.status_code
    fields = "&".join(f"f{n}=1" for n in range(300))
    assert httpx.post(link.url, content=fields, trust_env=False).status_code < 500
    assert 0 == door.card(link).wrong_answers


def test_who_leaves_in_the_middle_of_their_form_is_no_fault_of_ours(door, caplog):
    images, said = OrthancImages("http://127.0.0.1:1", None), []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/s/x",
        "query_string": b"",
        "headers": [(b"host", urlsplit(door.url).netloc.encode())],
        "client": ("127.0.0.1", 1),
    }

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        said.append(message.get("status"))

    asyncio.run(create(door.test.house, images)(scope, gone, send))
    assert ([], 400) == (caplog.records, said[0])


def test_known_and_unknown_links_take_about_the_same_time(door):
    """Not timed to the millisecond: a peer's slow path for known links would show as a multiple."""
    link, unknown = door.mint(), f"{door.url}/s/{'B' * 43}"
    door.opened(link)
    with door.browser() as browser:
        spent: dict[str, list[float]] = {link.url: [], unknown: []}
        for _ in range(60):
            for url, seconds in spent.items():
                begun = time.perf_counter()
                browser.get(url, headers={"Sec-Fetch-Site": "none", "Cookie": ""})
                seconds.append(time.perf_counter() - begun)
    known, other = (statistics.median(s) for s in spent.values())
    assert 0.2 < known / other < 5


# Faults ---------------------------------------------------------------------------------------------------------


def test_six_hundred_silent_connections_keep_nobody_out_and_are_let_go(door, monkeypatch):
    monkeypatch.setattr(patience, "WAITS_S", 2.0)
    address = ("127.0.0.1", urlsplit(door.url).port)
    silent = []
    for number in range(600):
        silent.append(socket.create_connection(address))
        if number % 2:
            silent[-1].sendall(b"GET /health HTTP/1.1\r\nHost: ")
    try:
        assert 200 == httpx.get(f"{door.url}/health", trust_env=False, timeout=60).status_code
        for one in silent:
            one.settimeout(60)
            assert b"" == one.recv(1)
    finally:
        for one in silent:
            one.close()


BEGUN = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 90\r\n\r\nborn"


@pytest.mark.parametrize(
    "said",
    [
        ("POST /s/abc HTTP/1.1\r\nHost: {host}\r\n" + BEGUN,),
        ("POST /account HTTP/1.1\r\nHost: {host}\r\n" + BEGUN,),
        (
            "GET /robots.txt HTTP/1.1\r\nHost: {host}\r\n\r\n",
            "GET /robots.txt HTTP/1.1\r\nHost: {host}\r\nX: ",
        ),
    ],
    ids=["a link's form", "an account's form", "a second request"],
)
def test_what_is_begun_and_never_ended_is_let_go_however_it_drips(door, monkeypatch, said):
    monkeypatch.setattr(patience, "WAITS_S", 0.5)
    host = urlsplit(door.url).netloc
    with socket.create_connection(("127.0.0.1", urlsplit(door.url).port), timeout=20) as one:
        one.settimeout(20)
        for part in said[:-1]:
            one.sendall(part.format(host=host).encode())
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        with pytest.raises(OSError):
            for letter in said[-1].format(host=host) + "x" * 60:
                one.sendall(letter.encode())
                time.sleep(0.02)


def test_an_answer_that_nobody_reads_is_let_go(door, monkeypatch):
    monkeypatch.setattr(patience, "READS_S", 0.3)
    largest = max((viewer_files.VIEWER / "assets").glob("*"), key=lambda path: path.stat().st_size)
    asked = f"GET /view/assets/{largest.name} HTTP/1.1\r\nHost: {urlsplit(door.url).netloc}\r\n\r\n"
    read, times = 0, 8  # more than the machine itself would keep for them
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", urlsplit(door.url).port))
        one.settimeout(20)
        one.sendall(asked.encode() * times)
        time.sleep(1)
        with suppress(ConnectionResetError):
            while piece := one.recv(65_536):
                read += len(piece)
    assert read < times * largest.stat().st_size


def test_a_websocket_is_no_way_in(door):
    answer = httpx.get(
        f"{door.url}/share/manifest",
        trust_env=False,
        headers={
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "sec-websocket-version": "13",
        },
    )
    assert 401 == answer.status_code


def test_an_orthanc_that_is_away_is_said_kindly(door):
    server, thread = serve(door, OrthancImages(f"http://127.0.0.1:{free_port()}", ("a", "b")))
    try:
        browser = door.opened(door.mint())
        away = image(browser, ids(browser)[0])
        assert (503, "30") == (away.status_code, away.headers["retry-after"])
        assert "does not answer just now" in away.json()["sentence"]
    finally:
        server.should_exit = True
        thread.join(10)


def test_a_surprise_is_a_sentence_and_its_details_stay_inside(door, monkeypatch, caplog):
    browser = door.opened(door.mint())

    def broken(*_: object) -> None:
        raise ZeroDivisionError("the name of a patient")

    monkeypatch.setattr(sharing, "image_behind", broken)
    answer = image(browser, UUID(int=1))
    assert (500, True) == (answer.status_code, "has a fault just now" in answer.json()["sentence"])
    assert "ZeroDivisionError at" in caplog.text
    assert "name of a patient" not in caplog.text + answer.text


def test_an_image_that_orthanc_lost_is_missing(door):
    browser = door.opened(door.mint())
    one = ids(browser)[0]
    for header in door.there.orthanc.instances_of(door.there.card(door.study).orthanc_id):
        door.there.orthanc.delete_instance(header.orthanc_id)
    gone = image(browser, one)
    assert (404, "This image is no longer at the practice.") == (gone.status_code, gone.json()["sentence"])


# The process ----------------------------------------------------------------------------------------------------


def test_the_program_listens_on_this_machine_only_and_lives_on_johannesburg_time(door, tmp_path):
    """`python -m gateway` as it is started, with TZ set: a link with an hour left opens."""
    port = free_port()
    password = tmp_path / "password"
    password.write_text(door.there.child.auth[1])
    settings = {
        "SORG_HOME": str(door.test.folder),
        "SORG_GATEWAY_PORT": str(port),
        "SORG_ORTHANC_URL": door.there.child.url,
        "SORG_ORTHANC_USER": door.there.child.auth[0],
        "SORG_ORTHANC_PASSWORD_FILE": str(password),
        "TZ": "Africa/Johannesburg",
    }
    # The program reads the real clock, the test practice its own; the link is minted for an hour from now.
    ahead = time.time() - door.test.clock.at.timestamp() + 3600
    door.test.clock.at += timedelta(seconds=ahead - 3600)
    link = door.mint(lasts=timedelta(hours=1))
    url = link.url.replace(door.url, f"http://127.0.0.1:{port}")
    program = subprocess.Popen(
        [sys.executable, "-m", "gateway"],
        env=os.environ | settings,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until_answering(f"http://127.0.0.1:{port}/health", program)
        assert {port: {"127.0.0.1"}} == listening(program.pid)
        with httpx.Client(trust_env=False, timeout=30) as browser:
            page = browser.get(url)
            form = page.text.partition('name="form" value="')[2].partition('"')[0]
            assert 303 == browser.post(url, data={"form": form, **DAY}).status_code
            assert 200 == browser.get(f"http://127.0.0.1:{port}/share/manifest").status_code
    finally:
        program.terminate()
        printed, _ = program.communicate(timeout=60)
    assert link.url.rsplit("/", 1)[1] not in printed
    assert not psutil.pid_exists(program.pid) or program.poll() is not None


def wait_until_answering(url: str, program: subprocess.Popen) -> None:
    for _ in range(900):
        assert program.poll() is None, program.stdout.read() if program.stdout else ""
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} never answered")


def test_of_many_tries_at_once_no_more_are_taken_than_there_are():
    buckets, taken = Buckets(size=10, seconds_each=6, clock=lambda: 0.0), []
    barrier, before = threading.Barrier(8), sys.getswitchinterval()

    def knock() -> None:
        barrier.wait()
        taken.extend(buckets.take("10.0.0.1") for _ in range(2000))

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=knock) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert 10 == sum(taken)


def test_the_buckets_forget_the_addresses_longest_unseen():
    now = [0.0]
    buckets = Buckets(size=2, seconds_each=10, clock=lambda: now[0], most=3)
    assert [True, True, False] == [buckets.take("a") for _ in range(3)]
    now[0] = 10
    assert [True, False] == [buckets.take("a") for _ in range(2)]
    for other in "bcde":
        buckets.take(other)
    assert [True, True, False] == [buckets.take("a") for _ in range(3)]
