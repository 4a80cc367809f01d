"""People with an account, what proves that it is them, their sessions, and how often somebody guessed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from core.store.model.base import Base, Owned


class Person(Owned, Base):
    """One account: of staff, or of a patient or referring doctor at the gateway.

    `login` is stored case-folded. Secrets are sealed, and bound to the row: `totp_box` is in use, `totp_pending` waits
    for its test code. `directory_id` is objectGUID or entryUUID: names change, it does not. `roles` of a directory
    account follow its groups. `scope` and `sites` overrule the roles' reach over patients (core.rules.roles).
    """

    __tablename__ = "person"
    __table_args__ = (Index("ix_person_directory_id", "directory", "directory_id", unique=True),)

    login: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    roles: Mapped[list[str]] = mapped_column()
    registration: Mapped[str] = mapped_column(String(40), default="")  # HPCSA number, as the person writes it
    practice_number: Mapped[str] = mapped_column(String(13), default="")
    email: Mapped[str] = mapped_column(String(120), default="")
    directory: Mapped[str] = mapped_column(String(20), default="local")
    directory_id: Mapped[str | None] = mapped_column(String(64), default=None)
    password_hash: Mapped[str] = mapped_column(String(200), default="")
    totp_box: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    totp_step: Mapped[int] = mapped_column(default=0)  # the last time step used: each code works once
    wrong_answers: Mapped[int] = mapped_column(default=0)  # passwords
    locked_until: Mapped[datetime | None] = mapped_column(default=None)
    is_active: Mapped[bool] = mapped_column(default=True)
    last_sign_in_at: Mapped[datetime | None] = mapped_column(default=None)
    # Codes are counted apart from passwords: who guesses at the door must not keep a radiologist from signing.
    wrong_codes: Mapped[int] = mapped_column(default=0, server_default="0")
    codes_rest_until: Mapped[datetime | None] = mapped_column(default=None)
    totp_pending: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    scope: Mapped[str] = mapped_column(String(10), default="", server_default="")
    sites: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    patient_id: Mapped[UUID | None] = mapped_column(ForeignKey("patient.id"), default=None)
    referrer_id: Mapped[UUID | None] = mapped_column(ForeignKey("referrer.id"), default=None)
    is_break_glass: Mapped[bool] = mapped_column(default=False, server_default="0")
    closes_at: Mapped[datetime | None] = mapped_column(default=None)  # the account works until then
    shut_at: Mapped[datetime | None] = mapped_column(default=None)  # when an admin shut them out
    # Signing in while the directory is away: a verifier of the last password that it accepted, and until when.
    away_hash: Mapped[str] = mapped_column(String(200), default="", server_default="")
    away_until: Mapped[datetime | None] = mapped_column(default=None)
    away_tries: Mapped[int] = mapped_column(default=0, server_default="0")
    password_set_at: Mapped[datetime | None] = mapped_column(default=None)  # as the directory says
    checked_at: Mapped[datetime | None] = mapped_column(default=None)  # when the directory last said yes
    groups: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    # The one identity at the single sign-on provider that came in as this person of the directory, as a hash.
    sso_id: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    # {until, name, registration}, oldest first: what was signed keeps the name of then. And login, where that changed.
    former_names: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    slip_sets_password: Mapped[bool] = mapped_column(
        default=False, server_default="0"
    )  # after an approved reset


class SignInSession(Base):
    """A browser's session; only the hash of its token is kept. `stage` is password until the second factor is right.

    is_away: begun while the directory was away, with fewer rights. reason: why the break-glass account was used.
    key_id: the key that opened it, or was touched in it last; once that key is taken away it opens nothing here either.
    """

    __tablename__ = "sign_in_session"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    stage: Mapped[str] = mapped_column(String(10))  # password, open
    from_address: Mapped[str] = mapped_column(String(64), default="")
    begun_at: Mapped[datetime] = mapped_column()
    seen_at: Mapped[datetime] = mapped_column()
    ends_at: Mapped[datetime] = mapped_column()
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    channel: Mapped[str] = mapped_column(String(12), default="console", server_default="console")
    method: Mapped[str] = mapped_column(String(12), default="", server_default="")  # code, key, recovery, sso
    is_away: Mapped[bool] = mapped_column(default=False, server_default="0")
    reason: Mapped[str] = mapped_column(String(300), default="", server_default="")
    ended_why: Mapped[str] = mapped_column(String(40), default="", server_default="")
    key_id: Mapped[UUID | None] = mapped_column(ForeignKey("security_key.id"), default=None)


class SecurityKey(Base):
    """A passkey or security key (WebAuthn credential). A counter that goes back means a copy: the key is shut.

    ended_why: removed (by its owner), copied, or reset (with everything else that proved who they are).
    """

    __tablename__ = "security_key"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(1024), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary(2048))
    sign_count: Mapped[int] = mapped_column(default=0)
    name: Mapped[str] = mapped_column(String(60))
    transports: Mapped[list[str]] = mapped_column(default=list)
    made_at: Mapped[datetime] = mapped_column()
    used_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    ended_why: Mapped[str] = mapped_column(String(12), default="", server_default="")


class RecoveryCode(Base):
    """One of ten codes for the day the phone is lost: 128 random bits, kept as a hash, good once."""

    __tablename__ = "recovery_code"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    made_at: Mapped[datetime] = mapped_column()
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class Activation(Base):
    """A one-time slip or link by which a person sets their own password and second factor; kept as a hash."""

    __tablename__ = "activation"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    sets_password: Mapped[bool] = mapped_column()
    made_by: Mapped[UUID] = mapped_column()
    made_at: Mapped[datetime] = mapped_column()
    ends_at: Mapped[datetime] = mapped_column()
    proved_at: Mapped[datetime | None] = mapped_column(default=None)  # the password was chosen, or was right
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class Challenge(Base):
    """A question put to a security key: good once, for five minutes, for one session and one purpose."""

    __tablename__ = "challenge"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sign_in_session.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(160))
    challenge: Mapped[bytes] = mapped_column(LargeBinary(64))
    ends_at: Mapped[datetime] = mapped_column()
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class StepUp(Base):
    """A fresh proof that it is still them: good once, for five minutes, for one session and one purpose."""

    __tablename__ = "step_up"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sign_in_session.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(160))
    method: Mapped[str] = mapped_column(String(12))
    proved_at: Mapped[datetime] = mapped_column()
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class Throttle(Base):
    """How often something was tried wrongly under a key (an address, an unknown login, everybody) in a window."""

    __tablename__ = "throttle"

    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    count: Mapped[int] = mapped_column(default=0)
    since_at: Mapped[datetime] = mapped_column()
    rests_until: Mapped[datetime | None] = mapped_column(default=None)


class GroupRole(Owned, Base):
    """Who is in this group of the directory has this role. `group_id` is the SID or entryUUID; the name may change."""

    __tablename__ = "group_role"
    __table_args__ = (Index("ix_group_role_group_role", "group_id", "role", unique=True),)

    group_id: Mapped[str] = mapped_column(String(80))
    group_name: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20))


class ChangeRequest(Owned, Base):
    """A change of a person, role or right of access that somebody asked for and somebody else must approve.

    `payload` is what will be done, `before` how things stood when it was asked for, `digest` covers both: what is
    approved is what was shown.
    """

    __tablename__ = "change_request"
    __table_args__ = (Index("ix_change_request_state_asked", "state", "asked_at"),)

    kind: Mapped[str] = mapped_column(String(24))
    person_id: Mapped[UUID | None] = mapped_column(index=True, default=None)  # whom it is about
    patient_id: Mapped[UUID | None] = mapped_column(index=True, default=None)
    payload: Mapped[dict[str, Any]] = mapped_column()
    before: Mapped[dict[str, Any]] = mapped_column()
    after: Mapped[dict[str, Any]] = mapped_column(default=dict)
    digest: Mapped[str] = mapped_column(String(64))
    why: Mapped[str] = mapped_column(String(300), default="")
    asked_by: Mapped[UUID] = mapped_column()
    asked_at: Mapped[datetime] = mapped_column()
    ends_at: Mapped[datetime] = mapped_column()
    state: Mapped[str] = mapped_column(String(10))  # waiting, delayed, done, refused, withdrawn, expired
    due_at: Mapped[datetime | None] = mapped_column(default=None)  # one-person practices: not before
    decided_by: Mapped[UUID | None] = mapped_column(default=None)
    decided_at: Mapped[datetime | None] = mapped_column(default=None)
    remark: Mapped[str] = mapped_column(String(300), default="")


class Alert(Base):
    """Something that the admins must hear of: guessing at the door, a broken glass, a change that one person makes."""

    __tablename__ = "alert"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(20))
    sentence: Mapped[str] = mapped_column(String(300))
    about: Mapped[str] = mapped_column(String(64), default="")
    at: Mapped[datetime] = mapped_column(index=True)
    by: Mapped[UUID | None] = mapped_column(default=None)  # whose act it tells of
    seen_by: Mapped[UUID | None] = mapped_column(default=None)
    seen_at: Mapped[datetime | None] = mapped_column(default=None)
