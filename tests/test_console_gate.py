"""The console's door, knocked on by strangers: a real process, raw requests, nothing made up in between."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
import websockets.exceptions
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.util import calc_hash
from websockets.sync.client import connect

from console import nav
from console.signin.routes import LARGEST_FORM, local_path
from core import people, privacy, sessions, signin
from core.rules.roles import Permission
from core.store.model import Person
from tests.fixtures.console import COOKIE, Console, early_house, log_of, serving
from tests.fixtures.guests import Guest, hire
from tests.fixtures.house import PASSWORD

FORM = "application/x-www-form-urlencoded"
PROXY = "127.0.0.2"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console over an empty practice, with nothing outside and a proxy in front."""
    test = early_house(tmp_path_factory.mktemp("gate") / "home")
    with serving(test, SORG_PROXIES=PROXY) as running:
        yield running
    test.house.engine.dispose()


def form_token(answer: httpx.Response) -> str:
    found = re.search(r'name="token" value="([^"]+)"', answer.text)
    assert found, answer.text
    return found[1]


def send_password(client: httpx.Client, **changes: str) -> httpx.Response:
    fields = {
        "token": form_token(client.get("/login")),
        "next": "/",
        "login": "reception",
        "password": PASSWORD,
    }
    return client.post("/login", data={**fields, **changes})


def websocket(desk: Console, *, token: str | None, **how):
    headers = {"Cookie": f"{COOKIE}={token}"} if token is not None else {}
    return connect(
        f"ws://127.0.0.1:{desk.port}/_stcore/stream",
        additional_headers=headers,
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
        proxy=None,
        **how,
    )


def drawn(desk: Console, token: str, *, page: str = "", hash: str = "") -> tuple[list[str], list[str]]:
    """What a run draws for a client that asks for a page by name or hash: texts, and the pages it may go to."""
    with websocket(desk, token=token) as ws:
        return run(ws, page=page, hash=hash)


def run(ws, *, page: str = "", hash: str = "", query: str = "") -> tuple[list[str], list[str]]:
    """One run over an open websocket."""
    texts: list[str] = []
    pages: list[str] = []
    message = BackMsg()
    message.rerun_script.page_name = page
    message.rerun_script.page_script_hash = hash
    message.rerun_script.query_string = query
    ws.send(message.SerializeToString())
    while True:
        told = ForwardMsg()
        told.ParseFromString(ws.recv(timeout=60))
        match told.WhichOneof("type"):
            case "navigation":
                pages = [p.url_pathname for p in told.navigation.app_pages]
            case "delta":
                texts.append(str(told.delta))
            case "script_finished" if told.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                return texts, pages


class TestFirstRequestOfAFreshServer:
    """Streamlit's pages/ hole: until the entry script has run once, a page's address ran the page's file."""

    def test_is_a_strangers_for_a_page_and_leads_to_the_sign_in(self, tmp_path) -> None:
        test = early_house(tmp_path / "home")
        with serving(test) as running, running.http() as stranger:
            answer = stranger.get("/people")
            assert (303, "/login?next=%2Fpeople") == (answer.status_code, answer.headers["location"])
            with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
                websocket(running, token=None).__enter__()
            assert 403 == refused.value.response.status_code
        assert 0 == running.process.returncode
        test.house.engine.dispose()

    def test_is_the_wrong_roles_for_a_page_and_draws_nothing_of_it(self, tmp_path) -> None:
        test = early_house(tmp_path / "home")
        with serving(test) as running:
            texts, pages = drawn(running, running.token("transcriptionist"), page="people")
            assert ["", "transcription", "my_account"] == pages
            assert not any("Add a person" in t or "Signed in now" in t for t in texts)
        test.house.engine.dispose()


@pytest.mark.parametrize("page", ["people", "audit", "board", "patients", "no_such_page"])
def test_a_page_of_another_role_is_not_drawn_for_a_forged_message(desk: Console, page: str) -> None:
    texts, pages = drawn(desk, desk.token("transcriptionist"), page=page)
    assert ["", "transcription", "my_account"] == pages
    assert not any("Signed in now" in t or "Audit trail" in t for t in texts)


