"""Single sign-on against a real provider on this machine: what is believed, and everything that is not."""

import secrets
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse

from core.errors import Away, Unfit
from core.ports import oidc
from core.ports.oidc import EXPLAINED, NotProven, OidcProvider, Reason, is_safe
from ops.opening import open_identity_provider
from ops.settings import read
from tests.fixtures.oidc import (
    BACK,
    CLIENT,
    GONE,
    SECRET,
    STAFF,
    Provider,
    new_provider,
    own_certificate,
    serving,
    silence,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def port(provider: Provider) -> OidcProvider:
    return opened(provider)


def opened(provider: Provider, **how) -> OidcProvider:
    usual = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "now": lambda: datetime.now(UTC),
        "dice": secrets.token_bytes,
        "timeout_s": (2.0, 5.0),
        "longest_s": 8.0,
    }
    return OidcProvider(provider.issuer, **{**usual, **how})


@pytest.fixture
def hasty(provider: Provider) -> OidcProvider:
    """A port that waits for one second at most, for a provider that says nothing or never ends."""
    return opened(provider, timeout_s=(1.0, 1.0), longest_s=1.0)


def signed_in(port: OidcProvider, provider: Provider, **changes) -> oidc.Claims:
    """The whole way, as a browser takes it."""
    begun = port.begin(redirect_uri=BACK)
    back = provider.sign_in(begun)
    how = {"begun": begun, "code": back["code"], "redirect_uri": BACK, "issuer": back["iss"]}
    return port.finish(**{**how, **changes})


def refusal(port: OidcProvider, provider: Provider, **changes) -> Reason:
    with pytest.raises(NotProven) as refused:
        signed_in(port, provider, **changes)
    assert oidc.PUBLIC == refused.value.sentence
    return refused.value.reason


# The happy way --------------------------------------------------------------------------------------------------


def test_the_provider_says_who_it_is(port, provider):
    who = signed_in(port, provider)
    assert (provider.issuer, STAFF, "dr.naidoo", "Dr Priya Naidoo", "priya@clinic.example") == (
        who.issuer,
        who.subject,
        who.login,
        who.name,
        who.email,
    )
    assert (("radiologists", "all-staff"), "1", ("pwd",), False) == (
        who.groups,
        who.acr,
        who.amr,
        who.has_second_factor,
    )
    assert abs(who.auth_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_browser_is_sent_with_secrets_of_256_bits_and_a_wish_for_a_recent_sign_in(port, provider):
    begun, again = port.begin(redirect_uri=BACK), port.begin(redirect_uri=BACK)
    sent = {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}
    assert {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "scope": "openid profile email",
        "state": begun.state,
        "nonce": begun.nonce,
        "max_age": "600",
        "code_challenge_method": "S256",
    } == {name: value for name, value in sent.items() if name != "code_challenge"}
    # Base64 of 32 bytes; and the verifier itself stays at home.
    assert [43, 43, 43] == [len(secret) for secret in (begun.state, begun.nonce, begun.verifier)]
    assert begun.verifier not in begun.url
    every = {begun.state, begun.nonce, begun.verifier, again.state, again.nonce, again.verifier}
    assert 6 == len(every)
    assert begun.state not in repr(begun) and begun.verifier not in repr(begun)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
def test_three_kinds_of_signature_are_believed(port, provider, alg):
    provider.alg, provider.signs = alg, provider.ec if alg == "ES256" else provider.rsa[0]
    assert STAFF == signed_in(port, provider).subject


@pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post"], GONE])
def test_a_secret_of_any_letters_reaches_the_provider(port, provider, methods):
    provider.discovery["token_endpoint_auth_methods_supported"] = methods
    assert STAFF == signed_in(port, provider).subject


def test_a_wrong_secret_is_the_admins_to_mend(provider):
    assert Reason.CLIENT == refusal(opened(provider, client_secret="another"), provider)


# (claims of the provider, what is read): lists of one as .NET writes them, and names that are put together.
SAID = [
    ({"amr": "mfa", "groups": "radiologists"}, {"amr": ("mfa",), "groups": ("radiologists",)}),
    ({"amr": GONE, "groups": GONE, "acr": GONE}, {"amr": (), "groups": (), "acr": ""}),
    ({"name": GONE, "given_name": "Zoë", "family_name": "Nkosi-Müller"}, {"name": "Zoë Nkosi-Müller"}),
    ({"preferred_username": GONE, "upn": "zoe@clinic.example"}, {"login": "zoe"}),
    ({"preferred_username": GONE, "unique_name": "CLINIC\\zoe"}, {"login": "zoe"}),
    ({"preferred_username": "dr\u200bnaidoo", "upn": "x"}, {"login": "x"}),
    ({"name": "N" * 300, "email": 7}, {"name": "", "email": ""}),
    ({"email_verified": False, "preferred_username": GONE}, {"email": "", "login": ""}),
    ({"aud": [CLIENT]}, {"subject": STAFF}),
    ({"aud": [CLIENT, "billing"], "azp": CLIENT}, {"subject": STAFF}),
    ({"at_hash": GONE}, {"subject": STAFF}),
]


@pytest.mark.parametrize(("claims", "read"), SAID, ids=lambda case: ",".join(case))
def test_claims_are_read_as_providers_write_them(port, provider, claims, read):
    provider.claims = claims
    who = signed_in(port, provider)
    assert read == {name: getattr(who, name) for name in read}


def test_without_a_groups_claim_no_groups_are_read(provider):
    provider.claims["_claim_names"] = {"groups": "src1"}
    assert () == signed_in(opened(provider, groups_claim=""), provider).groups


# The second factor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "claims", "counts"),
    [
        ((), {"acr": "2", "amr": ["pwd", "otp", "mfa"]}, False),
        (("2",), {"acr": "1", "amr": ["pwd"]}, False),
        (("2",), {"acr": "2"}, True),
        (("mfa", "hwk"), {"acr": "1", "amr": ["pwd", "hwk"]}, True),
        (("mfa",), {"acr": "", "amr": ["MFA", "xmfa"]}, False),
        (("mfa",), {"acr": GONE, "amr": GONE}, False),
    ],
)
def test_only_what_the_practice_named_counts_as_a_second_factor(provider, accepted, claims, counts):
    provider.claims = claims
    port = opened(provider, second_factor=accepted)
    assert counts is signed_in(port, provider).has_second_factor
    assert " ".join(accepted) == provider.wishes.get("acr_values", "")


