"""Single sign-on: an OpenID Connect provider (Keycloak, Entra, ADFS) that says who stands before the console.

It proves an identity and nothing more: our own session follows, our own roles table decides, and our own second
factor is asked unless the practice has named what it accepts instead. OpenID Connect Core 1.0, authorization code
with PKCE (RFC 7636). Two ways it can fail: Away (no answer: try again) and NotProven (it answered, and what it
said does not hold).
"""

from __future__ import annotations

import base64
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from io import BytesIO
from ipaddress import ip_address
from json import JSONDecoder
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote_plus, urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, ClaimError, JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, RSAKey
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from core.errors import Away, Turned, Unfit
from core.rules.problems import Problem

# Signatures with a public key only: "none" proves nothing, and HS256 could be made by whoever reads our public key.
KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
SMALLEST_RSA_BITS = 2048
LEEWAY_S = 60
OLDEST_SIGN_IN = timedelta(minutes=10)
LAST_TIME_S = 32_503_680_000  # 1 January 3000; beyond it no auth_time is a time
LARGEST_ANSWER = 1024 * 1024
LONGEST_CODE = 4096
LONGEST_SUBJECT = 255  # OpenID Connect Core 1.0, section 2
_LONGEST_TEXT = 256
_KEPT = timedelta(hours=1)  # what the provider tells of itself; a withdrawn key is gone after this long
_REST = timedelta(seconds=10)  # how long a provider is left alone that did not answer
_SCOPES = "openid profile email"

PUBLIC = "Single sign-on did not confirm who you are. Try again, or sign in with your name and password."
AWAY = "Single sign-on does not answer. Sign in with your name and password, or try again in a few minutes."


class Reason(StrEnum):
    """Why somebody was not proven. For the record and the admin, never for a stranger."""

    UNSAFE_ADDRESS = "unsafe-address"
    OTHER_ISSUER = "other-issuer"
    DISCOVERY = "discovery"
    NO_PKCE = "no-pkce"
    REDIRECTED = "redirected"
    TOO_LARGE = "too-large"
    UNREADABLE = "unreadable"
    DECLINED = "declined"
    CLIENT = "client"
    CODE = "code"
    NO_ID_TOKEN = "no-id-token"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown-key"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    SUBJECT = "subject"
    EXPIRED = "expired"
    NOT_YET = "not-yet"
    NONCE = "nonce"
    ACCESS_TOKEN = "access-token"
    NO_AUTH_TIME = "no-auth-time"
    TOO_LONG_AGO = "too-long-ago"
    CLAIMS = "claims"
    GROUPS_OVERAGE = "groups-overage"


EXPLAINED = {
    Reason.UNSAFE_ADDRESS: "An address that the provider names is not https.",
    Reason.OTHER_ISSUER: "The provider calls itself by another name than SORG_OIDC_ISSUER.",
    Reason.DISCOVERY: "What the provider tells of itself (openid-configuration) is incomplete.",
    Reason.NO_PKCE: "The provider says that it does not support PKCE with S256.",
    Reason.REDIRECTED: "The provider sent us on to another address, which we do not follow.",
    Reason.TOO_LARGE: "The provider's answer is larger than 1 MB, or came too slowly.",
    Reason.UNREADABLE: "The provider's answer cannot be read.",
    Reason.DECLINED: "The provider did not sign this person in.",
    Reason.CLIENT: "The provider does not accept SORG_OIDC_CLIENT_ID with the secret we have.",
    Reason.CODE: "The provider does not accept the code: used before, too old, or made for somebody else.",
    Reason.NO_ID_TOKEN: "The provider sent no id_token.",
    Reason.MALFORMED: "The id_token cannot be read.",
    Reason.ALGORITHM: "The id_token is not signed with RS256, PS256 or ES256.",
    Reason.UNKNOWN_KEY: "The id_token is signed with a key that the provider does not publish.",
    Reason.SIGNATURE: "The id_token's signature does not fit.",
    Reason.ISSUER: "The id_token comes from another issuer.",
    Reason.AUDIENCE: "The id_token was made for another application.",
    Reason.SUBJECT: "The id_token does not say whom it is about.",
    Reason.EXPIRED: "The id_token has run out; or the clocks differ by more than a minute.",
    Reason.NOT_YET: "The id_token lies in the future: the clocks differ by more than a minute.",
    Reason.NONCE: "The id_token belongs to another attempt to sign in.",
    Reason.ACCESS_TOKEN: "The id_token does not belong to the access token beside it.",
    Reason.NO_AUTH_TIME: "The provider does not say when this person signed in. Let it send auth_time.",
    Reason.TOO_LONG_AGO: "The person signed in at the provider more than ten minutes ago, though we asked for less.",
    Reason.CLAIMS: "A claim of the id_token is not of the kind that the standard says.",
    Reason.GROUPS_OVERAGE: "This person is in more groups than the provider passes on. Let it send only those that "
    "are assigned to this application.",
}

