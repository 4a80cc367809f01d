"""Accounts at the gateway beside a real Orthanc: who gets in, what each sees, and every way to somebody else's images."""

import io
import re
import time
from uuid import UUID

import httpx
import pydicom
import pyotp
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from core import activation, own_studies, people, privacy, sessions, sharing, signin
from core.errors import Denied, Refused, WrongAnswer
from core.rules.roles import Permission, Role
from core.store.model import Instance, Person, SignInSession
from core.store.work import Subject, nobody, system
from core.tokens import hash_token
from doors import manners
from gateway.app import create
from gateway.images import OrthancImages
from gateway.manners import FORM, HALF, SESSION
from tests.fixtures.door import TEXT
from tests.fixtures.guests import SoftKey
from tests.fixtures.house import PASSWORD
from tests.fixtures.ward import Ward, form_of


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Refusals take their time in the test that is about it."""
    monkeypatch.setattr(manners, "FLOOR_S", 0.001)


@pytest.fixture
def thando(ward: Ward) -> httpx.Client:
    return ward.signed_in("thando")


@pytest.fixture
def molefe(ward: Ward) -> httpx.Client:
    return ward.signed_in("molefe")


def images_of(browser: httpx.Client, study: UUID) -> list[str]:
    series = browser.get(f"/account/studies/{study}/manifest").json()["series"]
    return [i["id"] for s in series for i in s["instances"]]


def listed(browser: httpx.Client) -> list[str]:
    return re.findall(r"/studies/([0-9a-f-]{36})/view/", browser.get("/account/studies").text)


# What an account sees -------------------------------------------------------------------------------------------


def test_a_patient_sees_exactly_their_own_signed_studies_newest_first(ward, thando):
    assert [str(ward.second), str(ward.first)] == listed(thando)
    page = thando.get("/account/studies").text
    for said in ("CT brain", "CT chest", "CT scan", "25/11/2026", "3 images", "signed by Radiologist Person"):
        assert said in page
    assert "CT sinuses" not in page and "CT spine" not in page and "Botha" not in page


def test_a_study_opens_in_the_viewer_with_its_images_report_and_pdf(ward, thando):
    base = f"/account/studies/{ward.first}"
    assert (303, f"{base}/view/") == ((away := thando.get(base)).status_code, away.headers["location"])
    viewer = thando.get(f"{base}/view/")
    assert (200, True) == (viewer.status_code, 'data-state="loading"' in viewer.text)
    manifest = thando.get(f"{base}/manifest").json()
    assert ("CT brain", "2026-11-24") == (manifest["study"]["description"], manifest["study"]["date"])
    assert (TEXT, "Radiologist Person") == (manifest["report"]["text"], manifest["report"]["signed_by"])
    assert ("patient", None, "Ubuntu Radiology") == (
        manifest["holder"],
        manifest["until"],
        manifest["practice"]["name"],
    )
    image = thando.get(f"{base}/instances/{images_of(thando, ward.first)[0]}/file")
    assert "CT" == pydicom.dcmread(io.BytesIO(image.content)).Modality
    pdf = thando.get(f"{base}/report.pdf")
    assert ("application/pdf", b"%PDF") == (pdf.headers["content-type"], pdf.content[:4])


def test_a_study_is_listed_under_the_day_that_its_images_name_though_one_of_them_names_none(ward, thando):
    with ward.test.does("system") as work, work.tend(Permission.IMAGES_RECEIVE):
        silent, other = work.db.scalars(select(Instance).where(Instance.study_id == ward.second))
        before, silent.study_date, other.study_date = other.study_date, "", "20261201"
    try:
        assert "CT scan" in (page := thando.get("/account/studies").text)
        day = thando.get(f"/account/studies/{ward.second}/manifest").json()["study"]["date"]
        assert ("2026-12-01", True) == (day, "01/12/2026" in page)
    finally:
        with ward.test.does("system") as work, work.tend(Permission.IMAGES_RECEIVE):
            for image in work.db.scalars(select(Instance).where(Instance.study_id == ward.second)):
                image.study_date = before


def test_a_report_that_is_not_printed_yet_is_a_matter_of_waiting(ward, thando):
    answer = thando.get(f"/account/studies/{ward.second}/report.pdf")
    assert (503, "30", True) == (
        answer.status_code,
        answer.headers["retry-after"],
        "in a minute" in answer.json()["sentence"],
    )
    page = thando.get(f"/account/studies/{ward.second}/report.pdf", headers={"Sec-Fetch-Dest": "document"})
    assert (503, True) == (page.status_code, "<h1>We cannot show this</h1>" in page.text)


def test_a_doctor_sees_what_they_referred_with_the_patients_name_and_nothing_else(ward, molefe):
    assert [str(ward.first)] == listed(molefe)
    page = molefe.get("/account/studies").text
    assert "Nkosi-Müller, Thandô" in page and "File " in page and 'role="search"' not in page
    assert "referrer" == molefe.get(f"/account/studies/{ward.first}/manifest").json()["holder"]
    assert 404 == molefe.get(f"/account/studies/{ward.second}/manifest").status_code


def test_somebody_without_a_signed_study_reads_why_nothing_is_there(ward):
    page = ward.signed_in("cele").get("/account/studies")
    assert (200, True) == (page.status_code, "Nothing here yet" in page.text)
    assert "as soon as a radiologist has looked at the images" in page.text


def test_each_opening_is_on_record_once_a_sitting_and_names_the_patient(ward):
    browser = ward.signed_in("botha")
    for _ in range(2):
        browser.get("/account/studies")
        for image in images_of(browser, ward.foreign):
            browser.get(f"/account/studies/{ward.foreign}/instances/{image}/file")
        browser.get(f"/account/studies/{ward.foreign}/report.pdf")
    newest = ward.test.do("admin", privacy.entries, size=40)
    mine = [
        e
        for e in newest
        if e.act == Permission.OWN_STUDIES and e.outcome == "done" and e.who == "Botha Person"
    ]
    assert [("study", str(ward.foreign)), ("studies", "")] == [(e.subject_kind, e.subject_id) for e in mine]
    assert 1 == len({e.patient_id for e in mine}) and mine[0].patient_id


# Somebody else's ------------------------------------------------------------------------------------------------


def test_nobody_elses_study_and_no_unsigned_one_opens_and_the_try_is_on_record(ward, thando, molefe):
    for browser, study in (
        (thando, ward.foreign),
        (thando, ward.unsigned),
        (molefe, ward.foreign),
        (thando, UUID(int=7)),
    ):
        for path in ("manifest", "report.pdf", f"instances/{UUID(int=1)}/file"):
            answer = browser.get(f"/account/studies/{study}/{path}")
            assert (404, True) == (answer.status_code, "not yours to see" in answer.json()["sentence"]), path
    refused = [
        e
        for e in ward.test.do("admin", privacy.entries, size=30)
        if e.act == Permission.OWN_STUDIES and e.outcome == "refused"
    ]
    assert str(ward.foreign) in {e.subject_id for e in refused}


def test_an_image_opens_only_under_its_own_study(ward, thando):
    botha = ward.signed_in("botha")
    own, other, foreign = (
        images_of(b, s)[0] for b, s in ((thando, ward.first), (thando, ward.second), (botha, ward.foreign))
    )
    base = f"/account/studies/{ward.first}/instances"
    assert [200, 404, 404] == [thando.get(f"{base}/{one}/file").status_code for one in (own, other, foreign)]
    assert 404 == thando.get(f"/account/studies/{ward.foreign}/instances/{foreign}/file").status_code


@pytest.mark.parametrize(
    "path",
    [
        "{id}/../{foreign}/manifest",
        "%2e%2e/{foreign}/manifest",
        "{id}/instances/x/file",
        "x/manifest",
        "{id}%00/manifest",
        "{id}/instances/..%2f..%2fsystem/file",
    ],
)
def test_tricks_with_paths_find_nothing(ward, thando, path):
    asked = path.format(id=ward.first, foreign=ward.foreign)
    answer = thando.get(f"/account/studies/{asked}")
    assert 404 == answer.status_code, answer.text[:200]


def test_an_account_opens_no_link_and_a_link_no_account(ward, thando):
    holder = ward.opened(ward.mint())
    seat = holder.cookies["sorg_visit"]
    assert 200 == holder.get("/share/manifest").status_code
    own = f"/account/studies/{ward.first}/manifest"
    for cookies in ({SESSION: seat}, {"sorg_visit": seat}):
        assert 401 == httpx.get(ward.url + own, cookies=cookies, trust_env=False).status_code
    token = thando.cookies[SESSION]
    for cookies in ({"sorg_visit": token}, {SESSION: token}):
        assert 401 == httpx.get(f"{ward.url}/share/manifest", cookies=cookies, trust_env=False).status_code


def test_a_link_is_refused_by_the_verbs_of_an_account_even_for_its_own_study(ward):
    session = ward.opened(ward.mint()).cookies["sorg_visit"]
    with ward.test.house.work(nobody(channel="gateway")) as work:
        link = sharing.actor_of(work, session)
    for verb, given in (
        (own_studies.my_studies, ()),
        (own_studies.open_own_study, (ward.first,)),
        (own_studies.own_report_pdf, (ward.first,)),
        (own_studies.own_image, (ward.first, UUID(int=1))),
    ):
        with pytest.raises(Denied, match="account only"), ward.test.house.work(link) as work:
            verb(work, *given)


# The two doors ---------------------------------------------------------------------------------------------------


def begun(ward: Ward, login: str, channel: str, mark: str) -> str:
    """A session of this person at this door, whoever may have one there."""
    with ward.test.house.work(system()) as work, work.tend(Permission.SYSTEM_MANAGE):
        person = people.by_login(work, login)
        now = work.now()
        work.db.add(
            SignInSession(
                id=work.new_id(),
                token_hash=hash_token(f"{login}@{channel}{mark}"),
                person_id=person.id,
                stage="open",
                from_address="",
                begun_at=now,
                seen_at=now,
                ends_at=now.replace(year=2030),
                channel=channel,
                method="code",
                is_away=False,
                reason="",
                ended_why="",
            )
        )
    return f"{login}@{channel}{mark}"


@pytest.mark.parametrize(
    ("login", "made", "asked"),
    [
        ("radiologist", "console", "gateway"),
        ("radiologist", "gateway", "gateway"),
        ("thando", "gateway", "console"),
        ("thando", "console", "console"),
        ("thando", "console", "gateway"),
    ],
)
def test_a_session_is_none_at_the_other_door_whatever_its_person_has_become(ward, login, made, asked):
    token = begun(ward, login, made, asked)
    with ward.test.house.work(nobody(channel=asked)) as work:
        assert sessions.actor_of(work, token=token, channel=asked) is None
    if asked == "gateway":
        answer = httpx.get(f"{ward.url}/account/studies", cookies={SESSION: token}, trust_env=False)
        assert 401 == answer.status_code


def test_staff_do_not_sign_in_here_and_nobody_here_uses_up_their_tries(ward):
    before = ward.half_way("nobody-of-that-name"), ward.answered.text
    for password in (PASSWORD, *["wrong"] * 6):
        ward.half_way("radiologist", password)
        assert (401, before[1].replace("nobody-of-that-name", "radiologist")) == (
            ward.answered.status_code,
            re.sub(
                r'name="form" value="[^"]+"',
                lambda m: re.search(r'name="form" value="[^"]+"', before[1])[0],
                ward.answered.text,
            ),
        )
    with ward.test.house.work(system()) as work, work.look(Permission.SYSTEM_SEE):
        person = people.by_login(work, "radiologist")
        assert (0, None) == (person.wrong_answers, person.locked_until)
    newest = [e for e in ward.test.do("admin", privacy.entries, size=5) if e.act == Permission.SIGN_IN]
    assert {"wrong door"} == {e.facts["why"] for e in newest}


def test_a_patients_account_does_not_sign_in_at_the_console(ward):
    with pytest.raises(WrongAnswer), ward.test.house.work(nobody(channel="console")) as work:
        signin.check_password(work, login="thando", password=PASSWORD)


# Signing in ------------------------------------------------------------------------------------------------------


def test_the_cookies_are_for_this_door_alone_and_no_script_reads_them(ward):
    browser = ward.half_way("cele")
    cookies = [ward.answered.headers["set-cookie"]]
    answer = ward.send(browser, "/account/code", code=ward.code("cele"))
    cookies += answer.headers.get_list("set-cookie")
    paths = {c.partition("=")[0]: re.search("Path=([^;]+)", c)[1] for c in cookies}
    assert {HALF: "/account/code", SESSION: "/account", FORM: "/account"} == paths
    assert all("HttpOnly" in c and "SameSite=strict" in c for c in cookies)


def test_half_a_sign_in_opens_nothing(ward):
    half = ward.half_way("thando").cookies[HALF]
    for path in ("/account/studies", f"/account/studies/{ward.first}/manifest"):
        assert 401 == httpx.get(ward.url + path, cookies={SESSION: half}, trust_env=False).status_code


def test_a_code_works_once_and_a_wrong_one_not_at_all(ward):
    browser, code = ward.half_way("botha"), ward.code("botha")
    wrong = ward.send(browser, "/account/code", code="000000")
    assert (401, True) == (wrong.status_code, "not right" in wrong.text)
    assert 303 == ward.send(browser, "/account/code", code=code).status_code
    again = ward.send(ward.half_way("botha"), "/account/code", code=code)
    assert 401 == again.status_code


def test_no_form_counts_that_a_foreign_page_sent(ward):
    browser = ward.browser()
    form = form_of(browser.get("/account"))
    said = {"login": "thando", "password": PASSWORD}
    for data, headers in (
        (said, {}),
        ({**said, "form": "guessed"}, {}),
        ({**said, "form": form}, {"Origin": "https://evil.example"}),
        ({**said, "form": form}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
    ):
        ward.ticks[0] += 60
        assert 403 == browser.post("/account", data=data, headers=headers).status_code
    assert (
        303 == browser.post("/account", data={**said, "form": form}, headers={"Origin": ward.url}).status_code
    )
    assert 421 == browser.get("/account", headers={"Host": "evil.example"}).status_code


def test_a_form_of_a_megabyte_is_not_read(ward):
    ward.ticks[0] += 60
    assert 413 == ward.browser().post("/account", content=b"password=" + b"x" * 1_000_000).status_code


def test_whoever_tries_too_fast_waits(ward):
    ward.ticks[0] += 3600
    browser = ward.browser()
    for _ in range(20):
        browser.post("/account/code")
    refused = browser.post("/account/code")
    assert (429, "60", True) == (
        refused.status_code,
        refused.headers["retry-after"],
        "wait a minute" in refused.text,
    )
    ward.ticks[0] += 3600


def test_every_refusal_takes_its_time(ward, monkeypatch):
    monkeypatch.setattr(manners, "FLOOR_S", 0.4)
    begun_s = time.monotonic()
    ward.half_way("thando", "wrong")
    assert (401, True) == (ward.answered.status_code, time.monotonic() - begun_s >= 0.4)


def test_pages_run_no_script_and_are_kept_by_nobody(ward, thando):
    for page in (
        thando.get("/account/studies"),
        ward.browser().get("/account"),
        ward.browser().get("/account/activate"),
    ):
        assert (200, "no-store") == (page.status_code, page.headers["cache-control"])
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src" not in policy and "<script" not in page.text
        assert {"DENY", "no-referrer", "nosniff"} <= set(page.headers.values())


# The end of a visit -----------------------------------------------------------------------------------------------


def test_a_visit_ends_after_a_pause_and_says_so(ward):
    browser = ward.signed_in("cele")
    ward.test.clock.pass_(minutes=14)
    assert 200 == browser.get("/account/studies").status_code
    ward.test.clock.pass_(minutes=14)
    assert 200 == browser.get("/account/studies").status_code
    ward.test.clock.pass_(minutes=16)
    assert (401, True) == (
        (viewer := browser.get(f"/account/studies/{ward.first}/manifest")).status_code,
        "signed out" in viewer.json()["sentence"],
    )
    over = browser.get("/account/studies")
    assert (401, True) == (over.status_code, "After 15 minutes without use" in over.text)
    assert (303, "/account") == (
        (onward := browser.get("/account/studies")).status_code,
        onward.headers["location"],
    )


def test_a_visit_that_the_practice_ends_is_not_blamed_on_a_pause(ward):
    browser = ward.signed_in("cele")
    assert 200 == browser.get("/account/studies").status_code
    mine = next(s for s in ward.test.do("admin", sessions.sessions) if s.channel == sessions.GATEWAY)
    ward.test.do("admin", sessions.end_session, mine.id)
    over = browser.get("/account/studies")
    assert (401, True, False) == (
        over.status_code,
        "This session was ended. The practice ended it." in over.text,
        "without use" in over.text,
    )
    browser.cookies.set(SESSION, "guessed" * 6)
    unknown = browser.get("/account/studies")
    assert (401, True) == (unknown.status_code, "This session was ended.</p>" in unknown.text)


def test_signing_out_ends_the_session_itself(ward):
    browser = ward.signed_in("cele")
    token = browser.cookies[SESSION]
    form = form_of(browser.get("/account/studies"))
    assert (
        303 == browser.post("/account/out", data={"form": "guessed"}, headers={"Origin": "null"}).status_code
    )
    assert 200 == browser.get("/account/studies").status_code  # without our form nothing ended
    out = browser.post("/account/out", data={"form": form}, headers={"Origin": "null"})
    assert (303, "/account/signed-out") == (out.status_code, out.headers["location"])
    assert "You are signed out" in browser.get("/account/signed-out").text
    stolen = httpx.get(f"{ward.url}/account/studies", cookies={SESSION: token}, trust_env=False)
    assert 401 == stolen.status_code


def test_an_account_that_is_shut_out_sees_nothing_at_its_next_step(ward):
    ward.account("shut", "Shut Person", patient_id=person_of(ward, "cele").patient_id)
    browser = ward.signed_in("shut")
    ward.test.do("admin", people.suspend, person_of(ward, "shut").id, why="Phone stolen")
    assert 401 == browser.get("/account/studies").status_code


def person_of(ward: Ward, login: str) -> Person:
    with ward.test.house.work(system()) as work, work.look(Permission.SYSTEM_SEE):
        return people.by_login(work, login)


# The slip ---------------------------------------------------------------------------------------------------------


def slip_for(ward: Ward, login: str, *, role: Role = Role.PATIENT) -> str:
    """An account that waits for its owner, and the code on the paper."""
    bound = {"patient_id": str(person_of(ward, "cele").patient_id)} if role is Role.PATIENT else {}
    with ward.test.house.work(system()) as work, work.act(Permission.PEOPLE_FOUND, Subject("login", login)):
        person = people.new_person(work, {"login": login, "name": "New Person", "roles": [role], **bound})
    return ward.test.do("admin", people.make_slip, person.id).code


def test_a_slip_leads_to_a_password_an_app_recovery_codes_and_in(ward):
    slip, browser = slip_for(ward, "fresh"), ward.browser()
    assert 303 == ward.send(browser, "/account/activate", slip=slip.lower().replace("-", " ")).status_code
    page = browser.get("/account/activate/password").text
    assert "fresh" in page and slip not in page
    different = ward.send(browser, "/account/activate/password", password="long enough words", again="other")
    assert (400, True) == (different.status_code, "not the same" in different.text)
    words = "purple oxen sing at dawn"
    shown = ward.send(browser, "/account/activate/password", password=words, again=words)
    secret = "".join(re.search(r'class="secret">([A-Z2-7 ]+)<', shown.text)[1].split())
    box = re.search(r'name="box" value="([0-9a-f]+)"', shown.text)[1]
    said = {"form": form_of(shown), "box": box}
    wrong = browser.post("/account/activate/app", data={**said, "code": "000000"}, headers={"Origin": "null"})
    assert (401, True) == (wrong.status_code, secret[:4] in wrong.text)  # the same picture again
    code = pyotp.TOTP(secret).at(ward.test.clock.at)
    done = browser.post("/account/activate/app", data={**said, "code": code}, headers={"Origin": "null"})
    codes = re.findall(r"<li><code>([A-Z2-7-]+)</code>", done.text)
    assert (200, 10) == (done.status_code, len(codes))
    ward.secrets["fresh"] = secret
    half = ward.half_way("fresh", words)
    assert (
        303
        == ward.send(
            half, "/account/code?use=recovery", recovery=codes[0].lower(), use="recovery"
        ).status_code
    )
    assert 200 == half.get("/account/studies").status_code
    again = ward.send(ward.browser(), "/account/activate", slip=slip)
    assert (401, True) == (again.status_code, "used already" in again.text)


def test_a_slip_of_staff_is_not_taken_at_this_door_nor_a_patients_at_the_console(ward):
    staff, patient = slip_for(ward, "newclerk", role=Role.BILLING), slip_for(ward, "newpatient")
    refused = ward.send(ward.browser(), "/account/activate", slip=staff)
    assert (401, True) == (refused.status_code, "own computers" in refused.text)
    with (
        pytest.raises(Refused, match="patients' page"),
        ward.test.house.work(nobody(channel="console")) as work,
    ):
        activation.look_at(work, slip=patient)


# A doctor with many -----------------------------------------------------------------------------------------------


def test_a_long_list_of_referrals_is_searched_by_name_and_no_name_stands_in_an_address(
    ward, molefe, monkeypatch
):
    monkeypatch.setattr("gateway.account_page.FEW", 0)
    page = molefe.get("/account/studies")
    assert 'role="search"' in page.text
    form = form_of(page)
    for words, found in (("nkosi muller", 1), ("THANDÔ", 1), ("botha", 0), ("%", 0)):
        answer = molefe.post(
            "/account/studies", data={"form": form, "search": words}, headers={"Origin": "null"}
        )
        assert (200, found) == (answer.status_code, answer.text.count('class="study"')), words
    assert "No patient fits" in answer.text
    assert (
        303
        == molefe.post("/account/studies", data={"search": "nkosi"}, headers={"Origin": "null"}).status_code
    )


def test_a_list_beyond_its_page_is_turned(ward, thando, monkeypatch):
    monkeypatch.setattr("core.own_studies.PAGE_SIZE", 1)
    pages = [thando.get(f"/account/studies?page={n}").text for n in ("1", "2", "99", "x")]
    assert ["CT chest", "CT brain", "CT brain", "CT chest"] == [
        re.search("<h2>([^<]+)<", p)[1] for p in pages
    ]
    assert "Page 1 of 2" in pages[0] and "/account/studies?page=2" in pages[0]


# Under HTTPS --------------------------------------------------------------------------------------------------------


def test_under_https_the_cookies_say_so_and_are_sent_nowhere_else(ward):
    app = create(ward.test.house, OrthancImages(ward.there.child.url, ward.there.child.auth), https=True)
    browser = TestClient(app, base_url="https" + ward.url[4:], follow_redirects=False)
    said = {"form": form_of(browser.get("/account")), "login": "cele", "password": PASSWORD}
    cookies = [browser.get("/account").headers["set-cookie"]]
    answer = browser.post("/account", data=said, headers={"Origin": "null"})
    cookies.append(answer.headers["set-cookie"])
    assert ["__Secure-" + FORM, "__Secure-" + HALF] == [c.partition("=")[0] for c in cookies]
    assert all("Secure" in c.split("; ") and "Path=/account" in c for c in cookies)
    assert "strict-transport-security" in answer.headers


# One's own account ----------------------------------------------------------------------------------------------------

ME = "/account/me"
WORDS_OF_MINE = "purple oxen sing at dawn"


def own(ward: Ward, login: str) -> httpx.Client:
    """Somebody with a fresh account of their own, signed in: what they change is nobody else's."""
    if login not in ward.secrets:
        ward.account(login, f"{login.title()} Person", patient_id=person_of(ward, "cele").patient_id)
    return ward.signed_in(login)