# What is not believed ---------------------------------------------------------------------------------------------


def test_a_code_works_once(port, provider):
    begun = port.begin(redirect_uri=BACK)
    back = provider.sign_in(begun)
    how = {"begun": begun, "code": back["code"], "redirect_uri": BACK, "issuer": back["iss"]}
    assert STAFF == port.finish(**how).subject
    with pytest.raises(NotProven) as refused:
        port.finish(**how)
    assert (Reason.CODE, "invalid_grant") == (refused.value.reason, refused.value.detail)


def test_a_stolen_code_is_worth_nothing_without_the_verifier(port, provider):
    thief = port.begin(redirect_uri=BACK)
    assert Reason.CODE == refusal(port, provider, begun=thief)
    # Even with the right nonce it is the verifier that is missing.
    begun = port.begin(redirect_uri=BACK)
    back = provider.sign_in(begun)
    with pytest.raises(NotProven) as refused:
        port.finish(
            begun=replace(begun, verifier=thief.verifier),
            code=back["code"],
            redirect_uri=BACK,
            issuer=back["iss"],
        )
    assert Reason.CODE == refused.value.reason


def test_a_code_is_bound_to_the_address_it_was_asked_for(port, provider):
    assert Reason.CODE == refusal(port, provider, redirect_uri="http://127.0.0.1:8501/elsewhere")


@pytest.mark.parametrize("code", ["", "c" * 5000])
def test_what_cannot_be_a_code_is_not_even_sent(port, provider, code):
    assert Reason.CODE == refusal(port, provider, code=code)
    assert 0 == provider.asked["token"]


