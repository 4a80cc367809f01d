"""What proves that it is still them: codes of an app, recovery codes, passkeys and security keys, and fresh proofs.

A fresh proof (step-up) is good once, for five minutes, for one session and one purpose: what was confirmed for one
report signs no other. A verb that needs one calls `require` inside its own gate, with a code that was just typed or
after the key was touched on the step-up page.

Where admins need keys (docs/decisions/089) a session knows the key that was touched in it, and without one it has none
of the admin's rights. So what leads to a key of an admin is by key too: a code alone would be enough after all.
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from pyotp.totp import TOTP
from sqlalchemy import func, or_, select, update
from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from core.alerts import raise_alert
from core.errors import Denied, Refused, WrongAnswer
from core.rules.roles import Permission, Role
from core.store.model import Challenge, Person, RecoveryCode, SecurityKey, SignInSession, StepUp
from core.store.work import Subject, Work
from core.tokens import Unsealable, hash_token, new_code, plain_code, seal, unseal

FRESH = timedelta(minutes=5)
AFTER_RECOVERY = timedelta(minutes=15)
RECOVERY_CODES = 10
MOST_KEYS = 10
_CODE_TRIES, _CODE_REST = 5, timedelta(minutes=15)
RESTS = "Too many wrong codes. Wait fifteen minutes, use your key, or ask your practice's admin."
WRONG_CODE = "That code is not right, or was used already. Wait for the next one and try again."
UNREADABLE = "The codes of this account cannot be checked. Ask your practice's admin for a new second factor."
WRONG_KEY = "That key was not accepted. Try again, or use a code."
NO_PROOF = "Confirm that it is you first: with a fresh code, or with your key."
# What a touch is for that confirms nothing and only opens what admins do.
ADMIN = "admin"
# What our own challenges are for: one that is asked for by that name for confirming would make a key without a proof.
_SIGN_IN, FIRST_KEY, _NEW_KEY = "sign-in", "first-key", "new-key"
_OF_THE_DOOR = frozenset({_SIGN_IN, FIRST_KEY, _NEW_KEY})
_SIGN_ON = "sso"
_APPROVING = "In this practice changes are approved with a key: use yours."
_BY_KEY = (
    "What proves that it is you is changed with your key. Is it lost, or was it shut? Sign in with a recovery code, or "
    "let another admin ask for a new second factor for you."
)
_TOUCH = (
    "A code does not open what admins do. Is your key lost? Sign in with a recovery code, or let another admin ask for a "
    "new second factor for you."
)
_ONLY_KEY = (
    "This is your only key, and what admins do needs one. Add another one first, then take this one away."
)


@dataclass(frozen=True, repr=False)
class NewTotp:
    """A TOTP secret (base32) that waits for its test code, and its otpauth address for the QR code."""

    login: str
    secret: str
    otpauth: str


@dataclass(frozen=True)
class KeyCard:
    """A passkey or security key as its owner knows it."""

    id: UUID
    name: str
    made_at: datetime
    used_at: datetime | None


@dataclass(frozen=True)
class Factors:
    """What somebody can prove themselves with. by_sign_on: nothing yet, and a fresh single sign-on leads to a first key."""

    code: bool
    keys: tuple[KeyCard, ...]
    recovery_codes: int
    rests_until: datetime | None
    by_sign_on: bool = False


# One's own factors, while signed in -----------------------------------------------------------------------------


def mine(work: Work) -> Factors:
    """The signed-in person's own factors."""
    with work.look(Permission.ACCOUNT_SELF):
        person = work.get(Person, work.actor.person)
        session = work.db.get(SignInSession, work.actor.session) if work.actor.session else None
        by_sign_on = (
            session is not None and session.method == _SIGN_ON and _may_begin_by_sign_on(work, person)
        )
        return replace(factors_of(work, person), by_sign_on=by_sign_on)


def begin_totp(work: Work, *, code: str = "") -> NewTotp:
    """A new secret for one's own app, in use once its test code is right. Needs a fresh proof for "factors"."""
    with work.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts:
        facts["step"] = "new-app"
        require(work, "factors", code=code)
        person = work.get(Person, work.actor.person, lock=True)
        return pending_totp(work, person)


