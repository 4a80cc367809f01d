"""Single sign-on through the console's own routes, gate included, with a real provider and once with a real browser."""

import html
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
import requests
from playwright.sync_api import Page

from console.signin import oidc
from core import alerts, factors, groups, people, privacy, signin
from core.errors import WrongAnswer
from core.ports import Ports
from core.ports.directory import Entry, LocalAccounts
from core.ports.directory_ldap import LdapDirectory
from core.ports.oidc import AWAY, EXPLAINED, PUBLIC, OidcProvider, Reason
from core.rules.roles import Permission
from core.store.model import Person
from ops.bench.directory_server import OpenLdapServer
from tests.fixtures import doors
from tests.fixtures.house import QUICK, Clock, TestHouse, open_test_house
from tests.fixtures.oidc import BACK, CLIENT, GONE, SECRET, Provider, silence

COOKIE, OURS = "sorg-oidc", "sorg-staff"


@dataclass
class Desk:
    """The console's doors over a practice, without Streamlit behind them: "/" tells who one is."""

    url: str
    test: TestHouse
    provider: Provider

    @property
    def back(self) -> str:
        return f"{self.url}{oidc.BACK}"

    def meet_anew(self, directory_claim: str = "") -> None:
        """Forget what the provider has told of itself, as a console that is started does."""
        port = OidcProvider(
            self.provider.issuer,
            client_id=CLIENT,
            client_secret=SECRET,
            now=lambda: datetime.now(UTC),
            dice=secrets.token_bytes,
            second_factor=("mfa",),
            directory_claim=directory_claim,
            timeout_s=(2.0, 2.0),
        )
        self.test.house.ports = replace(self.test.house.ports, identity=port)

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, headers={"accept": "text/html"})

    def sent(self, browser: httpx.Client, next: str = "/") -> str:
        """Begin, sign in there, and tell the address by which the browser comes back."""
        begun = browser.get("/login/oidc", params={"next": next})
        assert 303 == begun.status_code, begun.text
        there = requests.get(begun.headers["location"], allow_redirects=False, timeout=10)
        assert 302 == there.status_code, there.text
        return there.headers["location"]

    def record(self, size: int = 1) -> dict:
        entry = self.test.do("admin", privacy.entries, size=size)[size - 1]
        return {"outcome": entry.outcome, **entry.facts}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, running_provider: Provider) -> Iterator[Desk]:
    test = open_test_house(
        tmp_path_factory.mktemp("sso") / "home",
        clock=Clock(datetime.now(UTC)),
        ports=Ports(accounts=LocalAccounts(QUICK)),
    )
    with test.house.work(test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        lines = [{"group_id": "radiologists", "group_name": "Radiologists", "role": "radiologist"}]
        groups.set_mapping(work, lines)
    # Another site than the provider's 127.0.0.1, for what browsers hold back between sites.
    with doors.served(doors.doors_of(test, single_sign_on="Clinic <b>& Co")) as url:
        yield Desk(url, test, running_provider)
    test.house.engine.dispose()


@pytest.fixture
def desk(served: Desk, provider: Provider) -> Desk:
    provider.redirect_uris.add(served.back)
    provider.person["amr"] = ["pwd", "mfa"]
    served.meet_anew()
    return served


# The way there and back ---------------------------------------------------------------------------------------------


def test_a_browser_signs_in_by_the_provider_and_is_at_home(desk: Desk, page: Page, complaints):
    # A press on the provider's own page makes the way back one from another site, where a Strict cookie stays at home.
    desk.provider.has_page = True
    page.goto(f"{desk.url}/login/oidc?next=/%3Ffrom%3Dsso")
    page.get_by_role("link", name="Yes, it is me").click()
    page.wait_for_url(f"{desk.url}/?from=sso")
    assert "Dr Priya Naidoo" == page.inner_text("body")
    kept = {c["name"]: (c["sameSite"], c["httpOnly"]) for c in page.context.cookies()}
    assert {OURS: ("Strict", True), "sorg-form": ("Strict", True)} == kept
    # The plain page at "/" has no icon; every other complaint would be of our own pages.
    assert [] == [said for said in complaints if "404" not in said]
    assert ("done", "sso", "sso") == tuple(desk.record()[name] for name in ("outcome", "stage", "method"))


def test_the_sign_in_page_offers_it_by_its_name(desk):
    with desk.browser() as browser:
        shown = browser.get("/login", params={"next": "/claims?page=2"}).text
    link = '<a class="other" href="/login/oidc?next=%2Fclaims%3Fpage%3D2">Continue with Clinic &lt;b&gt;&amp; Co</a>'
    assert link in shown


def test_a_provider_that_vouches_for_a_password_only_leads_to_our_second_question(desk):
    desk.provider.person["amr"] = ["pwd"]
    with desk.browser() as browser:
        answer = browser.get(desk.sent(browser, next="/study?id=7"))
        assert "0;url=/login/code?next=%2Fstudy%3Fid%3D7" == answer.headers["refresh"]
        assert (True, False) == ("sorg-code" in answer.cookies, OURS in answer.cookies)
        assert 303 == browser.get("/").status_code


def test_the_cookie_of_an_attempt_is_sealed_short_and_good_for_this_way_alone(desk):
    with desk.browser() as browser:
        begun = browser.get("/login/oidc")
        header = begun.headers["set-cookie"]
        assert {"httponly", "max-age=600", "path=/login/oidc", "samesite=lax"} == {
            part.strip().lower() for part in header.split(";")[1:]
        }
        state = re.search(r"[?&]state=([^&]+)", begun.headers["location"])
        assert state and state[1] not in header
    with desk.browser() as browser:
        answer = browser.get(desk.sent(browser))
        assert 'sorg-oidc=""' in answer.headers["set-cookie"] and COOKIE not in browser.cookies


def test_under_https_the_cookies_are_secure(desk):
    with doors.served(doors.doors_of(desk.test, https=True)) as url:
        desk.provider.redirect_uris.add(url.replace("http://", "https://") + oidc.BACK)
        begun = httpx.get(f"{url}/login/oidc", trust_env=False)
    header = begun.headers["set-cookie"].lower()
    assert header.startswith("__secure-sorg-oidc=") and "; secure" in header
    assert "redirect_uri=https%3A%2F%2Flocalhost" in begun.headers["location"]


@pytest.mark.parametrize("wish", ["https://elsewhere.example/", "//elsewhere.example", "/login/oidc", "/\\x"])
def test_single_sign_on_leads_nowhere_else(desk, wish):
    with desk.browser() as browser:
        assert "0;url=/" == browser.get(desk.sent(browser, next=wish)).headers["refresh"]


def test_a_wish_beyond_ascii_is_written_as_an_address_is(desk):
    with desk.browser() as browser:
        answer = browser.get(desk.sent(browser, next="/→x?b=1;c=%20"))
    assert (200, "0;url=/%E2%86%92x?b=1;c=%20") == (answer.status_code, answer.headers["refresh"])


def test_signing_in_again_in_one_browser_ends_the_session_of_before(desk):
    with desk.browser() as browser:
        browser.get(desk.sent(browser))
        before = browser.cookies[OURS]
        browser.get(desk.sent(browser))
        assert before != browser.cookies[OURS]
        assert "Dr Priya" in browser.get("/").text
    with desk.browser() as copied:
        copied.cookies.set(OURS, before, domain="localhost.local", path="/")
        assert 303 == copied.get("/").status_code


def test_the_second_time_it_is_the_same_person_and_another_session(desk):
    tokens = []
    for name in ("Dr Priya Naidoo", "Dr Priya Naidoo-Botha"):
        desk.provider.person["name"] = name
        with desk.browser() as browser:
            browser.get(desk.sent(browser))
            tokens.append(browser.cookies[OURS])
            assert name == browser.get("/").text
    assert tokens[0] != tokens[1]
    found, total = desk.test.do("admin", people.people, search="naidoo")
    assert (1, "sso", ("radiologist",)) == (total, found[0].directory, found[0].roles)


def test_a_new_login_at_the_provider_holds_here_and_is_told_of(desk):
    assert (200, "") == comes_back(desk)
    (card,) = desk.test.do("admin", people.people, search="naidoo")[0]
    taken = desk.test.do("admin", people.me).login
    for said, held in ((taken, card.login), ("priya.botha", "priya.botha")):
        desk.provider.person["preferred_username"] = said
        assert (200, "") == comes_back(desk)
        assert held == desk.test.do("admin", people.person, card.id).login
    told = [a for a in desk.test.do("admin", alerts.alerts) if a.about == str(card.id)]
    assert 1 == len([a for a in told if "signs in as priya.botha at single sign-on now" in a.sentence])
    desk.provider.person["preferred_username"] = card.login
    assert (200, "") == comes_back(desk)


def test_a_new_name_at_the_provider_is_told_of_and_one_that_only_looks_like_a_name_is_not_taken(desk):
    desk.provider.person["name"] = "Dr Priya Naidoo"
    assert (200, "") == comes_back(desk)
    (card,) = desk.test.do("admin", people.people, search="naidoo")[0]
    for unreadable in ("Admin P\u0435rson", "\u202enosreP nimdA", "=cmd()", "\U0001d400dmin", ""):
        desk.provider.person["name"] = unreadable
        assert (200, "") == comes_back(desk)
        assert "Dr Priya Naidoo" == row_of(desk, card.login).name
    desk.provider.person["name"] = "Admin Person"
    assert (200, "") == comes_back(desk)
    told = [
        a for a in desk.test.do("admin", alerts.alerts) if a.kind == "renamed" and a.about == str(card.id)
    ]
    assert "is called Admin Person at single sign-on now" in told[0].sentence
    desk.provider.person["name"] = "Dr Priya Naidoo"
    assert (200, "") == comes_back(desk)


# What is refused ------------------------------------------------------------------------------------------------------


def last_seq(desk: Desk) -> int:
    return desk.test.do("admin", privacy.entries, size=1)[0].seq


def changed(cookie: str) -> str:
    return cookie[:-1] + ("0" if cookie[-1] != "0" else "1")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda desk, browser, back: re.sub(r"state=[^&]+", "state=another", back),
        lambda desk, browser, back: re.sub(r"state=[^&]+&?", "", back),
        lambda desk, browser, back: browser.cookies.clear() or back,
        lambda desk, browser, back: (
            browser.cookies.set(COOKIE, changed(browser.cookies.pop(COOKIE)), path="/login/oidc") or back
        ),
        lambda desk, browser, back: browser.cookies.set(COOKIE, "ünsinn".encode().hex()) or back,
        lambda desk, browser, back: desk.test.clock.pass_(minutes=10) or back,
        lambda desk, browser, back: browser.get("/login/oidc") and back,
    ],
    ids=["wrong state", "no state", "no cookie", "changed cookie", "junk", "too late", "a newer attempt"],
)
def test_whoever_comes_back_without_an_attempt_of_their_own_is_sent_away_unheard(desk, spoil):
    with desk.browser() as browser:
        back = spoil(desk, browser, desk.sent(browser))
        asked, seq = desk.provider.asked["token"], last_seq(desk)
        answer = browser.get(back)
        assert (403, True) == (answer.status_code, oidc.STALE in answer.text)
        # The provider was not troubled, and the record was not filled.
        assert (asked, seq) == (desk.provider.asked["token"], last_seq(desk))
        assert 303 == browser.get("/").status_code