WRONG_CLAIMS = [
    ({"nonce": "n" * 43}, Reason.NONCE),
    ({"nonce": GONE}, Reason.NONCE),
    ({"aud": "billing"}, Reason.AUDIENCE),
    ({"aud": ["billing", "payroll"]}, Reason.AUDIENCE),
    ({"aud": [CLIENT, "billing"]}, Reason.AUDIENCE),
    ({"aud": [CLIENT, "billing"], "azp": "billing"}, Reason.AUDIENCE),
    ({"azp": "billing"}, Reason.AUDIENCE),
    ({"aud": GONE}, Reason.AUDIENCE),
    ({"aud": True}, Reason.AUDIENCE),
    ({"iss": "https://elsewhere.example/realm"}, Reason.ISSUER),
    ({"iss": GONE}, Reason.ISSUER),
    ({"sub": GONE}, Reason.SUBJECT),
    ({"sub": ""}, Reason.SUBJECT),
    ({"sub": "s" * 256}, Reason.SUBJECT),
    ({"sub": "line\nbreak"}, Reason.SUBJECT),
    ({"exp": timedelta(seconds=-90)}, Reason.EXPIRED),
    ({"exp": GONE}, Reason.EXPIRED),
    ({"exp": float("nan")}, Reason.MALFORMED),
    ({"exp": "tomorrow"}, Reason.EXPIRED),
    ({"nbf": timedelta(seconds=600)}, Reason.NOT_YET),
    ({"iat": timedelta(seconds=600)}, Reason.NOT_YET),
    ({"iat": GONE}, Reason.NOT_YET),
    ({"at_hash": "A" * 22}, Reason.ACCESS_TOKEN),
    ({"at_hash": ""}, Reason.ACCESS_TOKEN),
    ({"auth_time": GONE}, Reason.NO_AUTH_TIME),
    ({"auth_time": 0}, Reason.TOO_LONG_AGO),
    ({"auth_time": timedelta(seconds=-700)}, Reason.TOO_LONG_AGO),
    ({"auth_time": timedelta(seconds=600)}, Reason.NOT_YET),
    ({"auth_time": True}, Reason.CLAIMS),
    ({"auth_time": "now"}, Reason.NO_AUTH_TIME),
    ({"auth_time": [1]}, Reason.NO_AUTH_TIME),
    ({"auth_time": ""}, Reason.CLAIMS),
    ({"auth_time": {}}, Reason.CLAIMS),
    ({"auth_time": 10**400}, Reason.CLAIMS),
    ({"acr": 2}, Reason.CLAIMS),
    ({"amr": ["pwd", 1]}, Reason.CLAIMS),
    ({"amr": {"mfa": True}}, Reason.CLAIMS),
    ({"groups": {"a": "b"}}, Reason.CLAIMS),
    ({"groups": ["a", 1]}, Reason.CLAIMS),
    ({"groups": GONE, "_claim_names": {"groups": "src1"}}, Reason.GROUPS_OVERAGE),
    ({"groups": GONE, "hasgroups": True}, Reason.GROUPS_OVERAGE),
]


@pytest.mark.parametrize(
    ("claims", "reason"),
    WRONG_CLAIMS,
    ids=[f"{n}-{'-'.join(c)}" for n, (c, _) in enumerate(WRONG_CLAIMS)],
)
def test_a_token_with_a_wrong_claim_proves_nobody(port, provider, claims, reason):
    provider.claims = claims
    assert reason == refusal(port, provider)


def test_clocks_may_differ_by_a_minute(port, provider):
    provider.moved = timedelta(seconds=50)
    assert STAFF == signed_in(port, provider).subject
    provider.moved = timedelta(seconds=80)
    assert Reason.NOT_YET == refusal(port, provider)


def test_too_many_groups_are_said_plainly(port, provider):
    provider.claims = {"groups": GONE, "_claim_names": {"groups": "src1"}}
    with pytest.raises(NotProven) as refused:
        signed_in(port, provider)
    assert [
        "This person is in more groups than the provider passes on. Let it send only those that are "
        "assigned to this application."
    ] == [p.sentence for p in refused.value.problems]