@pytest.mark.parametrize("page", ["people", "audit"])
def test_a_page_of_another_role_is_not_drawn_for_its_hash(desk: Console, page: str) -> None:
    texts, _ = drawn(desk, desk.token("transcriptionist"), hash=calc_hash(page))
    assert not any("Signed in now" in t or "Audit trail" in t for t in texts)


def test_no_page_of_another_role_is_drawn_by_name_or_by_hash(desk: Console) -> None:
    """Every page that is not a transcriptionist's, over one websocket; tests/test_pages.py says whose each page is."""
    with websocket(desk, token=desk.token("transcriptionist")) as ws:
        home, pages = run(ws)
        assert ["", "my_account", "transcription"] == sorted(pages)
        others = [page.key for page in nav.PAGES if page.key not in pages]
        assert 15 < len(others)
        wrong = [
            (key, kind)
            for key in others
            for kind, how in {"name": {"page": key}, "hash": {"hash": calc_hash(key)}}.items()
            if heading(run(ws, **how)[0]) != heading(home)
        ]
    assert [] == wrong


def heading(texts: list[str]) -> str:
    """What the page that was drawn is called."""
    return next(t for t in texts if "heading" in t)


@pytest.mark.parametrize("how", [{"page": "people"}, {"hash": calc_hash("people")}])
def test_the_right_role_gets_that_page(desk: Console, how: dict[str, str]) -> None:
    texts, _ = drawn(desk, desk.token("admin"), **how)
    assert any("Signed in now" in t for t in texts)


def at_the_consoles_time(desk: Console, act: Callable[[], str]) -> str:
    """The console has seen this session by its own clock: for whoever is behind that, it is one of a clock put back."""
    was, desk.test.clock.at = desk.test.clock.at, datetime.now(UTC)
    try:
        return act()
    finally:
        desk.test.clock.at = was


def test_a_token_made_anew_leaves_nothing_to_the_old_one_not_even_an_open_page(desk: Console) -> None:
    old = desk.fresh_token("transcriptionist")
    with websocket(desk, token=old) as ws:
        assert not any("You are signed out" in t for t in run(ws)[0])
        new = at_the_consoles_time(desk, lambda: desk.test.do("nobody", sessions.rotate, token=old))
        assert any("You are signed out" in t for t in run(ws)[0])
    assert (401, 200) == (raw_get(desk, "/board", old)[0], raw_get(desk, "/board", new)[0])
    with pytest.raises(websockets.exceptions.InvalidStatus):
        websocket(desk, token=old).__enter__()


def test_a_role_that_is_lost_takes_its_pages_from_a_window_that_is_open(desk: Console) -> None:
    guest = hire(desk.test, "manager", "reception")
    with websocket(desk, token=guest.enters()) as ws:
        assert "audit" in run(ws)[1]
        has_roles(desk, guest, "reception")
        texts, pages = run(ws, page="audit")
        assert "audit" not in pages and "bookings" in pages
        assert not any("Audit trail" in t for t in texts)
        # One more role is no gift for a window that was open before: they sign in anew.
        has_roles(desk, guest, "reception", "manager")
        assert any("You are signed out" in t for t in run(ws)[0])


def has_roles(desk: Console, guest: Guest, *roles: str) -> None:
    """What an approved request, the directory or a sheet ends in."""
    with desk.test.does("system") as work, work.tend(Permission.PEOPLE_FOUND):
        people.set_roles(work, work.get(Person, guest.id), roles)


def test_whoever_is_shut_out_is_out_of_a_window_that_is_open(desk: Console) -> None:
    guest = hire(desk.test, "reception")
    with websocket(desk, token=(token := guest.enters())) as ws:
        assert "bookings" in run(ws)[1]
        desk.test.do("admin", people.suspend, guest.id, why="left the practice")
        texts, pages = run(ws, page="bookings")
        assert any("You are signed out" in t for t in texts) and "bookings" not in pages
    assert 401 == raw_get(desk, "/bookings", token)[0]