def test_an_attempt_is_good_once_even_for_who_copied_the_cookie(desk):
    with desk.browser() as browser:
        back, cookie = desk.sent(browser), browser.cookies[COOKIE]
        assert 200 == browser.get(back).status_code
        asked = desk.provider.asked["token"]
        browser.cookies.clear()
        browser.cookies.set(COOKIE, cookie)
        assert (403, asked) == (browser.get(back).status_code, desk.provider.asked["token"])


def test_who_cancels_at_the_provider_reads_a_sentence_and_is_on_record(desk):
    desk.provider.declines = "access_denied"
    with desk.browser() as browser:
        answer = browser.get(desk.sent(browser, next="/claims"))
        assert (401, True) == (answer.status_code, PUBLIC in answer.text)
        assert 'href="/login/oidc?next=%2Fclaims"' in answer.text
        assert 'href="/login?next=%2Fclaims"' in answer.text
    assert {"outcome": "refused", "stage": "sso", "why": "declined", "detail": "access_denied"} == {
        name: desk.record()[name] for name in ("outcome", "stage", "why", "detail")
    }


def test_a_token_that_does_not_hold_opens_nothing_and_its_reason_is_on_record(desk):
    desk.provider.claims["nonce"] = "n" * 43
    with desk.browser() as browser:
        answer = browser.get(desk.sent(browser))
        assert (401, True, False) == (answer.status_code, PUBLIC in answer.text, "nonce" in answer.text)
        assert [] == [name for name in (OURS, "sorg-code") if name in browser.cookies]
    assert ("refused", "nonce") == (desk.record()["outcome"], desk.record()["why"])