def confirmed(ward: Ward, browser: httpx.Client, login: str, *, at: str = ME) -> httpx.Response:
    """Show once more that it is them, by a code; on to `at`."""
    page = browser.get(f"{ME}/confirm?for=factors&next={at}")
    said = {"form": form_of(page), "purpose": "factors", "next": at, "code": ward.code(login)}
    return browser.post(f"{ME}/confirm", data=said, headers={"Origin": "null"})


def by_script(browser: httpx.Client, path: str, said: object, **headers: str) -> httpx.Response:
    """What our script sends: JSON, with the form's token in its header."""
    token = form_of(browser.get(f"{ME}/password")) or form_of(browser.get(ME))
    return browser.post(path, json=said, headers={"x-sorg-form": token, "Origin": "null", **headers})


def posts_of_mine() -> list[str]:
    return [
        f"{ME}/{path}"
        for path in (
            "keys",
            "keys/options",
            "keys/remove",
            "app",
            "recovery",
            "password",
            "sessions/end",
            "confirm",
            "confirm/key",
            "confirm/key/options",
        )
    ]


def test_my_account_says_how_i_sign_in_and_where_i_am_signed_in(ward):
    browser, elsewhere = own(ward, "overview"), own(ward, "overview")
    page = browser.get(ME).text
    for said in (
        "Fingerprint or face",
        "App with six digits",
        "in use",
        "none left",
        "Overview Person",
        "Another phone or computer",
        ">Here<",
    ):
        assert said in page, said
    session = re.search(r'name="session" value="([0-9a-f-]+)"', page)[1]
    said = {"form": form_of(browser.get(ME)), "session": session}
    done = browser.post(f"{ME}/sessions/end", data=said, headers={"Origin": "null"})
    assert (303, f"{ME}?done=one") == (done.status_code, done.headers["location"])
    assert (401, 200) == (elsewhere.get("/account/studies").status_code, browser.get(ME).status_code)
    for foreign in (str(UUID(int=7)), "x", str(session_of(ward, "thando"))):
        said["session"] = foreign
        assert 404 == browser.post(f"{ME}/sessions/end", data=said, headers={"Origin": "null"}).status_code
    one, two = own(ward, "overview"), own(ward, "overview")
    del said["session"]
    assert 303 == browser.post(f"{ME}/sessions/end", data=said, headers={"Origin": "null"}).status_code
    assert [401, 401, 200] == [b.get("/account/studies").status_code for b in (one, two, browser)]