@pytest.mark.parametrize(
    ("forgery", "reason"),
    [
        (lambda p: p.unsigned, Reason.ALGORITHM),
        (lambda p: p.signed_with_public_key, Reason.ALGORITHM),
        (lambda p: lambda h, c: p.by_hand({**h, "alg": "none "}, c, lambda s: b""), Reason.ALGORITHM),
        (lambda p: lambda h, c: p.by_hand({**h, "alg": ["RS256"]}, c, lambda s: b""), Reason.ALGORITHM),
        (lambda p: lambda h, c: p.by_hand({"kid": h["kid"]}, c, lambda s: b""), Reason.MALFORMED),
        (lambda p: lambda h, c: p.by_hand(h, c, lambda s: b""), Reason.SIGNATURE),
        (lambda p: lambda h, c: p.by_hand(h, c, lambda s: bytes(256)), Reason.SIGNATURE),
        (lambda p: lambda h, c: jwt.encode(h, c, p.rsa[1], algorithms=["RS256"]), Reason.SIGNATURE),
        (lambda p: lambda h, c: p.by_hand({**h, "crit": ["exp"]}, c, lambda s: b""), Reason.MALFORMED),
        (lambda p: lambda h, c: "not a token", Reason.MALFORMED),
        (lambda p: lambda h, c: "a.b.c.d.e", Reason.MALFORMED),
        (lambda p: lambda h, c: "ü.ü.ü", Reason.MALFORMED),
        (lambda p: lambda h, c: "", Reason.NO_ID_TOKEN),
        (lambda p: lambda h, c: None, Reason.NO_ID_TOKEN),
        (lambda p: lambda h, c: p.by_hand(h, ["deep"] * 40_000, lambda s: b""), Reason.MALFORMED),
    ],
    ids=[
        "none",
        "HS256 of the public key",
        "none with a space",
        "a list",
        "no alg",
        "no signature",
        "zeros",
        "another key",
        "crit",
        "text",
        "JWE",
        "umlauts",
        "empty",
        "null",
        "too large",
    ],
)
def test_a_forged_token_proves_nobody(port, provider, forgery, reason):
    provider.sign = forgery(provider)
    assert reason == refusal(port, provider)


def test_a_key_that_the_token_brings_along_is_never_used(port, provider):
    own = RSAKey.generate_key(2048, {"kid": "own"}, auto_kid=False)
    provider.header = {
        "kid": "own",
        "jwk": own.as_dict(private=False),
        "jku": f"{provider.issuer}/elsewhere",
    }
    provider.sign = lambda header, said: provider.by_hand(
        header, said, lambda signed: own.private_key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    )
    assert Reason.MALFORMED == refusal(port, provider)  # Such a header is above joserfc's 512 bytes.
    provider.header = {"kid": "own", "jku": f"{provider.issuer}/elsewhere"}
    assert Reason.UNKNOWN_KEY == refusal(port, provider)
    assert 0 == provider.asked["elsewhere"]


def test_an_unknown_key_makes_us_ask_for_the_keys_once_more_and_no_oftener(port, provider):
    signed_in(port, provider)
    assert 1 == provider.asked["keys"]
    provider.header = {"kid": "rsa-9"}
    assert Reason.UNKNOWN_KEY == refusal(port, provider)
    assert 2 == provider.asked["keys"]


def test_keys_are_changed_without_anybody_noticing(port, provider):
    signed_in(port, provider)
    provider.rotate()
    assert STAFF == signed_in(port, provider).subject
    assert 2 == provider.asked["keys"]


def test_a_withdrawn_key_is_forgotten_after_an_hour(provider):
    late = [timedelta()]
    port = opened(provider, now=lambda: datetime.now(UTC) + late[0])
    signed_in(port, provider)
    provider.keys = [provider.ec]
    assert STAFF == signed_in(port, provider).subject
    late[0] = provider.moved = timedelta(minutes=61)
    assert Reason.UNKNOWN_KEY == refusal(port, provider)


def test_a_token_without_a_key_id_is_believed_where_there_is_one_key_only(port, provider):
    provider.header = {"kid": GONE}
    assert STAFF == signed_in(port, provider).subject
    provider.keys = list(provider.rsa)
    assert Reason.UNKNOWN_KEY == refusal(opened(provider), provider)


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_a_short_key_signs_for_nobody(port, provider):
    provider.keys = [RSAKey.generate_key(1024, {"kid": "short"}, auto_kid=False)]
    provider.signs = provider.keys[0]
    assert Reason.UNKNOWN_KEY == refusal(port, provider)


# A provider that is another, or in trouble -------------------------------------------------------------------------


DISCOVERIES = [
    ({"issuer": "https://elsewhere.example"}, Reason.OTHER_ISSUER),
    ({"issuer": GONE}, Reason.OTHER_ISSUER),
    ({"token_endpoint": GONE}, Reason.DISCOVERY),
    ({"jwks_uri": 7}, Reason.DISCOVERY),
    ({"authorization_endpoint": "http://login.example/authorize"}, Reason.UNSAFE_ADDRESS),
    ({"token_endpoint": "http://login.example/token"}, Reason.UNSAFE_ADDRESS),
    ({"jwks_uri": "file:///etc/passwd"}, Reason.UNSAFE_ADDRESS),
    ({"code_challenge_methods_supported": ["plain"]}, Reason.NO_PKCE),
]


