"""Signing in with a password and a code or a key, how much of it is deliberate cost, and whose session a cookie is."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import webauthn
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pyotp.totp import TOTP
from webauthn.helpers import encode_cbor

from core import sessions, signin
from core.errors import Unfit
from core.ports.directory import LocalAccounts
from core.rules.roles import Permission
from core.store.db import maintenance
from core.store.model import SecurityKey
from core.store.work import nobody, system
from core.tokens import hash_token
from ops.bench.rows import Bar, Measured, median, p95
from ops.bench.throwaway import Throwaway, open_throwaway

N, LOGIN, LOOKS = 20, "manager", 300
ORIGIN, HOST = "http://localhost", "localhost"
BARS = (
    Bar("sign-in", "check_password and check_code, as the console's form calls them", "ms", "argon2id alone"),
    Bar("second half, key", "check_key: challenge, signature, origin, count, and the session", "ms", "check_code in its place"),
    Bar("key verified", "webauthn.verify_authentication_response of an ES256 key", "ms", "the signature alone, by OpenSSL"),
    Bar("session look-up", "actor_of, as every step of the console asks it", "µs", "the two rows by SQL alone"),
)  # fmt: skip


def measure() -> Iterator[Measured]:
    """Twenty times the same person, each time with the next code, beside the password check by itself; then keys."""
    directory = LocalAccounts()
    with open_throwaway(orthanc=False) as there:
        password, totp = there.passwords[LOGIN], TOTP(there.story.cast.secrets[LOGIN])
        verifier = directory.new_verifier(password)
        key = _registered(there)
        whole, hashing, by_code, by_key, verifying, signatures = ([] for _ in range(6))
        token = ""
        for number in range(N):
            at = there.house.clock() + timedelta(seconds=31 * (number - N))
            house, code = replace(there.house, clock=lambda at=at: at), totp.at(at)

            def ask(verb: Callable[..., Any], house=house, **said: Any) -> Any:
                with house.work(nobody(channel="console")) as work:
                    return verb(work, **said)

            first_ms, half = timed(ask, signin.check_password, login=LOGIN, password=password)
            second_ms, token = timed(ask, signin.check_code, token=half, code=code)
            whole.append(first_ms + second_ms)
            by_code.append(second_ms)
            hashing.append(timed(directory.password_is_right, LOGIN, password, verifier=verifier)[0])
            half = ask(signin.check_password, login=LOGIN, password=password)
            options = ask(signin.ask_key, token=half, origin=ORIGIN)
            answer = key.touch(options["challenge"])
            by_key.append(timed(ask, signin.check_key, token=half, answer=answer, origin=ORIGIN)[0])
            verifying.append(timed(key.verify, answer, options["challenge"])[0])
            signatures.append(timed(key.verify_signature, answer)[0])
        looks, bare = _looks(there, token)
    rest = [a - b for a, b in zip(whole, hashing, strict=True)]
    yield Measured(
        "sign-in",
        median(whole),
        median(hashing),
        N,
        f"p95 {p95(whole):.0f} ms; without argon2id {median(rest):.0f} ms",
    )
    yield Measured("second half, key", median(by_key), median(by_code), N, f"p95 {p95(by_key):.0f} ms")
    yield Measured("key verified", median(verifying), median(signatures), N, f"p95 {p95(verifying):.2f} ms")
    yield Measured(
        "session look-up", median(looks) * 1000, median(bare) * 1000, LOOKS, f"p95 {p95(looks) * 1000:.0f} µs"
    )


def _looks(there: Throwaway, token: str) -> tuple[list[float], list[float]]:
    """Ours and the driver's own, in turns, in ms."""
    wanted = (
        "select s.id, s.stage, s.channel, s.is_away, s.ended_at, s.ends_at, s.seen_at, p.id, p.name, p.roles, p.scope, p.sites "
        "from sign_in_session s join person p on p.id = s.person_id where s.token_hash = ?"
    )
    with maintenance("bench"):
        driver = there.house.engine.raw_connection().cursor()

    def ours() -> None:
        with there.house.work(nobody(channel="console")) as work:
            if sessions.actor_of(work, token=token, channel="console") is None:
                raise Unfit("The session of the benchmark is over.")

    def bare() -> None:
        if driver.execute(wanted, (hash_token(token),)).fetchone() is None:
            raise Unfit("The session of the benchmark is not there.")

    both = [(timed(ours)[0], timed(bare)[0]) for _ in range(LOOKS)]
    return [one for one, _ in both], [other for _, other in both]


def timed(deed: Callable[..., Any], *what: Any, **how: Any) -> tuple[float, Any]:
    """Milliseconds, and what came of it."""
    begun_s = time.perf_counter()
    brought = deed(*what, **how)
    return (time.perf_counter() - begun_s) * 1000, brought


def _registered(there: Throwaway) -> Key:
    """A key of the person who signs in, as if they had made it on their own page."""
    key, owner = Key(), there.story.cast.actors[LOGIN]
    with there.house.work(system("bench")) as work, work.act(Permission.PEOPLE_FOUND):
        work.db.add(
            SecurityKey(
                id=work.new_id(),
                origin=there.house.origin,
                person_id=owner.person,
                credential_id=key.id,
                public_key=key.cose,
                sign_count=0,
                name="Bench",
                transports=[],
                made_at=work.now(),
            )
        )
    return key


@dataclass
class Key:
    """A security key made of software: ES256, touched and verified each time (WebAuthn level 2, §6)."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    count: int = 0

    @property
    def cose(self) -> bytes:
        """Its public half, as COSE writes it (RFC 9053, 2.1)."""
        numbers = self.private.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        return encode_cbor({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    def touch(self, challenge: str) -> dict[str, Any]:
        """The browser's answer to navigator.credentials.get."""
        self.count += 1
        present_and_verified = b"\x05"
        data = hashlib.sha256(HOST.encode()).digest() + present_and_verified + self.count.to_bytes(4, "big")
        client = json.dumps({"type": "webauthn.get", "challenge": challenge, "origin": ORIGIN}).encode()
        signature = self.private.sign(_signed(data, client), ec.ECDSA(hashes.SHA256()))
        parts = {"clientDataJSON": client, "authenticatorData": data, "signature": signature}
        return {
            "id": _text(self.id),
            "rawId": _text(self.id),
            "type": "public-key",
            "response": {name: _text(raw) for name, raw in parts.items()},
        }

    def verify(self, answer: dict[str, Any], challenge: str) -> None:
        """As core.factors has it verified."""
        webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=_raw(challenge),
            expected_rp_id=HOST,
            expected_origin=ORIGIN,
            credential_public_key=self.cose,
            credential_current_sign_count=0,
            require_user_verification=True,
        )

    def verify_signature(self, answer: dict[str, Any]) -> None:
        said = {name: _raw(text) for name, text in answer["response"].items()}
        signed = _signed(said["authenticatorData"], said["clientDataJSON"])
        self.private.public_key().verify(said["signature"], signed, ec.ECDSA(hashes.SHA256()))


def _signed(data: bytes, client: bytes) -> bytes:
    return data + hashlib.sha256(client).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