def session_of(ward: Ward, login: str) -> UUID:
    ward.signed_in(login)
    with ward.test.house.work(system()) as work, work.look(Permission.SYSTEM_SEE):
        of = select(SignInSession.id).where(SignInSession.person_id == people.by_login(work, login).id)
        return work.db.scalars(
            of.where(SignInSession.ended_at.is_(None), SignInSession.stage == "open")
        ).first()


def test_every_change_asks_once_more_who_it_is_and_makes_the_token_anew(ward):
    browser = own(ward, "changes")
    for path in ("app", "recovery", "password"):
        away = browser.get(f"{ME}/{path}")
        assert (303, f"{ME}/confirm?for=factors&next=%2Faccount%2Fme%2F{path}") == (
            away.status_code,
            away.headers["location"],
        )
    before = browser.cookies[SESSION]
    assert f"{ME}/recovery" == confirmed(ward, browser, "changes", at=f"{ME}/recovery").headers["location"]
    assert before != browser.cookies[SESSION]
    stolen = httpx.get(f"{ward.url}/account/studies", cookies={SESSION: before}, trust_env=False)
    assert 401 == stolen.status_code
    form = {"form": form_of(browser.get(f"{ME}/recovery"))}
    once, again = (browser.post(f"{ME}/recovery", data=form, headers={"Origin": "null"}) for _ in range(2))
    assert (200, 10) == (once.status_code, once.text.count("<code>"))
    assert (303, f"{ME}/confirm?for=factors&next=%2Faccount%2Fme%2Frecovery") == (
        again.status_code,
        again.headers["location"],
    )