def finish_totp(work: Work, *, code: str) -> int:
    """The test code of the new secret: from now on it is the one in use. How many other sessions ended with the old one."""
    with work.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts:
        facts["step"] = "app-in-use"
        person = work.get(Person, work.actor.person, lock=True)
        adopt_totp(work, person, code)
        # Whoever came in by the old app must show the new one (ASVS 5.0, 7.4.3).
        facts["sessions"] = end_sessions_of(work, person, why="new app", but=work.actor.session)
        return facts["sessions"]


def renew_recovery_codes(work: Work, *, code: str = "") -> tuple[str, ...]:
    """Ten new recovery codes, shown once; the old ones are void. Needs a fresh proof for "factors"."""
    with work.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts:
        facts["step"] = "recovery-codes"
        require(work, "factors", code=code)
        return new_recovery_codes(work, work.get(Person, work.actor.person, lock=True))


def begin_key(work: Work, *, origin: str, code: str = "") -> dict[str, Any]:
    """Options for making a new key (WebAuthn level 2, §5.4), as JSON for the browser.

    Needs a proof for "factors"; or, for the first one, a single sign-on with a second factor not five minutes ago.
    """
    with work.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts:
        facts["step"] = "new-key"
        person = work.get(Person, work.actor.person, lock=True)
        by_sign_on = not code and _is_vouched_for(work, person)
        facts["by"] = _SIGN_ON if by_sign_on else require(work, "factors", code=code)
        keys = _keys(work, person.id)
        if len(keys) >= MOST_KEYS:
            raise Refused(f"At most {MOST_KEYS} keys: take one away first.")
        options = webauthn.generate_registration_options(
            rp_id=_host(origin),
            rp_name="Sorg",
            user_name=person.login,
            user_display_name=person.name,
            user_id=person.id.bytes,
            challenge=_new_challenge(work, _session_id(work), _making(keys)),
            authenticator_selection=AuthenticatorSelectionCriteria(
                user_verification=UserVerificationRequirement.REQUIRED,
                resident_key=ResidentKeyRequirement.PREFERRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=k.credential_id) for k in keys],
        )
        return json.loads(webauthn.options_to_json(options))


def finish_key(work: Work, *, answer: dict[str, Any], name: str, origin: str) -> KeyCard:
    """Keep the key that the browser made: it was touched in this session. Whoever calls makes the session's token anew.

    Raises WrongAnswer when challenge, origin or verification do not hold.
    """
    with work.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts:
        facts["step"] = "key-added"
        person = work.get(Person, work.actor.person, lock=True)
        before = _keys(work, person.id)
        # Begun as the first and finished as the second: somebody else was quicker, and a code was all that this one had.
        challenge = _use_challenge(work, _session_id(work), _making(before))
        try:
            made = webauthn.verify_registration_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=_host(origin),
                expected_origin=origin,
                require_user_verification=True,
            )
            # The library believes any numbers here; a point that is not on its curve would never answer for anybody.
            decoded_public_key_to_cryptography(decode_credential_public_key(made.credential_public_key))
        except _NOT_A_KEY as error:
            facts["why"] = type(error).__name__
            raise WrongAnswer(WRONG_KEY) from None
        # Whoever has it: an account at the gateway sees its own keys alone, and no key is two people's.
        known = select(SecurityKey.id).where(SecurityKey.credential_id == made.credential_id)
        if work.db.scalars(known.execution_options(the_gates_own=True)).first() is not None:
            raise WrongAnswer("This key is known already.")
        key = SecurityKey(
            id=work.new_id(),
            origin=work.house.origin,
            person_id=work.actor.person,
            credential_id=made.credential_id,
            public_key=made.credential_public_key,
            sign_count=made.sign_count,
            name=_key_name(name),
            transports=[],
            made_at=work.now(),
        )
        work.db.add(key)
        work.db.flush()
        # An app that was begun before, with a code maybe, would count without the key that is asked for from now on.
        person.totp_pending = None
        _opened_by(work, key)
        facts["key"] = key.id
        if needs_key(work, person) and (not before or _came_by_recovery(work)):
            how = (
                "a key, after signing in with a recovery code"
                if _came_by_recovery(work)
                else "their first key, with a code"
            )
            raise_alert(
                work,
                "key-added",
                f"{person.name} added {how}. It opens what admins do: was it them?",
                about=person.id,
            )
        return _key_card(key)