@pytest.mark.parametrize(("changes", "reason"), DISCOVERIES, ids=[next(iter(c)) for c, _ in DISCOVERIES])
def test_what_the_provider_tells_of_itself_is_checked_before_anybody_is_sent_there(
    port, provider, changes, reason
):
    provider.discovery = changes
    with pytest.raises(NotProven) as refused:
        port.begin(redirect_uri=BACK)
    assert reason == refused.value.reason


@pytest.mark.parametrize("named", [None, "https://elsewhere.example"])
def test_an_answer_that_names_another_issuer_is_not_redeemed(port, provider, named):
    assert Reason.OTHER_ISSUER == refusal(port, provider, issuer=named)
    assert 0 == provider.asked["token"]


def test_a_provider_that_never_names_itself_in_the_answer_needs_not(port, provider):
    provider.discovery["authorization_response_iss_parameter_supported"] = GONE
    assert STAFF == signed_in(port, provider, issuer=None).subject


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example/realm",
        "http://127.0.0.1.example/realm",
        "http://localhost@login.example/",
        "https://user:secret@login.example",
        "ftp://login.example",
        "login.example",
        "https://",
        "https://x:99999",
        "https://login.example/#a",
        "https://login.example\\@127.0.0.1/",
        "https://login.example/ x",
    ],
)
def test_a_provider_without_https_is_refused_at_the_start(provider, issuer):
    assert not is_safe(issuer)
    with pytest.raises(Unfit, match="SORG_OIDC_ISSUER must begin with https://"):
        OidcProvider(issuer, client_id=CLIENT, now=datetime.now, dice=secrets.token_bytes)


@pytest.mark.parametrize(
    "url",
    ["https://login.example:8443/realm", "http://127.9.0.1:1/", "http://[::1]:8080/", "http://localhost/a"],
)
def test_https_is_safe_and_this_machine_is(url):
    assert is_safe(url)