def test_a_new_app_and_a_new_password_end_the_other_sessions(ward):
    browser, elsewhere = own(ward, "renews"), own(ward, "renews")
    confirmed(ward, browser, "renews")
    shown = ward.send(browser, f"{ME}/app")
    secret = "".join(re.search(r'class="secret">([A-Z2-7 ]+)<', shown.text)[1].split())
    said = {"form": form_of(shown), "box": re.search(r'name="box" value="([0-9a-f]+)"', shown.text)[1]}
    wrong = browser.post(f"{ME}/app", data={**said, "code": "000000"}, headers={"Origin": "null"})
    assert (401, True) == (wrong.status_code, secret[:4] in wrong.text)
    ward.test.clock.pass_(seconds=31)
    code = pyotp.TOTP(secret).at(ward.test.clock.at)
    assert (
        "The new phone is set up"
        in browser.post(f"{ME}/app", data={**said, "code": code}, headers={"Origin": "null"}).text
    )
    ward.secrets["renews"] = secret
    assert [401, 200] == [b.get("/account/studies").status_code for b in (elsewhere, browser)]
    elsewhere = own(ward, "renews")
    confirmed(ward, browser, "renews")
    new = {"password": PASSWORD, "new": WORDS_OF_MINE, "again": WORDS_OF_MINE}
    assert "not the same" in ward.send(browser, f"{ME}/password", **{**new, "again": "other"}).text
    assert "not your password" in ward.send(browser, f"{ME}/password", **{**new, "password": "wrong"}).text
    assert "Your new password is set" in ward.send(browser, f"{ME}/password", **new).text
    assert [401, 200] == [b.get("/account/studies").status_code for b in (elsewhere, browser)]
    assert 303 == (ward.half_way("renews", WORDS_OF_MINE), ward.answered.status_code)[1]