# The page, what its address names, and what it says where there is no such thing.
ABOUT = [
    ("study", "study", "This study does not exist, or is not yours to see."),
    ("patients", "patient", "This patient does not exist, or is not yours to see."),
    ("patient_access", "patient", "This patient does not exist, or is not yours to see."),
    ("audit", "patient", "This patient does not exist, or is not yours to see."),
    ("quarantine", "arrival", "This arrival does not exist, or is not yours to see."),
    ("people", "person", "This person is not there"),
    ("requests", "request", "This request is not there"),
]


def test_a_page_about_nothing_says_so_and_about_no_id_at_all_is_the_page(desk: Console) -> None:
    said, fell = {}, []
    with websocket(desk, token=desk.token("admin")) as ws:
        for page, about, _ in ABOUT:
            for wish in ("x", "%00", "1%20or%201=1", "..%2f..%2fx", "%D9%A0", str(UUID(int=0))):
                texts, _ = run(ws, page=page, query=f"{about}={wish}")
                fell += [(page, wish) for t in texts if "exception {" in t or "Traceback" in t]
            said[page] = " ".join(texts)  # of the last one, which is an id
    assert [] == fell
    assert [] == [page for page, _, sentence in ABOUT if sentence not in said[page]]


def test_the_code_that_signed_in_confirms_nothing_afterwards(desk: Console) -> None:
    with desk.http() as client:
        second = client.get(send_password(client, login="radiographer").headers["location"])
        code = desk.code_now("radiographer")
        client.post("/login/code", data={"token": form_token(second), "code": code})
        before = client.cookies[COOKIE]
        page = client.get("/stepup", params={"for": "factors", "next": "/my_account?x=1"})
        fields = {"token": form_token(page), "purpose": "factors", "next": "/my_account?x=1"}
        # The code was used to sign in: once only.
        assert 401 == client.post("/stepup", data={**fields, "code": code}).status_code
        assert before == client.cookies[COOKIE]


@pytest.mark.parametrize("cookie", [None, "", "x", "A" * 43, "A" * 5000])
def test_a_websocket_without_a_live_session_is_refused(desk: Console, cookie: str | None) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websocket(desk, token=cookie).__enter__()
    assert refused.value.response.status_code in (403, 431)


@pytest.mark.parametrize("how", [{"origin": "http://evil.example"}, {"origin": "null"}])
def test_a_websocket_of_another_origin_is_refused_even_with_a_session(desk: Console, how: dict) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websocket(desk, token=desk.token("reception"), **how).__enter__()
    assert 403 == refused.value.response.status_code


def test_a_password_alone_opens_nothing_but_the_second_question(desk: Console) -> None:
    with desk.http() as client:
        answer = send_password(client)
        assert (303, "/login/code?next=%2F") == (answer.status_code, answer.headers["location"])
        half = client.cookies["sorg-code"]
        client.cookies.set(COOKIE, half, domain="127.0.0.1")
        assert 303 == client.get("/board").status_code
    with pytest.raises(websockets.exceptions.InvalidStatus):
        websocket(desk, token=half).__enter__()


def test_name_password_and_code_open_the_page_that_was_asked_for(desk: Console) -> None:
    with desk.http() as client:
        assert "/login?next=%2Fpatients%3Fnew%3D1" == client.get("/patients?new=1").headers["location"]
        page = client.get("/login?next=%2Fpatients%3Fnew%3D1")
        fields = {
            "token": form_token(page),
            "next": "/patients?new=1",
            "login": "billing",
            "password": PASSWORD,
        }
        second = client.get(client.post("/login", data=fields).headers["location"])
        answer = client.post(
            "/login/code",
            data={"token": form_token(second), "next": "/patients?new=1", "code": desk.code_now("billing")},
        )
        assert (303, "/patients?new=1") == (answer.status_code, answer.headers["location"])
        cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(COOKIE + "="))
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
        assert 200 == client.get("/patients?new=1").status_code