def test_what_an_admin_must_mend_at_the_provider_stands_on_the_page(desk):
    desk.provider.claims = {"groups": GONE, "_claim_names": {"groups": "src1"}}
    with desk.browser() as browser:
        assert EXPLAINED[Reason.GROUPS_OVERAGE] in browser.get(desk.sent(browser)).text


def test_who_is_in_no_group_of_ours_stays_out(desk):
    desk.provider.person |= {"sub": "somebody-else", "preferred_username": "visitor", "groups": ["all-staff"]}
    with desk.browser() as browser:
        answer = browser.get(desk.sent(browser))
        assert (401, True) == (answer.status_code, "opens nothing here" in answer.text)
        assert 303 == browser.get("/").status_code
    assert "no group gives a role" == desk.record()["why"]


def test_who_was_shut_out_here_is_not_let_in_by_the_provider(desk):
    desk.provider.person |= {"sub": "leaver", "preferred_username": "leaver"}
    with desk.browser() as browser:
        browser.get(desk.sent(browser))
        person = desk.test.do("admin", people.people, search="leaver")[0][0]
        desk.test.do("admin", people.suspend, person.id, why="Left the practice")
        assert 303 == browser.get("/").status_code
        assert 401 == browser.get(desk.sent(browser)).status_code
    assert "shut out" == desk.record()["why"]