def test_a_key_signs_in_here_and_neither_a_replay_nor_another_address_does(ward):
    browser, home = own(ward, "finger"), ward.url.replace("127.0.0.1", "localhost")
    host = {"host": home.partition("//")[2]}
    confirmed(ward, browser, "finger")
    soft = SoftKey(origin=home)
    assert 400 == by_script(browser, f"{ME}/keys/options", {}).status_code  # an address of numbers
    options = by_script(browser, f"{ME}/keys/options", {}, **host).json()
    before = browser.cookies[SESSION]
    made = by_script(browser, f"{ME}/keys", {"answer": soft.makes(options), "name": "My <b>phone"}, **host)
    assert (200, f"{ME}/keys?done=added") == (made.status_code, made.json()["go"])
    assert before != browser.cookies[SESSION]
    assert "My &lt;b&gt;phone" in browser.get(f"{ME}/keys").text
    half = ward.half_way("finger")
    page = half.get("/account/code", headers=host)
    assert 'id="key-form"' in page.text and "script-src 'self';" in page.headers["content-security-policy"]
    assert 'id="key-form"' not in half.get("/account/code").text
    token = {"x-sorg-form": form_of(page), "Origin": "null", **host}
    answer = soft.touched(half.post("/account/code/key/options", json={}, headers=token).json())
    foreign = half.post("/account/code/key", json={"answer": answer}, headers={**token, "host": ward.url[7:]})
    assert (400, True) == (foreign.status_code, "Fingerprint" in foreign.json()["sentence"])
    assert (
        403
        == half.post(
            "/account/code/key", json={"answer": answer}, headers={**token, "Origin": "https://evil.example"}
        ).status_code
    )
    entered = half.post("/account/code/key", json={"answer": answer}, headers=token)
    assert (200, "/account/studies") == (entered.status_code, entered.json()["go"])
    assert 200 == half.get("/account/studies").status_code
    again = ward.half_way("finger")
    token["x-sorg-form"] = form_of(again.get("/account/code", headers=host))
    again.post("/account/code/key/options", json={}, headers=token)
    assert 401 == again.post("/account/code/key", json={"answer": answer}, headers=token).status_code