TROUBLE = [
    (lambda p: PlainTextResponse("Internal error", 500), "Away"),
    (lambda p: JSONResponse({"error": "server_error"}, 503), "Away"),
    (lambda p: PlainTextResponse("Slow down", 429), "Away"),
    (lambda p: PlainTextResponse("x" * (10 * 1024 * 1024)), Reason.TOO_LARGE),
    (lambda p: RedirectResponse(f"{p.issuer.removesuffix('/realm')}/elsewhere", 307), Reason.REDIRECTED),
    (lambda p: JSONResponse({"id_token": "x"}, 302), Reason.REDIRECTED),
    (lambda p: PlainTextResponse("<html>", 200), Reason.UNREADABLE),
    (lambda p: PlainTextResponse("[" * 100_000, 200), Reason.UNREADABLE),
    (lambda p: PlainTextResponse("<html>", 404), Reason.UNREADABLE),
    (
        lambda p: PlainTextResponse(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
        Reason.UNREADABLE,
    ),
    (lambda p: JSONResponse(["id_token"]), Reason.UNREADABLE),
    (lambda p: JSONResponse({"access_token": "x", "expires_in": "soon"}), Reason.UNREADABLE),
    (lambda p: JSONResponse({"id_token": "x"}, 400), Reason.DECLINED),
    (lambda p: JSONResponse({"error": "interaction_required\n<script>"}, 400), Reason.DECLINED),
    (lambda p: JSONResponse({"error": ["x"]}, 400), Reason.DECLINED),
    (lambda p: JSONResponse({"access_token": "x"}), Reason.NO_ID_TOKEN),
    (lambda p: JSONResponse({"id_token": {"sub": STAFF}}), Reason.NO_ID_TOKEN),
]


def drops():
    while True:
        time.sleep(0.05)
        yield b" "


@pytest.mark.parametrize(("answer", "outcome"), TROUBLE, ids=[f"{n}-{o}" for n, (_, o) in enumerate(TROUBLE)])
def test_whatever_the_token_endpoint_answers_a_sentence_comes_of_it(port, provider, answer, outcome):
    provider.token_answer = lambda: answer(provider)
    if outcome != "Away":
        assert outcome == refusal(port, provider)
    else:
        with pytest.raises(Away) as away:
            signed_in(port, provider)
        assert oidc.AWAY == away.value.sentence
    assert 0 == provider.asked["elsewhere"]


def test_what_the_provider_says_cannot_hide_anything_in_the_record():
    assert "interaction_requiredscript" == oidc.declined("interaction_required\n<script>").detail


def test_an_answer_that_comes_in_drops_and_never_ends_is_not_waited_for(provider):
    provider.token_answer = lambda: StreamingResponse(drops())
    assert Reason.TOO_LARGE == refusal(opened(provider, timeout_s=(10.0, 10.0), longest_s=1.0), provider)


@pytest.mark.parametrize("place", ["token_endpoint", "jwks_uri"])
def test_a_provider_that_takes_the_call_and_is_silent_is_away(hasty, provider, place):
    with silence() as nowhere:
        provider.discovery[place] = nowhere
        with pytest.raises(Away):
            signed_in(hasty, provider)


def test_a_provider_that_is_away_is_asked_again_after_ten_seconds(provider):
    late = [timedelta()]
    port = opened(provider, now=lambda: datetime.now(UTC) + late[0])
    provider.is_down = True
    for _ in range(3):
        with pytest.raises(Away):
            port.begin(redirect_uri=BACK)
    assert 1 == provider.asked["discovery"]
    provider.is_down, late[0] = False, timedelta(seconds=11)
    assert STAFF == signed_in(port, provider).subject


def test_where_nobody_listens_the_provider_is_away(provider):
    with silence() as nowhere:
        pass
    port = OidcProvider(nowhere, client_id=CLIENT, now=lambda: datetime.now(UTC), dice=secrets.token_bytes)
    with pytest.raises(Away):
        port.begin(redirect_uri=BACK)


def test_many_at_once_are_kept_apart(port, provider):
    found: list[bool] = []

    def one() -> None:
        found.append(STAFF == signed_in(port, provider).subject)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [True] * 8 == found


def test_only_a_certificate_that_is_trusted_will_do(tmp_path):
    certificate, key = own_certificate(tmp_path)
    with serving(new_provider(), ssl_certfile=certificate, ssl_keyfile=key) as provider:
        with pytest.raises(Away) as away:
            opened(provider).begin(redirect_uri=BACK)
        assert ["certificate"] == [problem.code for problem in away.value.problems]
        assert opened(provider, ca_file=certificate).begin(redirect_uri=BACK).url.startswith(provider.issuer)


def test_every_reason_is_explained_and_stands_in_the_decision():
    page = (ROOT / "docs" / "decisions" / "081-single-sign-on.md").read_text()
    assert set(Reason) == set(EXPLAINED)
    assert [] == [reason for reason in Reason if f"`{reason}`" not in page]


# Settings ---------------------------------------------------------------------------------------------------------


def test_without_an_issuer_there_is_no_single_sign_on():
    assert None is open_identity_provider(read())


def test_the_settings_describe_the_provider(provider, tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    settings = read(
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret_file=file,
        oidc_second_factor="mfa, 2 ,",
        oidc_groups_claim="roles",
        oidc_directory_id="LDAP_ID",
    )
    # Keycloak passes an attribute on as a list.
    provider.claims = {"roles": ["radiologist"], "amr": ["mfa"], "LDAP_ID": ["S-1-5-21-1-2-3-1104"]}
    who = signed_in(open_identity_provider(settings), provider)
    assert (("radiologist",), True, "S-1-5-21-1-2-3-1104", "mfa 2") == (
        who.groups,
        who.has_second_factor,
        who.directory_id,
        provider.wishes["acr_values"],
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"oidc_issuer": "http://login.example"}, "SORG_OIDC_ISSUER must begin with https://"),
        ({"oidc_client_id": ""}, "SORG_OIDC_ISSUER needs SORG_OIDC_CLIENT_ID"),
        ({"oidc_ca_file": Path("nowhere")}, "SORG_OIDC_CA_FILE cannot be read"),
        (
            {"oidc_client_secret_file": Path("nowhere")},
            "SORG_OIDC_CLIENT_SECRET_FILE cannot be read: No such",
        ),
        ({"oidc_client_secret_file": Path("/dev/null")}, "SORG_OIDC_CLIENT_SECRET_FILE is empty"),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_a_half_described_provider_stops_the_start(changes, sentence):
    usual = {"oidc_issuer": "https://login.example", "oidc_client_id": CLIENT}
    with pytest.raises(Unfit, match=sentence):
        open_identity_provider(read(**{**usual, **changes}))
