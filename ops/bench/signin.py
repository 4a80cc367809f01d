"""Signing in with a password and a code, and how much of it is the password's deliberate cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from pyotp.totp import TOTP

from core import signin
from core.ports.directory import LocalAccounts
from core.store.work import nobody
from ops.bench.rows import Bar, Measured, median, p95
from ops.bench.throwaway import open_throwaway

N, LOGIN = 20, "manager"
BARS = (
    Bar("sign-in", "check_password and check_code, as the console's form calls them", "ms", "argon2id alone"),
)


def measure() -> Iterator[Measured]:
    """Twenty times the same person, each time with the next code, beside the password check by itself."""
    directory = LocalAccounts()
    with open_throwaway(orthanc=False) as there:
        password, totp = there.passwords[LOGIN], TOTP(there.story.cast.secrets[LOGIN])
        verifier = directory.new_verifier(password)
        whole, hashing = [], []
        for number in range(N):
            at = there.house.clock() + timedelta(seconds=31 * (number - N))
            house, code = replace(there.house, clock=lambda at=at: at), totp.at(at)
            begun_s = time.perf_counter()
            with house.work(nobody(channel="bench")) as work:
                half = signin.check_password(work, login=LOGIN, password=password)
            with house.work(nobody(channel="bench")) as work:
                signin.check_code(work, token=half, code=code)
            whole.append((time.perf_counter() - begun_s) * 1000)
            begun_s = time.perf_counter()
            directory.password_is_right(LOGIN, password, verifier=verifier)
            hashing.append((time.perf_counter() - begun_s) * 1000)
    rest = [a - b for a, b in zip(whole, hashing, strict=True)]
    yield Measured(
        "sign-in",
        median(whole),
        median(hashing),
        N,
        f"p95 {p95(whole):.0f} ms; without argon2id {median(rest):.0f} ms",
    )