def test_wrong_name_and_wrong_password_get_the_same_answer(desk: Console) -> None:
    with desk.http() as client:
        known = send_password(client, login="billing", password="wrong wrong wrong")
        unknown = send_password(client, login="nobody.here", password="wrong wrong wrong")
    assert (401, 401) == (known.status_code, unknown.status_code)
    assert known.text.replace("billing", "") == unknown.text.replace("nobody.here", "")
    assert signin.WRONG.split(".")[0] in known.text


def test_what_was_typed_is_shown_again_as_text_and_never_as_markup(desk: Console) -> None:
    with desk.http() as client:
        answer = send_password(client, login='"><script>alert(1)</script>', password="x" * 20)
    assert "<script" not in answer.text


@pytest.mark.parametrize("token", ["", "wrong", "A" * 43])
@pytest.mark.parametrize("path", ["/login", "/login/code", "/logout"])
def test_a_form_without_its_token_changes_nothing(desk: Console, path: str, token: str) -> None:
    with desk.http() as client:
        client.get("/login")
        if path == "/logout":
            client.cookies.set(COOKIE, desk.token("analyst"), domain="127.0.0.1")
        answer = client.post(
            path, data={"token": token, "login": "reception", "password": PASSWORD, "code": "123456"}
        )
        assert 403 == answer.status_code
        assert COOKIE + "=" not in str(answer.headers.get_list("set-cookie"))
        if path == "/logout":
            assert 200 == client.get("/my_account").status_code


def test_a_form_of_another_site_is_refused_though_it_knows_the_token(desk: Console) -> None:
    with desk.http(origin="http://evil.example") as client:
        assert 403 == send_password(client).status_code


def test_a_password_of_four_megabytes_is_refused_unread(desk: Console) -> None:
    with socket.create_connection(("127.0.0.1", desk.port), timeout=20) as raw:
        head = (
            f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{desk.port}\r\nContent-Type: {FORM}\r\n"
            f"Content-Length: {4 * 1024 * 1024}\r\n\r\n"
        )
        raw.sendall(head.encode() + b"password=" + b"x" * 1000)
        assert b" 413 " in raw.recv(2000).split(b"\r\n")[0]


def test_a_form_that_grows_without_saying_how_long_it_is_is_refused(desk: Console) -> None:
    def pieces():
        for _ in range(LARGEST_FORM // 1024 + 10):
            yield b"password=" + b"x" * 1015

    with desk.http() as client:
        # The server may close before everything is sent: then it has not read it either.
        with contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError):
            assert 413 == client.post("/login", content=pieces(), headers={"Content-Type": FORM}).status_code


def test_a_stranger_who_hangs_up_in_the_middle_of_a_form_leaves_no_page_in_the_log(desk: Console) -> None:
    head = (
        f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{desk.port}\r\nContent-Type: {FORM}\r\n"
        "Content-Length: 900\r\n\r\na="
    )
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", desk.port), timeout=20) as raw:
            raw.sendall(head.encode())
    with desk.http() as client:
        for _ in range(20):
            assert 200 == client.get("/login").status_code
    assert "ClientDisconnect" not in log_of(desk)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "[::1",
        "user@127.0.0.1@evil.example",
        "evil@localhost",
        "localhost/evil",
        "localhost?evil",
    ],
)
def test_a_host_name_that_is_not_ours_is_refused(desk: Console, host: str) -> None:
    with desk.http("manager") as client:
        for path in ("/health", "/login", "/board"):
            assert client.get(path, headers={"host": host}).status_code in (400, 421)


@pytest.mark.parametrize(
    "wish",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "/\tboard",
        "/board\r\nSet-Cookie: a=b",
        "/login",
        "/logout",
        "",
        "board",
        "/" + "x" * 600,
    ],
)
def test_no_address_leads_from_the_sign_in_to_another_place(desk: Console, wish: str) -> None:
    assert "/" == local_path(wish)
    with desk.http("reception") as client:
        assert "/" == client.get(f"/login?next={quote(wish, safe='')}").headers["location"]