# What an admin mends at the provider, and what tells a stranger nothing: it may stand on the sign-in page.
SHOWN = frozenset({Reason.GROUPS_OVERAGE, Reason.NO_AUTH_TIME})

_BY_CLAIM = {
    "iss": Reason.ISSUER, "aud": Reason.AUDIENCE, "azp": Reason.AUDIENCE, "sub": Reason.SUBJECT,
    "exp": Reason.EXPIRED, "nbf": Reason.NOT_YET, "iat": Reason.NOT_YET, "nonce": Reason.NONCE,
    "at_hash": Reason.ACCESS_TOKEN, "auth_time": Reason.NO_AUTH_TIME,
}  # fmt: skip
# RFC 6749, sections 4.1.2.1 and 5.2; every other code is DECLINED.
_BY_OAUTH_ERROR = {
    "invalid_grant": Reason.CODE,
    "invalid_client": Reason.CLIENT,
    "unauthorized_client": Reason.CLIENT,
}


class NotProven(Turned):
    """The provider answered, and nobody is proven. `sentence` is for the person, `reason` and `detail` for the record."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(PUBLIC, problems=(Problem(str(reason), EXPLAINED[reason]),))
        self.reason = reason
        # The provider's own word, kept only as far as nothing can hide in it.
        self.detail = "".join(c for c in detail[:40] if c.isascii() and (c.isalnum() or c in "_-."))


def declined(error: str) -> NotProven:
    """What a provider's `error` parameter or field means (RFC 6749)."""
    return NotProven(_BY_OAUTH_ERROR.get(error, Reason.DECLINED), error)