def test_a_provider_that_is_away_leaves_the_password(desk):
    with silence() as nowhere, desk.browser() as browser:
        back = desk.sent(browser)
        desk.provider.discovery["token_endpoint"] = nowhere
        desk.meet_anew()
        answer = browser.get(back)
        assert (503, True) == (answer.status_code, AWAY in answer.text)
        assert 'href="/login?next=%2F"' in answer.text


def test_a_practice_without_a_provider_shows_its_usual_sign_in(house):
    with doors.served(doors.doors_of(house)) as url:
        for path in ("/login/oidc", "/login/oidc/back?code=a&state=b"):
            answer = httpx.get(f"{url}{path}", trust_env=False)
            assert (303, True) == (answer.status_code, answer.headers["location"].startswith("/login"))
        assert "/login/oidc" not in httpx.get(f"{url}/login", trust_env=False).text


def test_another_site_cannot_name_itself_as_the_way_back(desk):
    answer = httpx.get(f"{desk.url}/login/oidc", headers={"host": "evil.example"}, trust_env=False)
    assert 421 == answer.status_code
    assert BACK not in answer.text


# Who comes with their own id in the practice's directory --------------------------------------------------------------


@pytest.fixture
def linked(desk: Desk, openldap: OpenLdapServer) -> Iterator[Desk]:
    """The provider passes on the id that the practice's directory gave a person; the directory is there as well."""
    directory, before = LdapDirectory(openldap.config()), desk.test.house.ports
    desk.test.house.ports = replace(before, directory=directory)
    desk.meet_anew(directory_claim="LDAP_ID")
    with desk.test.house.work(desk.test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        of_directory = {g.name: g.id for g in directory.search_groups("PACS-", most=50)}
        lines = [("radiologists", "radiologist"), (of_directory["PACS-Reception"], "reception")]
        groups.set_mapping(work, [{"group_id": g, "group_name": role, "role": role} for g, role in lines])
    desk.provider.person |= {"sub": secrets.token_hex(8), "preferred_username": "some.name"}
    yield desk
    directory.close()


def of_reception(openldap: OpenLdapServer, desk: Desk) -> Entry:
    """A new account of the directory, in reception."""
    login = f"s.n{secrets.token_hex(4)}"
    openldap.add_user(login, "Sipho Radebe")
    openldap.add_to_group("PACS-Reception", login)
    entry = desk.test.house.ports.directory.find(login)
    desk.provider.person["LDAP_ID"] = entry.id
    return entry


def comes_back(desk: Desk) -> tuple[int, str]:
    """One way there and back: its status, and why it was refused."""
    with desk.browser() as browser:
        status = browser.get(desk.sent(browser)).status_code
    return status, desk.record().get("why", "")


def row_of(desk: Desk, login: str) -> people.PersonCard:
    (card,) = desk.test.do("admin", people.people, search=login)[0]
    return card


def test_who_brings_the_directory_s_own_id_is_that_person_with_the_roles_of_the_directory_s_groups(
    linked, openldap
):
    entry = of_reception(openldap, linked)
    assert (200, "") == comes_back(linked)
    card = row_of(linked, entry.login)
    assert ("directory", ("reception",), "Sipho Radebe") == (card.directory, card.roles, card.name)
    facts = linked.record()
    assert (str(card.id), True, "sso") == (facts["person"], facts["linked"], facts["method"])
    # The same person by name and password, and again by single sign-on: one account.
    linked.test.do("nobody", signin.check_password, login=entry.login, password=openldap.password)
    assert (200, "") == comes_back(linked)
    assert card.id == row_of(linked, entry.login).id


def test_an_id_that_the_directory_does_not_know_opens_nothing(linked, openldap):
    entry, admin = of_reception(openldap, linked), linked.test.actors["admin"]
    # Neither a name, nor where somebody lies, nor the id of an account that is kept here says who somebody is.
    for wrong in (
        str(uuid4()),
        entry.login,
        entry.email,
        entry.dn,
        str(admin.person),
        "*",
        "S-1-5-21-1-2-3-500",
    ):
        linked.provider.person["LDAP_ID"] = wrong
        assert (401, "directory id unknown") == comes_back(linked), wrong
    for odd in (["a", "b"], {"id": entry.id}, 7, f" {entry.id}"):
        linked.provider.person["LDAP_ID"] = odd
        assert (401, "claims") == comes_back(linked), odd


def test_without_that_claim_somebody_has_an_account_of_single_sign_on_as_before(linked):
    linked.provider.person["LDAP_ID"] = ""
    linked.provider.person["preferred_username"] = name = f"cloud.{secrets.token_hex(3)}"
    assert (200, "") == comes_back(linked)
    assert ("sso", ("radiologist",)) == (row_of(linked, name).directory, row_of(linked, name).roles)


def test_the_state_of_the_account_there_and_here_holds_for_single_sign_on_too(linked, openldap):
    entry = of_reception(openldap, linked)
    openldap.disable(entry.login)
    assert (401, "disabled") == comes_back(linked)
    openldap.enable(entry.login)
    assert (200, "") == comes_back(linked)
    openldap.remove_from_group("PACS-Reception", entry.login)
    assert (401, "no group gives a role") == comes_back(linked)
    openldap.add_to_group("PACS-Reception", entry.login)
    linked.test.do("admin", people.suspend, row_of(linked, entry.login).id, why="Left the practice")
    assert (401, "shut out") == comes_back(linked)


def test_the_first_identity_that_brings_an_id_keeps_it_until_a_second_factor_is_reset(linked, openldap):
    entry = of_reception(openldap, linked)
    first = linked.provider.person["sub"]
    assert (200, "") == comes_back(linked)
    linked.provider.person["sub"] = "somebody-who-wrote-it-into-their-own-profile"
    assert (401, "directory id of somebody else") == comes_back(linked)
    assert "A second identity at single sign-on" in linked.test.do("admin", alerts.alerts)[0].sentence
    # Nor is one identity two people of the directory.
    linked.provider.person["sub"] = first
    other = of_reception(openldap, linked)
    assert entry.id != other.id and (401, "linked to another person") == comes_back(linked)
    with linked.test.house.work(linked.test.actors["system"]) as work, work.tend(Permission.PEOPLE_FOUND):
        factors.forget_all(work, work.get(Person, row_of(linked, entry.login).id))
    linked.provider.person |= {"sub": "the-new-account-there", "LDAP_ID": entry.id}
    assert (200, "") == comes_back(linked)


def test_who_was_shut_out_before_accounts_were_linked_stays_out(linked, openldap):
    linked.provider.person |= {"LDAP_ID": "", "preferred_username": (name := f"early.{secrets.token_hex(3)}")}
    assert (200, "") == comes_back(linked)
    linked.test.do("admin", people.suspend, row_of(linked, name).id, why="Left the practice")
    of_reception(openldap, linked)
    assert (401, "shut out") == comes_back(linked)


def test_when_accounts_are_linked_the_windows_of_the_earlier_one_are_over(linked, openldap):
    linked.provider.person |= {"LDAP_ID": "", "preferred_username": (name := f"early.{secrets.token_hex(3)}")}
    with linked.browser() as browser:
        browser.get(linked.sent(browser))
        assert 200 == browser.get("/").status_code
        of_reception(openldap, linked)
        assert (200, "") == comes_back(linked)
        assert 303 == browser.get("/", follow_redirects=False).status_code
    assert "sso" == row_of(linked, name).directory


def test_guesses_at_the_password_do_not_keep_out_who_comes_by_single_sign_on(linked, openldap):
    entry = of_reception(openldap, linked)
    assert (200, "") == comes_back(linked)
    for _ in range(4):
        with pytest.raises(WrongAnswer):
            linked.test.do("nobody", signin.check_password, login=entry.login, password="Heeltemal-anders-7")
    assert (200, "") == comes_back(linked)
    # It is no right password, so the count of wrong ones goes on.
    with pytest.raises(WrongAnswer):
        linked.test.do("nobody", signin.check_password, login=entry.login, password=openldap.password)


def test_while_the_directory_is_away_single_sign_on_sends_its_people_to_name_and_password(linked, openldap):
    of_reception(openldap, linked)
    with linked.browser() as browser:
        back = linked.sent(browser)
        openldap.stop()
        answer = browser.get(back)
    openldap.mend()
    assert (503, True) == (answer.status_code, signin.LINK_AWAY.split(".")[0] in html.unescape(answer.text))