@pytest.mark.parametrize("path", [
    "/loginx", "//login", "/login/", "/login/x", "/LOGIN", "/%6cogin/../board", "/login/../board", "/login/%2e%2e/board",
    "/health/", "/healthx", "/board", "/", "/index.html", "/static/index.html", "/_stcore/health", "/_stcore/host-config",
    "//_stcore/host-config", "/login/%2e%2e/_stcore/host-config", "/_stcore/agent/openapi.json", "/_stcore/agent/mcp",
    "/_stcore/upload_file/x/y", "/_stcore/metrics", "/media/x.jpg", "/auth/login", "/oauth2callback", "/app/static/x",
    "/view/staff.html", "/view/assets/x.js", "/images/00000000-0000-0000-0000-000000000000/manifest",
    "/activatex", "/activate/", "/activate/../", "/activate/../board", "/activate/%2e%2e/board", "/activate%2f..%2fboard",
    "/ACTIVATE", "//activate", "/activate;/board", "/activate/password/../../board", "/login/keys.js/../../board",
    "/login/key/x", "/login/keys.js/", "/stepup", "/stepup/", "/stepup%2fkey", "/stepup/../board", "/stepup/key/options",
    "/account/keys", "/account/app", "/account/recovery", "/account/../login/../board", "/account%2fkeys", "/account/",
    "/static/../_stcore/host-config", "/static/%2e%2e/_stcore/host-config", "/foo/_stcore/host-config",
    "/_stcore/script-health-check", "/_stcore/stream", "/login/../_stcore/host-config", "/login/..%2f_stcore/host-config",
    "/login/../media/x.jpg", "/static/../media/x.jpg", "/component/x/index.html", "/_stcore/bidi-components/x/y",
    "/login\\..\\board", "/login;/../board", "/.%2e/board", "/login/style.css/../../board",
])  # fmt: skip
def test_no_path_but_the_open_ones_answers_a_stranger(desk: Console, path: str) -> None:
    """Sent over a raw socket, since clients tidy paths up."""
    status, body = raw_get(desk, path)
    assert status in (303, 400, 401, 404) and b"__STREAMLIT" not in body and b"stApp" not in body


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
@pytest.mark.parametrize(
    "path", ["/_stcore/upload_file/session/file", "/media/x.jpg", "/board", "/images/x/manifest"]
)
def test_no_method_answers_a_stranger_either(desk: Console, path: str, method: str) -> None:
    """Files are handed in and out by addresses that anybody could guess at: without a session there is nothing there."""
    status, body = raw_get(desk, path, method=method)
    assert status in (303, 400, 401, 405) and b"stApp" not in body


def raw_get(desk: Console, path: str, cookie: str = "", *, method: str = "GET") -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", desk.port), timeout=20) as raw:
        said = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{desk.port}\r\nConnection: close\r\n"
        raw.sendall((said + (f"Cookie: {COOKIE}={cookie}\r\n" if cookie else "") + "\r\n").encode())
        answer = b""
        while piece := raw.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


@pytest.mark.parametrize("path", ["/_stcore/agent/openapi.json", "/_stcore/agent/mcp", "/_stcore/metrics"])
def test_what_nobody_needs_is_shut_for_staff_too(desk: Console, path: str) -> None:
    assert 404 == raw_get(desk, path, desk.token("admin"))[0]


def test_a_nested_address_that_does_not_exist_leads_home(desk: Console) -> None:
    with desk.http("reception") as client:
        answer = client.get("/patients/there/is/nothing")
    assert (303, "/") == (answer.status_code, answer.headers["location"])


def test_health_says_that_it_lives_and_nothing_else(desk: Console) -> None:
    with desk.http() as client:
        assert {"ok": True} == json.loads(client.get("/health").text)