def remove_key(work: Work, key_id: UUID, *, code: str = "") -> None:
    """Take one's own key away. Needs a fresh proof for "factors". Raises Refused for an admin's last, where keys are needed."""
    with work.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts:
        facts |= {"step": "key-removed", "key": key_id}
        require(work, "factors", code=code)
        person = work.get(Person, work.actor.person, lock=True)
        key = work.get(SecurityKey, key_id, what="key", of=person.id)
        if needs_key(work, person) and [k.id for k in _keys(work, person.id)] == [key.id]:
            raise Refused(_ONLY_KEY)
        _end_key(work, key, "removed")


# Fresh proofs ---------------------------------------------------------------------------------------------------


def prove_by_code(work: Work, *, purpose: str, code: str) -> None:
    """Confirm with a code, ahead of the verb that asks for it."""
    with work.act(Permission.ACCOUNT_SELF, Subject("step-up")) as facts:
        facts["purpose"] = purpose[:160]
        person = work.get(Person, work.actor.person, lock=True)
        if sentence := _why_no_code(work, person, purpose):
            raise WrongAnswer(sentence, why="no key")
        check_code(work, person, code)
        _prove(work, purpose, "code")


def ask_key(work: Work, *, purpose: str, origin: str) -> dict[str, Any]:
    """Options for touching one's key for a purpose, as JSON for the browser. Raises Refused without a key."""
    with work.tend(Permission.ACCOUNT_SELF):
        if purpose in _OF_THE_DOOR:
            raise Refused("There is nothing to confirm for that.")
        return key_options(
            work, _session_id(work), work.get(Person, work.actor.person), purpose=purpose, origin=origin
        )


def prove_by_key(work: Work, *, purpose: str, answer: dict[str, Any], origin: str) -> None:
    """Confirm by the touched key, ahead of the verb that asks for it; from now on it has opened this session.

    Whoever calls makes the session's token anew.
    """
    with work.act(Permission.ACCOUNT_SELF, Subject("step-up")) as facts:
        facts["purpose"] = purpose[:160]
        person = work.get(Person, work.actor.person, lock=True)
        _opened_by(
            work, check_key(work, _session_id(work), person, purpose=purpose, answer=answer, origin=origin)
        )
        if purpose != ADMIN:
            _prove(work, purpose, "key")


def is_proved(work: Work, *, purpose: str) -> bool:
    """True while a fresh, unused proof for this purpose waits in this session: for drawing."""
    with work.look(Permission.ACCOUNT_SELF):
        if purpose == "factors" and _came_by_recovery(work):
            return True
        if purpose == FIRST_KEY:
            return _is_vouched_for(work, work.get(Person, work.actor.person))
        by_key = bool(_why_no_code(work, work.get(Person, work.actor.person), purpose))
        return _proof(work, purpose, by_key=by_key) is not None


def why_no_code(work: Work, *, purpose: str) -> str:
    """Why a code would prove nothing for this purpose, in a sentence; empty where it does: for drawing."""
    with work.look(Permission.ACCOUNT_SELF):
        return _why_no_code(work, work.get(Person, work.actor.person), purpose)


def require(work: Work, purpose: str, *, code: str = "") -> str:
    """A fresh proof inside a verb that needs one, used up by it; how it was given. Raises WrongAnswer."""
    person = work.get(Person, work.actor.person, lock=True)
    by_key = _why_no_code(work, person, purpose)
    if code.strip():
        if by_key:
            raise WrongAnswer(by_key, why="no key")
        check_code(work, person, code)
        return "code"
    if purpose == "factors" and _came_by_recovery(work):
        return "recovery"
    proof = _proof(work, purpose, by_key=bool(by_key), lock=True)
    if proof is None:
        raise WrongAnswer(by_key or NO_PROOF, why="no proof")
    proof.used_at = work.now()
    return proof.method