def test_nobody_elses_key_is_taken_away(ward):
    browser = own(ward, "thief")
    confirmed(ward, browser, "thief")
    for key in (str(UUID(int=7)), "x", ""):
        away = browser.post(
            f"{ME}/keys/remove",
            data={"form": form_of(browser.get(ME)), "key": key},
            headers={"Origin": "null"},
        )
        assert (303, f"{ME}/keys") == (away.status_code, away.headers["location"])


def test_nothing_of_my_account_opens_to_a_link_to_half_a_sign_in_or_to_a_session_of_staff(ward):
    ward.ticks[0] += 3600
    seat, half = ward.opened(ward.mint()).cookies["sorg_visit"], ward.half_way("thando").cookies[HALF]
    for token in (seat, half, begun(ward, "radiologist", "console", "me"), "guessed"):
        cookies = {SESSION: token, "sorg_visit": seat}
        for path in (ME, f"{ME}/keys", f"{ME}/keys/new", f"{ME}/password", f"{ME}/confirm?for=factors"):
            assert 401 == httpx.get(ward.url + path, cookies=cookies, trust_env=False).status_code, path
        for path in posts_of_mine():
            assert (
                401 == httpx.post(ward.url + path, cookies=cookies, json={}, trust_env=False).status_code
            ), path