def test_every_answer_carries_its_policy(desk: Console) -> None:
    with desk.http("reception") as client:
        for path in (
            "/login",
            "/board",
            "/health",
            "/static/nothing.js",
            "/activate",
            "/stepup",
            "/account/keys",
            "/account/nothing",
            "/login/nothing",
            "/stepup/key",
            "/logout",
        ):
            headers = client.get(path).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert (
                "DENY",
                "nosniff",
                "same-origin",
                "same-origin",
                "camera=(), geolocation=(), microphone=(self)",
            ) == (
                headers["x-frame-options"],
                headers["x-content-type-options"],
                headers["referrer-policy"],
                headers["cross-origin-opener-policy"],
                headers["permissions-policy"],
            )
            assert "unsafe-eval" not in headers["content-security-policy"].replace("wasm-unsafe-eval", "")
            assert not {"ws:", "wss:", "*"} & set(re.split("[ ;]", headers["content-security-policy"]))
            assert "strict-transport-security" not in headers  # Without HTTPS a browser would be locked out.
        viewer = client.get("/view/staff.html").headers
        assert "frame-ancestors 'self'" in viewer["content-security-policy"]
        assert "SAMEORIGIN" == viewer["x-frame-options"]


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(desk: Console) -> None:
    token = desk.fresh_token("manager")
    with desk.http() as client:
        client.cookies.set(COOKIE, token, domain="127.0.0.1")
        # A signed-in visitor is not shown the sign-in page; the form's token comes from a stranger's visit.
        with desk.http() as other:
            form = form_token(other.get("/login"))
        client.cookies.set("sorg-form", form, domain="127.0.0.1")
        assert 200 == client.get("/board").status_code
        answer = client.post("/logout", data={"token": form})
        assert (303, "/login?left=1") == (answer.status_code, answer.headers["location"])
        client.cookies.delete(COOKIE)
        assert "You are signed out." in client.get("/login?left=1").text
    assert 401 == raw_get(desk, "/board", token)[0]


def test_a_page_of_the_console_is_asked_for_again_by_the_back_button(desk: Console) -> None:
    # Kept by the browser, it came back after signing out as grey boxes that never filled.
    with desk.http("manager") as client:
        assert "no-store" == client.get("/board").headers["cache-control"]
        assert "no-store" not in client.get("/view/").headers.get("cache-control", "")


def test_a_session_that_an_admin_ends_is_over_at_the_next_request(desk: Console) -> None:
    token = desk.fresh_token("manager")
    assert 200 == raw_get(desk, "/board", token)[0]
    # The manager's own: people who signed in at the console did so by its clock, which is ahead of this test's.
    newest = desk.test.do("admin", sessions.sessions, person_id=desk.test.actors["manager"].person)[0]
    desk.test.do("admin", sessions.end_session, newest.id)
    assert 401 == raw_get(desk, "/board", token)[0]


def test_signing_in_is_on_record_with_the_address_it_came_from(desk: Console) -> None:
    with desk.http() as client:
        send_password(client, login="billing", password="not the password")
    newest = desk.test.do("admin", privacy.entries, size=5)
    refused = next(e for e in newest if e.act == "sign-in" and e.outcome == "refused")
    assert ("console", "127.0.0.1") == (refused.channel, refused.address)


@pytest.mark.parametrize(("by", "counts"), [(PROXY, "192.0.2.7"), ("127.0.0.1", "127.0.0.1")])
def test_the_last_hop_of_a_known_proxy_is_on_record_and_nobody_elses_word(
    desk: Console, by: str, counts: str
) -> None:
    with httpx.Client(
        base_url=desk.url,
        timeout=30,
        transport=httpx.HTTPTransport(local_address=by),
        headers={"x-forwarded-for": "203.0.113.1, 192.0.2.7"},
    ) as client:
        send_password(client, login=f"nobody.{by}", password="not the password")
    newest = desk.test.do("admin", privacy.entries, size=5)
    assert counts == next(e for e in newest if e.act == "sign-in" and e.outcome == "refused").address


def test_the_log_holds_nothing_that_somebody_typed(desk: Console) -> None:
    """Written last, when the tests above have typed all of it."""
    log = log_of(desk)
    assert not [
        word for word in (PASSWORD, "Traceback", "sorg-staff=", "code=", "wrong wrong wrong") if word in log
    ]