@dataclass(frozen=True)
class Begun:
    """An attempt to sign in: where to send the browser, and three secrets that only this browser may bring back."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True)
class Claims:
    """Who it is, as the provider says. The identity is issuer and subject; login, name and e-mail can change hands."""

    issuer: str
    subject: str
    login: str
    name: str
    email: str
    groups: tuple[str, ...]
    acr: str
    amr: tuple[str, ...]
    auth_at: datetime
    has_second_factor: bool
    directory_id: str = ""  # the id in the practice's own directory, where the provider passes it on


class IdentityProvider(Protocol):
    """Somebody else who knows our staff. Raises Away when there is no answer, NotProven when the answer is no."""

    def begin(self, *, redirect_uri: str, anew: bool = False) -> Begun:
        """A new attempt; the browser is to be sent to `url` and comes back to `redirect_uri`. anew: the person proves themselves once more."""
        ...

    def finish(self, *, begun: Begun, code: str, redirect_uri: str, issuer: str | None = None) -> Claims:
        """Who it is. code and issuer: `code` and `iss` of the address by which the browser came back (RFC 9207)."""
        ...


@dataclass(frozen=True)
class _Told:
    """What the provider tells of itself (OpenID Connect Discovery 1.0, section 3)."""

    authorize: str
    token: str
    keys: str
    client_auth: tuple[str, ...]
    names_itself: bool
    at: datetime


@dataclass(frozen=True)
class _Key:
    kid: str | None
    alg: str | None
    type: str
    key: RSAKey | ECKey


class OidcProvider:
    """A real provider, spoken to with authlib.

    now: the clock; dice(n): n random bytes. second_factor: values of acr or amr that count as one; none by default.
    groups_claim: "" reads no groups. directory_claim: where the directory's own id of the person stands; "" reads none.
    timeout_s: (to connect, between two bytes); longest_s: for an answer as a whole.
    """

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        client_secret: str = "",
        now: Callable[[], datetime],
        dice: Callable[[int], bytes],
        groups_claim: str = "groups",
        directory_claim: str = "",
        second_factor: tuple[str, ...] = (),
        ca_file: Path | None = None,
        timeout_s: tuple[float, float] = (1.5, 3.0),
        longest_s: float = 5.0,
    ) -> None:
        if not is_safe(issuer):
            raise Unfit("SORG_OIDC_ISSUER must begin with https:// and name the provider's host.")
        self.issuer, self.client_id = issuer, client_id
        self._secret, self._now, self._dice = client_secret, now, dice
        self._groups_claim, self._second_factor = groups_claim, second_factor
        self._directory_claim = directory_claim
        self._verify: bool | str = str(ca_file) if ca_file else True
        self._timeout_s, self._longest_s = timeout_s, longest_s
        # Each is replaced as a whole, so that two threads may ask at the same time; the later answer stays.
        self._told: _Told | None = None
        self._rests_until: datetime | None = None
        self._keys: tuple[_Key, ...] = ()
        self._keys_at: datetime | None = None

    def begin(self, *, redirect_uri: str, anew: bool = False) -> Begun:
        """A new attempt, with a state, nonce and PKCE verifier of 256 bits each. Asks for a recent sign-in (max_age), or a new one."""
        told = self._discover()
        state, nonce, verifier = (self._secret_word() for _ in range(3))
        wishes = {"max_age": str(int(OLDEST_SIGN_IN.total_seconds()))}
        if anew:
            wishes["prompt"] = "login"
        if self._second_factor:
            # Keycloak and ADFS ask for the second factor only when it is wished for; who does not know these
            # values is free to ignore them (OpenID Connect Core 1.0, section 3.1.2.1).
            wishes["acr_values"] = " ".join(self._second_factor)
        with self._client(told) as client:
            url, _ = client.create_authorization_url(
                told.authorize,
                state=state,
                code_verifier=verifier,
                nonce=nonce,
                redirect_uri=redirect_uri,
                **wishes,
            )
        return Begun(url, state, nonce, verifier)

    def finish(self, *, begun: Begun, code: str, redirect_uri: str, issuer: str | None = None) -> Claims:
        """Trade the code for an id_token, and believe it only when everything about it holds."""
        told = self._discover()
        if issuer != self.issuer and (issuer is not None or told.names_itself):
            raise NotProven(Reason.OTHER_ISSUER)
        if not code or len(code) > LONGEST_CODE:
            raise NotProven(Reason.CODE)
        tokens = self._redeem(told, code=code, verifier=begun.verifier, redirect_uri=redirect_uri)
        return self._read(self._proven(tokens, nonce=begun.nonce))

    # Talking to it --------------------------------------------------------------------------------------------

    def _discover(self) -> _Told:
        if self._told is None or self._now() - self._told.at >= _KEPT:
            # Anybody may press the button: a provider that is away must not hold us up for each of them.
            if self._rests_until is not None and self._now() < self._rests_until:
                raise Away(AWAY)
            try:
                self._told = self._read_discovery(self._ask(get_well_known_url(self.issuer, external=True)))
            except Away:
                self._rests_until = self._now() + _REST
                raise
        return self._told

    def _read_discovery(self, said: Mapping[str, Any]) -> _Told:
        if said.get("issuer") != self.issuer:
            raise NotProven(Reason.OTHER_ISSUER)
        addresses = [said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if not all(isinstance(address, str) for address in addresses):
            raise NotProven(Reason.DISCOVERY)
        if not all(is_safe(str(address)) for address in addresses):
            raise NotProven(Reason.UNSAFE_ADDRESS)
        # Entra and ADFS support PKCE without saying so; only a list that leaves it out is a no.
        if "S256" not in _strings(said.get("code_challenge_methods_supported", ["S256"])):
            raise NotProven(Reason.NO_PKCE)
        authorize, token, keys = map(str, addresses)
        methods = _strings(said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]))
        names_itself = said.get("authorization_response_iss_parameter_supported") is True
        return _Told(authorize, token, keys, methods, names_itself, self._now())

    def _redeem(self, told: _Told, *, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        with self._client(told) as client:
            client.register_compliance_hook("access_token_response", _require_success)
            try:
                return client.fetch_token(
                    told.token,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                    redirect_uri=redirect_uri,
                    allow_redirects=False,
                )
            except AuthlibBaseError as error:
                raise declined(str(error.error or "")) from None
            except (ValueError, TypeError, RecursionError):
                raise NotProven(Reason.UNREADABLE) from None

    def _ask(self, url: str) -> dict[str, Any]:
        with self._client() as client:
            answer = client.get(url, withhold_token=True, allow_redirects=False)
            if answer.status_code != 200:
                raise NotProven(Reason.UNREADABLE, f"http-{answer.status_code}")
            try:
                said = answer.json()
            except (ValueError, RecursionError):
                raise NotProven(Reason.UNREADABLE) from None
        if not isinstance(said, dict):
            raise NotProven(Reason.UNREADABLE)
        return said

    def _client(self, told: _Told | None = None) -> Any:  # authlib carries no types
        client: Any = OAuth2Session(
            self.client_id,
            self._secret or None,
            token_endpoint_auth_method=self._client_auth(told),
            scope=_SCOPES,
            code_challenge_method="S256",
            verify=self._verify,
            trust_env=False,
        )
        client.register_client_auth_method(("basic", _basic))
        adapter = _Careful(self._timeout_s, self._longest_s)
        client.mount("https://", adapter)
        client.mount("http://", adapter)
        client.headers["Accept-Encoding"] = "identity"
        return client

    def _client_auth(self, told: _Told | None) -> str:
        if not self._secret:
            return "none"
        # In the body there is one way to write a secret; in the Basic header providers disagree about two.
        in_body = told is not None and "client_secret_post" in told.client_auth
        return "client_secret_post" if in_body else "basic"

    def _secret_word(self) -> str:
        return base64.urlsafe_b64encode(self._dice(32)).rstrip(b"=").decode()

    # Believing it ---------------------------------------------------------------------------------------------

    def _proven(self, tokens: Mapping[str, Any], *, nonce: str) -> CodeIDToken:
        """The claims of the id_token (OpenID Connect Core 1.0, section 3.1.3.7)."""
        token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(token, str) or not token:
            raise NotProven(Reason.NO_ID_TOKEN)
        now = self._now()
        header, said = self._verified(token)
        if isinstance(said.get("amr"), str):
            said["amr"] = [said["amr"]]  # .NET writes a list of one as its only entry.
        if "at_hash" in said and not (said["at_hash"] and isinstance(said["at_hash"], str) and access_token):
            raise NotProven(Reason.ACCESS_TOKEN)
        claims = CodeIDToken(
            said,
            header,
            {
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self.client_id},
                "sub": {"essential": True},
                "exp": {"essential": True},
                "iat": {"essential": True},
            },
            {"nonce": nonce, "client_id": self.client_id, "access_token": access_token},
        )
        try:
            claims.validate(now=now.timestamp(), leeway=LEEWAY_S)
        except ClaimError as error:
            raise NotProven(_BY_CLAIM.get(error.claim.split(",")[0], Reason.CLAIMS)) from None
        except (JoseError, TypeError, ValueError):
            raise NotProven(Reason.CLAIMS) from None
        _require_recent(claims.get("auth_time"), now)
        return claims

    def _verified(self, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            header = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY).headers()
            alg, kid = header.get("alg"), header.get("kid")
            if not isinstance(alg, str) or alg not in KEY_TYPES:
                raise NotProven(Reason.ALGORITHM)
            if "crit" in header or not isinstance(kid, str | None):
                raise NotProven(Reason.MALFORMED)
            # The header's own jwk, jku and x5u are never looked at: a forger could name a key of their own.
            read = jwt.decode(token, self._key(alg, kid), registry=_REGISTRY, decoder_cls=_StrictJson)
        except BadSignatureError:
            raise NotProven(Reason.SIGNATURE) from None
        except UnsupportedAlgorithmError:
            raise NotProven(Reason.ALGORITHM) from None
        except (JoseError, ValueError, TypeError, RecursionError):
            raise NotProven(Reason.MALFORMED) from None
        return read.header, read.claims

    def _key(self, alg: str, kid: str | None) -> RSAKey | ECKey:
        """The provider's key of that name; an unknown one makes us ask once more, since keys are changed."""
        known = self._keys_at is not None and self._now() - self._keys_at < _KEPT
        if not known:
            self._fetch_keys()
        if (found := _fitting(self._keys, alg, kid)) is None and known:
            self._fetch_keys()
            found = _fitting(self._keys, alg, kid)
        if found is None:
            raise NotProven(Reason.UNKNOWN_KEY)
        return found

    def _fetch_keys(self) -> None:
        listed = self._ask(self._discover().keys).get("keys")
        if not isinstance(listed, list):
            raise NotProven(Reason.UNREADABLE)
        self._keys = tuple(key for one in listed if (key := _public_key(one)))
        self._keys_at = self._now()

    def _read(self, claims: Mapping[str, Any]) -> Claims:
        subject, acr = claims["sub"], claims.get("acr", "")
        if not subject or len(subject) > LONGEST_SUBJECT or _plain(subject) != subject:
            raise NotProven(Reason.SUBJECT)
        amr = claims.get("amr") or []
        if not isinstance(acr, str) or not all(isinstance(method, str) for method in amr):
            raise NotProven(Reason.CLAIMS)
        name = _plain(claims.get("name")) or " ".join(
            filter(None, (_plain(claims.get("given_name")), _plain(claims.get("family_name"))))
        )
        email = "" if claims.get("email_verified") is False else _plain(claims.get("email"))
        logins = (*(_plain(claims.get(n)) for n in ("preferred_username", "upn", "unique_name")), email)
        return Claims(
            issuer=self.issuer,
            subject=subject,
            login=_bare(next(filter(None, logins), "")),
            name=name,
            email=email,
            groups=self._groups(claims),
            acr=acr,
            amr=tuple(amr),
            auth_at=datetime.fromtimestamp(claims["auth_time"], UTC),
            has_second_factor=not {acr, *amr}.isdisjoint(self._second_factor),
            directory_id=self._directory_id(claims),
        )

    def _directory_id(self, claims: Mapping[str, Any]) -> str:
        said = claims.get(self._directory_claim) if self._directory_claim else None
        if isinstance(said, list) and len(said) == 1:
            said = said[0]  # Keycloak writes an attribute as a list.
        if said in (None, "", []):
            return ""
        if not isinstance(said, str) or _plain(said) != said:
            raise NotProven(Reason.CLAIMS)
        return said

    def _groups(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        if not self._groups_claim:
            return ()
        # Entra replaces a list above 200 by a place where it can be fetched with rights that we do not want to have.
        elsewhere = claims.get("_claim_names")
        if claims.get("hasgroups") or isinstance(elsewhere, dict) and self._groups_claim in elsewhere:
            raise NotProven(Reason.GROUPS_OVERAGE)
        said = claims.get(self._groups_claim, [])
        found = _strings([said] if isinstance(said, str) else said)
        if not isinstance(said, str | list) or isinstance(said, list) and len(found) != len(said):
            raise NotProven(Reason.CLAIMS)
        return tuple(dict.fromkeys(filter(None, found)))


def is_safe(url: str) -> bool:
    """True for https, and for http on this machine alone: a secret and a token travel there."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if (
        not host
        or parts.username is not None
        or parts.fragment
        or "\\" in url
        or _plain(url) != url
        or " " in url
    ):
        return False
    return parts.scheme == "https" or parts.scheme == "http" and _is_this_machine(host)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _Careful(HTTPAdapter):
    """Every answer read whole, within a size and a time, from a safe address and without following it elsewhere.

    It stands below authlib, which would read an answer of any size, and take the body of a redirect for tokens.
    """

    def __init__(self, timeout_s: tuple[float, float], longest_s: float) -> None:
        self._timeout_s, self._longest_s = timeout_s, longest_s
        super().__init__(pool_connections=1, pool_maxsize=1)

    def send(self, request, stream=False, timeout=None, verify=True, cert=None, proxies=None):
        if not is_safe(request.url or ""):
            raise NotProven(Reason.UNSAFE_ADDRESS)
        ends = time.monotonic() + self._longest_s
        try:
            answer = super().send(request, True, self._timeout_s, verify, cert, proxies)
            try:
                _require_plain(answer)
                content = self._whole(answer.raw, ends)
            finally:
                answer.close()
        except requests.exceptions.SSLError:
            told = "The provider's certificate is not trusted. For one of your own authority, set SORG_OIDC_CA_FILE."
            raise Away(AWAY, problems=(Problem("certificate", told),)) from None
        except (requests.RequestException, HTTPError, OSError):
            raise Away(AWAY) from None
        answer.raw = BytesIO(content)
        return answer

    def _whole(self, raw: Any, ends: float) -> bytes:
        content = bytearray()
        # read1 hands over what has come, so that a drop a second cannot hold us for longer than longest_s.
        while piece := raw.read1(64 * 1024, decode_content=False):
            content += piece
            if len(content) > LARGEST_ANSWER or time.monotonic() > ends:
                raise NotProven(Reason.TOO_LARGE)
        return bytes(content)


def _require_plain(answer: requests.Response) -> None:
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Away(AWAY)
    if 300 <= answer.status_code < 400:
        raise NotProven(Reason.REDIRECTED)
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise NotProven(Reason.UNREADABLE, "content-encoding")


def _require_success(answer: requests.Response) -> requests.Response:
    """authlib takes any JSON object without `error` for tokens, whatever the status."""
    if answer.status_code != 200 and "error" not in answer.json():
        raise NotProven(Reason.DECLINED, f"http-{answer.status_code}")
    return answer


def _basic(client: Any, method: str, uri: str, headers: dict[str, str], body: Any) -> tuple[str, dict, Any]:
    """Client id and secret form-encoded before Basic (RFC 6749, section 2.3.1), which authlib leaves out."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return uri, headers, body


def _require_recent(auth_time: Any, now: datetime) -> None:
    if auth_time is None:
        raise NotProven(Reason.NO_AUTH_TIME)
    # Infinity, "" or a number beyond every date is what a provider sends that nobody should believe.
    if type(auth_time) not in (int, float) or not 0 <= auth_time < LAST_TIME_S:
        raise NotProven(Reason.CLAIMS)
    age_s = now.timestamp() - auth_time
    if age_s > OLDEST_SIGN_IN.total_seconds() + LEEWAY_S:
        raise NotProven(Reason.TOO_LONG_AGO)
    if age_s < -LEEWAY_S:
        raise NotProven(Reason.NOT_YET)


def _public_key(one: Any) -> _Key | None:
    """A key that can sign, or None for one that we have no use for: providers list others beside them."""
    if not isinstance(one, dict) or one.get("use", "sig") != "sig":
        return None
    try:
        if one.get("kty") == "RSA":
            key: RSAKey | ECKey = RSAKey.import_key({"kty": "RSA", "n": one["n"], "e": one["e"]})
            if key.public_key.key_size < SMALLEST_RSA_BITS:
                return None
        elif one.get("kty") == "EC" and one.get("crv") == "P-256":
            key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": one["x"], "y": one["y"]})
        else:
            return None
    except (JoseError, KeyError, ValueError, TypeError):
        return None
    kid, alg = one.get("kid"), one.get("alg")
    return _Key(kid if isinstance(kid, str) else None, alg if isinstance(alg, str) else None, one["kty"], key)


def _fitting(keys: tuple[_Key, ...], alg: str, kid: str | None) -> RSAKey | ECKey | None:
    """The key of that name and kind. A token that names none is only believed where there is no choice."""
    found = [k for k in keys if k.type == KEY_TYPES[alg] and k.alg in (None, alg) and kid in (None, k.kid)]
    return found[0].key if len(found) == 1 else None


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _plain(value: Any) -> str:
    """A short text without control or invisible characters, else ""."""
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        return ""
    text = unicodedata.normalize("NFC", value).strip()
    return "" if any(unicodedata.category(c).startswith("C") for c in text) else text


def _bare(login: str) -> str:
    """The name alone: Entra says name@domain, ADFS DOMAIN\\name, and a login of ours has neither."""
    return login.rpartition("\\")[2].partition("@")[0]


class _StrictJson(JSONDecoder):
    """JSON as RFC 8259 has it: without NaN, with which every comparison fails and nothing ever expires."""

    def __init__(self, **how: Any) -> None:
        super().__init__(parse_constant=_no_constant, **how)


def _no_constant(said: str) -> float:
    raise ValueError(f"{said} is not JSON.")


_REGISTRY = jws.JWSRegistry(algorithms=list(KEY_TYPES), strict_check_header=False)