def test_no_form_or_script_of_a_foreign_page_changes_anything(ward):
    browser = own(ward, "forged")
    confirmed(ward, browser, "forged")
    form = form_of(browser.get(ME))
    forged = (
        ({"form": "A" * 43}, {}),
        ({"form": form}, {"Origin": "https://evil.example"}),
        ({"form": form}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
    )
    for n, path in enumerate(posts_of_mine()):
        # All of them at one door; at each of the others a guessed token, then another site.
        for said, headers in forged if n == 0 else forged[:2]:
            ward.ticks[0] += 3600
            answer = browser.post(path, data={**said, "purpose": "factors"}, headers=headers)
            led = answer.headers.get("location", f"{ME}/keys")
            assert (True, f"{ME}/keys") == (answer.status_code in (303, 403), led), path
        script = browser.post(path, json={}, headers={"x-sorg-form": form, "Origin": "https://evil.example"})
        assert script.status_code in (400, 403), path
    assert 421 == browser.post(path, data={"form": form}, headers={"Host": "evil.example"}).status_code
    # Nothing happened, and the proof is unused.
    assert "none left" in browser.get(ME).text and 200 == browser.get(f"{ME}/recovery").status_code


def test_only_the_pages_where_a_key_is_touched_run_our_script_and_no_other(ward):
    browser = own(ward, "policy")
    confirmed(ward, browser, "policy")
    for path, runs in (
        (ME, False),
        (f"{ME}/keys", False),
        (f"{ME}/password", False),
        (f"{ME}/confirm?for=factors", True),
        ("/account/studies", False),
    ):
        answer = browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert (200, runs) == (answer.status_code, "script-src 'self';" in policy), path
        assert (
            policy.startswith("default-src 'none'")
            and "unsafe" not in policy
            and "<script>" not in answer.text
        ), path
        assert {"DENY", "no-referrer", "nosniff", "no-store"} <= set(answer.headers.values()), path


def test_confirming_leads_to_no_other_place(ward):
    browser = own(ward, "leads")
    for wish in ("https://evil.example", "//evil.example", "/s/x", "/account/out", "/account/meanwhile"):
        assert "/account/studies" == confirmed(ward, browser, "leads", at=wish).headers["location"]
    assert 400 == browser.get(f"{ME}/confirm?for=change:x").status_code


def test_whoever_sends_too_much_waits_alone(ward):
    browser, other = own(ward, "hasty"), own(ward, "patient2")
    ward.ticks[0] += 3600
    for _ in range(30):
        browser.post(f"{ME}/sessions/end", data={"form": "x"})
    assert 429 == browser.post(f"{ME}/sessions/end", data={"form": "x"}).status_code
    assert 429 == browser.post(f"{ME}/keys", json={}).status_code
    assert 403 == other.post(f"{ME}/sessions/end", data={"form": "x"}).status_code
    ward.ticks[0] += 3600