# For sibling verbs inside their own gate --------------------------------------------------------------------------


def vouch(work: Work, session: SignInSession, *, at: datetime) -> None:
    """Single sign-on saw this person and a second factor of theirs at that time: it may lead to a first key here."""
    work.db.add(
        StepUp(
            id=work.new_id(),
            session_id=session.id,
            purpose=FIRST_KEY,
            method=_SIGN_ON,
            proved_at=min(at, work.now()),
        )
    )


def needs_key(work: Work, person: Person) -> bool:
    """Whether what this person's roles may do is opened by a key alone. The sealed account's proofs lie in its envelope."""
    return work.rule("admins_need_keys") and Role.ADMIN in person.roles and not person.is_break_glass


def is_keyless(work: Work, session: SignInSession, person: Person) -> bool:
    """Whether the key is missing that this session needs: never touched in it, or taken away since."""
    if not needs_key(work, person):
        return False
    key = work.db.get(SecurityKey, session.key_id) if session.key_id else None
    return key is None or key.ended_at is not None or key.person_id != person.id


def factors_of(work: Work, person: Person) -> Factors:
    """What this person can prove themselves with."""
    codes = work.db.scalar(
        select(func.count())
        .select_from(RecoveryCode)
        .where(RecoveryCode.person_id == person.id, RecoveryCode.used_at.is_(None))
    )
    keys = tuple(_key_card(k) for k in _keys(work, person.id))
    return Factors(person.totp_box is not None, keys, codes or 0, person.codes_rest_until)


def counts_of(work: Work, person_ids: list[UUID]) -> dict[UUID, tuple[int, int]]:
    """How many keys and unused recovery codes each of these people has: for lists."""
    counted = []
    for model, unused in ((SecurityKey, SecurityKey.ended_at), (RecoveryCode, RecoveryCode.used_at)):
        query = select(model.person_id, func.count()).where(model.person_id.in_(person_ids), unused.is_(None))
        counted.append(
            {person_id: count for person_id, count in work.db.execute(query.group_by(model.person_id))}
        )
    keys, codes = counted
    return {person_id: (keys.get(person_id, 0), codes.get(person_id, 0)) for person_id in person_ids}


def check_code(work: Work, person: Person, code: str) -> None:
    """TOTP (RFC 6238): one step either side, and each step once (pyotp alone would take a replay). Raises WrongAnswer.

    `person` is locked, so that of two requests with one code the second sees the step as used.
    """
    if not person.is_active:
        raise Denied("This account is closed.")
    _refuse_while_resting(work, person)
    if person.totp_box is None:
        raise Refused("This account has no codes yet: ask your practice's admin for a sign-in slip.")
    step = _step_of(work, person, person.totp_box, code)
    if step is None:
        _count_wrong(work, person)
        raise WrongAnswer(WRONG_CODE, why="wrong code")
    if step <= person.totp_step:
        # The right code sent twice is no guess; it opens nothing either.
        raise WrongAnswer(WRONG_CODE, why="used code")
    person.totp_step, person.wrong_codes = step, 0
    _use_up_step(work, person.id, step)


def check_recovery(work: Work, person: Person, code: str) -> int:
    """One of the ten codes, used up by this; how many are left. Raises WrongAnswer."""
    _refuse_while_resting(work, person)
    row = work.db.scalars(
        select(RecoveryCode)
        .where(RecoveryCode.code_hash == hash_token(plain_code(code)), RecoveryCode.person_id == person.id)
        .with_for_update()
    ).one_or_none()
    if row is None or row.used_at is not None:
        _count_wrong(work, person)
        why = "unknown recovery code" if row is None else "used recovery code"
        raise WrongAnswer("That recovery code is not right, or was used already.", why=why)
    row.used_at, person.wrong_codes = work.now(), 0
    return factors_of(work, person).recovery_codes


def key_options(work: Work, session_id: UUID, person: Person, *, purpose: str, origin: str) -> dict[str, Any]:
    """Options for touching one of this person's keys (WebAuthn level 2, §5.5)."""
    keys = _keys(work, person.id)
    if not keys:
        raise Refused("This account has no key yet: use a code.")
    options = webauthn.generate_authentication_options(
        rp_id=_host(origin),
        challenge=_new_challenge(work, session_id, purpose),
        allow_credentials=[PublicKeyCredentialDescriptor(id=k.credential_id) for k in keys],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return json.loads(webauthn.options_to_json(options))


def check_key(
    work: Work, session_id: UUID, person: Person, *, purpose: str, answer: dict[str, Any], origin: str
) -> SecurityKey:
    """The key that answered. The answer of a touched key: this challenge, this origin, this person's key, verified, its counter risen."""
    if not person.is_active:
        raise Denied("This account is closed.")
    challenge = _use_challenge(work, session_id, purpose)
    key = _answering(work, person.id, answer)
    if key is None:
        raise WrongAnswer(WRONG_KEY, why="not a key of this account")
    try:
        seen = webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=_host(origin),
            expected_origin=origin,
            credential_public_key=key.public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except _NOT_A_KEY as error:
        raise WrongAnswer(WRONG_KEY, why=f"key: {type(error).__name__}") from None
    if (seen.new_sign_count or key.sign_count) and seen.new_sign_count <= key.sign_count:
        # Two devices share one secret (§6.1.1): which of them is the thief's nobody can tell, so both are out.
        _end_key(work, key, "copied")
        raise_alert(
            work,
            "key-copied",
            f"A key of {person.name} answered with an old count: it may be a copy, and is shut.",
            about=person.id,
        )
        raise WrongAnswer(
            "This key may have been copied and is shut now. Use a code, and tell your practice's admin.",
            why="key counter went back",
        )
    key.sign_count, key.used_at = seen.new_sign_count, work.now()
    return key


def new_totp(work: Work, person: Person) -> tuple[str, str]:
    """A secret in use at once, and its otpauth address: only for accounts that a machine sets up."""
    fresh = pending_totp(work, person)
    person.totp_box, person.totp_pending, person.totp_step = person.totp_pending, None, 0
    return fresh.secret, fresh.otpauth


def pending_totp(work: Work, person: Person) -> NewTotp:
    """A secret that waits for its test code; asking again makes another one."""
    secret = base64.b32encode(work.dice(20)).decode()
    person.totp_pending = seal(work, secret, bound_to=_totp_of(person))
    return NewTotp(person.login, secret, TOTP(secret).provisioning_uri(name=person.login, issuer_name="Sorg"))


def adopt_totp(work: Work, person: Person, code: str) -> None:
    """The test code is right: the waiting secret is the one in use. Raises WrongAnswer, Refused when none waits."""
    if person.totp_pending is None:
        raise Refused("That was done already, or begun anew elsewhere. Begin again.")
    _refuse_while_resting(work, person)
    step = _step_of(work, person, person.totp_pending, code)
    if step is None:
        _count_wrong(work, person)
        raise WrongAnswer(
            "That is not the code of this app now. Is the phone's clock right? Wait for the next code.",
            why="wrong test code",
        )
    person.totp_box, person.totp_pending = person.totp_pending, None
    person.totp_step, person.wrong_codes = step, 0


def new_recovery_codes(work: Work, person: Person) -> tuple[str, ...]:
    """Ten codes, shown once; those before are void."""
    for old in work.db.scalars(
        select(RecoveryCode).where(RecoveryCode.person_id == person.id, RecoveryCode.used_at.is_(None))
    ):
        old.used_at = work.now()
    codes = tuple(new_code(work) for _ in range(RECOVERY_CODES))
    work.db.add_all(
        RecoveryCode(
            id=work.new_id(),
            origin=work.house.origin,
            person_id=person.id,
            code_hash=hash_token(code),
            made_at=work.now(),
        )
        for code in codes
    )
    return codes


def end_sessions_of(work: Work, person: Person, *, why: str, but: UUID | None = None) -> int:
    """End this person's sessions and half sign-ins, all or all but one; at how many windows they were still signed in."""
    found = [
        s
        for s in work.db.scalars(
            select(SignInSession).where(
                SignInSession.person_id == person.id, SignInSession.ended_at.is_(None)
            )
        )
        if s.id != but
    ]
    for session in found:
        session.ended_at, session.ended_why = work.now(), why
    now, idle = work.now(), work.rule("session_idle")
    return sum(s.stage == "open" and s.ends_at > now and s.seen_at + idle > now for s in found)


def forget_all(work: Work, person: Person) -> None:
    """A reset: no code, key or recovery code of before opens anything, and no single sign-on is linked any more."""
    person.sso_id = None
    person.totp_box = person.totp_pending = None
    person.totp_step = person.wrong_codes = 0
    person.codes_rest_until = None
    for key in work.db.scalars(select(SecurityKey).where(SecurityKey.person_id == person.id)):
        _end_key(work, key, "reset")
    for code in work.db.scalars(
        select(RecoveryCode).where(RecoveryCode.person_id == person.id, RecoveryCode.used_at.is_(None))
    ):
        code.used_at = work.now()


# Inside ---------------------------------------------------------------------------------------------------------

# What the library raises for answers that do not hold, and for those that are no answers at all.
_NOT_A_KEY = (WebAuthnException, ValueError, KeyError, TypeError, AttributeError, IndexError)


def _refuse_while_resting(work: Work, person: Person) -> None:
    if person.codes_rest_until is not None and person.codes_rest_until > work.now():
        raise WrongAnswer(RESTS, why="codes rest")


def _step_of(work: Work, person: Person, box: bytes, code: str) -> int | None:
    """The time step, one either side of now, whose code this is; None for a wrong one (RFC 6238 §5.2)."""
    try:
        totp = TOTP(unseal(work, box, bound_to=_totp_of(person)))
    except Unsealable:
        # Somebody moved or changed the sealed secret in the database: nobody comes in by it, and the admins hear of it.
        raise_alert(
            work,
            "tampered",
            f"The sealed second factor of {person.name} is not the one that was kept.",
            about=person.id,
        )
        raise WrongAnswer(UNREADABLE, why="sealed secret does not open") from None
    now, typed = (
        int(work.now().timestamp()) // totp.interval,
        "".join(code.split()).encode("utf-8", "replace"),
    )
    steps = (now - 1, now, now + 1)
    return next((s for s in steps if hmac.compare_digest(totp.generate_otp(s).encode(), typed)), None)


def _use_up_step(work: Work, person_id: UUID, step: int) -> None:
    """Also where the verb is refused after all, and everything that it wrote is taken back."""
    used = update(Person).where(Person.id == person_id, Person.totp_step < step).values(totp_step=step)

    def use_up() -> None:
        work.db.execute(used.execution_options(the_gates_own=True, synchronize_session=False))

    work.spend(use_up)


def _count_wrong(work: Work, person: Person) -> None:
    person.wrong_codes += 1
    if person.wrong_codes >= _CODE_TRIES:
        person.wrong_codes, person.codes_rest_until = 0, work.now() + _CODE_REST
        # At the door the password was right before: somebody may know it who should not (ASVS 5.0, 6.3.5).
        raise_alert(
            work,
            "guessing",
            f"Five wrong codes of {person.name}: their password may be known to somebody else.",
            about=person.id,
        )


def _session_id(work: Work) -> UUID:
    if work.actor.session is None:
        raise Denied("Sign in first.")
    return work.actor.session


def _came_by_recovery(work: Work) -> bool:
    """True for a while after a sign-in by a recovery code: whoever has lost the phone sets up the new one with that."""
    session = work.db.get(SignInSession, work.actor.session) if work.actor.session else None
    return (
        session is not None
        and session.method == "recovery"
        and session.begun_at > work.now() - AFTER_RECOVERY
    )


def _why_no_code(work: Work, person: Person, purpose: str) -> str:
    """A code can be talked out of somebody, or typed into a false page; what it must not open, a key does."""
    if purpose == ADMIN:
        return _TOUCH
    if not needs_key(work, person):
        return ""
    if purpose.startswith("change:"):
        return _APPROVING
    return _BY_KEY if purpose == "factors" and _has_key(work, person) else ""


def _has_key(work: Work, person: Person) -> bool:
    """A key that was shut as a copy still counts: else whoever copied it would add the next one without it."""
    kept = or_(SecurityKey.ended_at.is_(None), SecurityKey.ended_why == "copied")
    has_one = select(SecurityKey.id).where(SecurityKey.person_id == person.id, kept).limit(1)
    return work.db.scalars(has_one).first() is not None


def _may_begin_by_sign_on(work: Work, person: Person) -> bool:
    """Nothing of ours could be asked for, and their rights do not hang on a key that a provider must not give (decision 089)."""
    return person.totp_box is None and not needs_key(work, person) and not _has_key(work, person)


def _is_vouched_for(work: Work, person: Person) -> bool:
    proof = _proof(work, FIRST_KEY)
    return proof is not None and proof.method == _SIGN_ON and _may_begin_by_sign_on(work, person)


def _opened_by(work: Work, key: SecurityKey) -> None:
    work.get(SignInSession, _session_id(work), lock=True).key_id = key.id


def _end_key(work: Work, key: SecurityKey, why: str) -> None:
    key.ended_at, key.ended_why = key.ended_at or work.now(), why


def _making(keys: list[SecurityKey]) -> str:
    return _NEW_KEY if keys else FIRST_KEY


def _proof(work: Work, purpose: str, *, by_key: bool = False, lock: bool = False) -> StepUp | None:
    if work.actor.session is None:
        return None
    query = (
        select(StepUp)
        .where(
            StepUp.session_id == work.actor.session,
            StepUp.purpose == purpose[:160],
            StepUp.used_at.is_(None),
            StepUp.proved_at > work.now() - FRESH,
        )
        .order_by(StepUp.proved_at.desc())
        .limit(1)
    )
    if by_key:
        query = query.where(StepUp.method == "key")
    return work.db.scalars(query.with_for_update() if lock else query).first()


def _prove(work: Work, purpose: str, method: str) -> None:
    work.db.add(
        StepUp(
            id=work.new_id(),
            session_id=_session_id(work),
            purpose=purpose[:160],
            method=method,
            proved_at=work.now(),
        )
    )


def _new_challenge(work: Work, session_id: UUID, purpose: str) -> bytes:
    value = work.dice(32)
    work.db.add(
        Challenge(
            id=work.new_id(),
            session_id=session_id,
            purpose=purpose[:160],
            challenge=value,
            ends_at=work.now() + FRESH,
        )
    )
    return value


def _use_challenge(work: Work, session_id: UUID, purpose: str) -> bytes:
    """The newest open challenge of this session and purpose, used up whatever the answer was worth."""
    row = work.db.scalars(
        select(Challenge)
        .where(
            Challenge.session_id == session_id,
            Challenge.purpose == purpose[:160],
            Challenge.used_at.is_(None),
            Challenge.ends_at > work.now(),
        )
        .order_by(Challenge.ends_at.desc(), Challenge.id.desc())
        .limit(1)
        .with_for_update()
    ).first()
    if row is None:
        raise WrongAnswer("That took too long. Touch the key once more.", why="no open challenge")
    row.used_at = work.now()
    return row.challenge


def _answering(work: Work, person_id: UUID, answer: dict[str, Any]) -> SecurityKey | None:
    try:
        said = webauthn.base64url_to_bytes(str(answer["id"]))
    except (KeyError, TypeError, ValueError):
        return None
    return next((k for k in _keys(work, person_id) if hmac.compare_digest(k.credential_id, said)), None)


def _keys(work: Work, person_id: UUID) -> list[SecurityKey]:
    return list(
        work.db.scalars(
            select(SecurityKey)
            .where(SecurityKey.person_id == person_id, SecurityKey.ended_at.is_(None))
            .order_by(SecurityKey.made_at)
        )
    )


def _key_card(key: SecurityKey) -> KeyCard:
    return KeyCard(key.id, key.name, key.made_at, key.used_at)


def _key_name(name: str) -> str:
    tidy = "".join(c for c in name if c.isprintable()).strip()
    return tidy[:60] or "Key"


def _host(origin: str) -> str:
    """The relying party's id: the host name by which the console is reached (WebAuthn level 2, §5.1.2)."""
    return urlsplit(origin).hostname or ""


def _totp_of(person: Person) -> str:
    return f"totp|{person.id}"
