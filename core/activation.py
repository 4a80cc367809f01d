"""The first sign-in, and the one after a reset: a one-time slip, one's own password, one's own second factor.

An admin never knows a password. A slip alone is not enough after a reset: who gets a new password proves the factor they
have, and who gets a new factor proves their password, so that a found slip opens nothing.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn
from uuid import UUID

from sqlalchemy import select

from core import factors
from core.door_limits import GATEWAY, address_rests, count_wrong_at_door, count_wrong_password
from core.errors import Denied, Outside, Refused, Stale, Turned, WrongAnswer
from core.factors import NewTotp, end_sessions_of
from core.people import OUTSIDE
from core.ports.directory import Entry
from core.rules import passwords
from core.rules.roles import Permission, Role
from core.signin import password_of
from core.store.model import Activation, Person
from core.store.work import Subject, Work, nobody
from core.tokens import Unsealable, hash_token, plain_code, seal, unseal

NO_SLIP = "This slip is not right, was used already, or is too old. Ask whoever gave it to you for a new one."
OTHER_DOOR = {
    "gateway": "This slip is for the practice's own computers: use it there.",
    "console": "This slip is for the patients' page of the practice: use it there.",
}
WRONG_OLD = (
    "That is not your password of now. After a few wrong tries an account rests for up to half an hour."
)
RESTS = "Too many wrong tries: this account rests for up to half an hour. Try again later."
WRONG_PASSWORD = "That is not your password. Use the one of the practice."


@dataclass(frozen=True)
class SlipView:
    """What the slip's own page may say. is_admin: they are offered a key.

    asks: set (choose a password), prove (type the one there is), or nothing: single sign-on asks for it at the door, so that
    a found slip and the factor set up with it open nothing without the provider's own sign-in.
    """

    name: str
    login: str
    asks: str
    has_factor: bool
    ends_at: datetime
    is_admin: bool = False


@dataclass(frozen=True, repr=False)
class Chosen:
    """The password is answered; now the second factor there is must be proved. box: a new password, sealed, for `finish`."""

    box: str


def look_at(work: Work, *, slip: str) -> SlipView:
    """Whose slip this is, and what it asks. Raises WrongAnswer, or Denied after too many wrong ones from one place."""
    with work.look(Permission.SIGN_IN):
        found = _by_slip(work, slip)
        if found is not None:
            row, person = found
            asks = "nothing" if person.directory == "sso" else "set" if row.sets_password else "prove"
            return SlipView(
                person.name,
                person.login,
                asks,
                person.totp_box is not None,
                row.ends_at,
                Role.ADMIN in person.roles and not person.is_break_glass,
            )
    _guessed(work)


def begin(work: Work, *, slip: str, password: str) -> NewTotp | Chosen:
    """Set, or prove, the password. Then comes a new secret for the app, or the factor there is must be proved.

    Raises Refused with what is wrong with a new password, WrongAnswer for one that is not right, Away.
    """
    with work.look(Permission.SIGN_IN):
        found = _by_slip(work, slip)
    if found is None:
        _guessed(work)
    row, person = found
    sets, person_id, name, login = row.sets_password, person.id, person.name, person.login
    local, waits = person.directory == "local", person.totp_box is not None
    verifier = ""
    if sets:
        if problems := passwords.problems_of(password, words=(login, name)):
            raise Refused(problems[0].sentence, problems=problems)
        # Where there is a factor already, it is proved first: whoever found the slip changes no password by it.
        verifier = "" if waits else _set_password(work, person, password)
    right = sets or person.directory == "sso" or password_of(work, person_id, password)
    with work.act(Permission.SIGN_IN, Subject("person", str(person_id))) as facts:
        facts |= {"stage": "slip", "person": person_id, "step": "set" if sets else "prove"}
        person = work.get(Person, person_id, lock=True)
        row = _still(work, slip)
        # Who guesses at the door must not keep somebody from choosing a password; proving one waits like signing in.
        rests = not sets and person.locked_until is not None and person.locked_until > work.now()
        if not right or rests:
            if local:
                count_wrong_password(work, person)
            count_wrong_at_door(work)
            raise WrongAnswer(WRONG_PASSWORD, why="account-rests" if rests else "wrong")
        if sets and not waits:
            _take_password(work, person, verifier)
        row.proved_at = work.now()
        if person.totp_box is None:
            return factors.pending_totp(work, person)
        # The box goes back to the browser that chose: whoever else holds the slip cannot put theirs in its place.
        return Chosen(_box(work, row, password) if sets else "")


def finish(work: Work, *, slip: str, code: str, box: str = "") -> tuple[str, ...]:
    """The code of the new app, or of the one there is: the slip is used up. Ten recovery codes, where there are new ones.

    box: what `begin` gave this browser with a password that waits for the second factor. Raises WrongAnswer, or Refused
    when the password was not answered before.
    """
    with work.house.work(work.actor) as first:
        # A piece of work of its own: the used code stays used, and the directory is asked outside any transaction.
        codes, sets = _prove(first, slip, code)
    return _set_chosen(work, slip, box) if sets else codes


def _prove(work: Work, slip: str, code: str) -> tuple[tuple[str, ...], bool]:
    """New recovery codes, and whether a password still waits to be set."""
    with work.look(Permission.SIGN_IN):
        found = _by_slip(work, slip)
    if found is None:
        _guessed(work)
    with work.act(Permission.SIGN_IN, Subject("person", str(found[1].id))) as facts:
        facts |= {"stage": "slip", "person": found[1].id, "step": "finish"}
        person = work.get(Person, found[1].id, lock=True)
        row = _still(work, slip)
        if row.proved_at is None:
            raise Refused("Begin with the password.")
        if person.totp_box is None:
            factors.adopt_totp(work, person, code)
            codes = factors.new_recovery_codes(work, person)
            _use_up(work, row, person)
            return codes, False
        factors.check_code(work, person, code)
        if not row.sets_password:
            _use_up(work, row, person)
        return (), row.sets_password


def change_password(work: Work, *, old: str, new: str, code: str = "") -> int:
    """One's own new password while signed in, and how many other sessions ended with the old one (ASVS 5.0, 6.2.3).

    The old password is proved, and the second factor: by a code, or by a fresh proof for "factors". Raises Refused with
    what is wrong with the new one or who keeps the password instead, WrongAnswer, Away, Turned.
    """
    with work.look(Permission.ACCOUNT_SELF):
        person = work.get(Person, work.actor.person)
        if sentence := _who_keeps_it(work, person):
            raise Refused(sentence)
        verifier_before, words = person.password_hash, (person.login, person.name)
        rests = person.locked_until is not None and person.locked_until > work.now()
    if problems := passwords.problems_of(new, words=words, field="new"):
        raise Refused(problems[0].sentence, problems=problems)
    if new == old:
        raise Refused("That is the password you have. Choose another one.")
    # Asked as at the door, with its limits, and outside any transaction.
    with work.house.work(nobody(channel=work.actor.channel, address=work.actor.address)) as door:
        with door.look(Permission.SIGN_IN):
            rests = rests or address_rests(door)
        right = not rests and password_of(door, work.actor.person, old)
        if not right and not rests:
            with door.tend(Permission.SIGN_IN):
                count_wrong_at_door(door)
    # A piece of work of its own: the directory is asked outside any transaction, and the used code stays used.
    with (
        work.house.work(work.actor) as first,
        first.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts,
    ):
        facts["step"] = "password-proved"
        person = first.get(Person, work.actor.person, lock=True)
        if rests or (person.locked_until is not None and person.locked_until > first.now()):
            raise WrongAnswer(RESTS, why="account-rests")
        if not right or person.password_hash != verifier_before:
            if person.directory == "local":
                count_wrong_password(first, person)
            raise WrongAnswer(WRONG_OLD, why="wrong password")
        facts["by"] = factors.require(first, "factors", code=code)
        person.wrong_answers = 0
    # Only now, since the directory takes nothing back.
    verifier = _set_password(work, person, new)
    entry = None if verifier else _entry_now(work, person)
    with work.act(Permission.ACCOUNT_SELF, Subject("person", work.actor.id)) as facts:
        facts["step"] = "password-changed"
        person = work.get(Person, work.actor.person, lock=True)
        if person.password_hash != verifier_before:
            raise Stale("Your password was changed or reset at this very moment. Sign in anew.")
        if entry is not None:
            # Else the next question to the directory would take it for a change by somebody else, and end this session.
            person.password_set_at = entry.password_set_at
        facts["sessions"] = _take_password(work, person, verifier, but=work.actor.session)
        return facts["sessions"]


def who_keeps_my_password(work: Work) -> str:
    """Why one's own password cannot be changed here, in a sentence; empty when it can."""
    with work.look(Permission.ACCOUNT_SELF):
        return _who_keeps_it(work, work.get(Person, work.actor.person))


def _entry_now(work: Work, person: Person) -> Entry | None:
    """What the directory says after the change; None when it fell silent, and then everybody of it signs in anew."""
    try:
        return _directory_that_writes(work).look_up(person.directory_id or "")
    except Outside:
        return None


def _who_keeps_it(work: Work, person: Person) -> str:
    if person.is_break_glass:
        return "The sealed account's password lies in its envelope: whoever looks after the system seals it anew."
    if person.directory == "sso":
        return "The practice's single sign-on keeps your password: change it there."
    directory = work.ports.directory
    if person.directory == "directory" and (directory is None or not directory.writes):
        return "The practice's directory keeps your password: change it there, for example at a Windows computer."
    return ""


def _set_chosen(work: Work, slip: str, box: str) -> tuple[str, ...]:
    """The factor is proved: now the password that this browser chose is set, and the slip is used up."""
    with work.look(Permission.SIGN_IN):
        found = _by_slip(work, slip)
        if found is None:
            raise Refused(NO_SLIP)
        row, person = found
        password = _unboxed(work, row, box)
    try:
        verifier = _set_password(work, person, password)
    except Turned as error:
        raise Refused(f"{error.sentence} Type the slip again and choose another password.") from None
    with work.act(Permission.SIGN_IN, Subject("person", str(person.id))) as facts:
        facts |= {"stage": "slip", "person": person.id, "step": "set"}
        person = work.get(Person, person.id, lock=True)
        row = _still(work, slip)
        _take_password(work, person, verifier)
        _use_up(work, row, person)
        return ()


def _box(work: Work, row: Activation, password: str) -> str:
    return base64.urlsafe_b64encode(seal(work, password, bound_to=_slip_of(row))).decode()


def _unboxed(work: Work, row: Activation, box: str) -> str:
    try:
        return unseal(work, base64.urlsafe_b64decode(box.encode()), bound_to=_slip_of(row))
    except (Unsealable, ValueError):
        raise Refused("Begin with the password.") from None


def _set_password(work: Work, person: Person, password: str) -> str:
    """Our own verifier; or the password in the directory, which keeps it. Raises Away, Turned or Refused."""
    if person.directory == "local":
        return work.ports.accounts.new_verifier(password)
    _directory_that_writes(work).set_password(person.directory_id or "", password)
    return ""


def _take_password(work: Work, person: Person, verifier: str, *, but: UUID | None = None) -> int:
    """The sessions of before end, all but one; how many there were."""
    if verifier:
        person.password_hash = verifier
    person.away_until = None
    return end_sessions_of(work, person, why="password set anew", but=but)


def _use_up(work: Work, row: Activation, person: Person) -> None:
    row.used_at, person.slip_sets_password = work.now(), False


def _slip_of(row: Activation) -> str:
    return f"slip|{row.id}|{row.person_id}"


def _by_slip(work: Work, slip: str) -> tuple[Activation, Person] | None:
    """The open slip and whose it is; None for one that was guessed, used up or too old."""
    if address_rests(work):
        raise Denied("Too many wrong answers came from here. Wait ten minutes.")
    row = work.db.scalars(
        select(Activation).where(
            Activation.code_hash == hash_token(plain_code(slip)),
            Activation.used_at.is_(None),
            Activation.ends_at > work.now(),
        )
    ).one_or_none()
    person = work.db.get(Person, row.person_id) if row else None
    if row is None or person is None or not person.is_active:
        return None
    if bool(set(person.roles) & set(OUTSIDE)) != (work.actor.channel == GATEWAY):
        raise Refused(OTHER_DOOR[GATEWAY if work.actor.channel == GATEWAY else "console"])
    return row, person


def _still(work: Work, slip: str) -> Activation:
    """The slip once more, after its person is locked: of two who use it at once, the second finds it used."""
    found = _by_slip(work, slip)
    if found is None:
        raise Refused(NO_SLIP)
    return found[0]


def _guessed(work: Work) -> NoReturn:
    """Count a slip that opens nothing: guessing slips rests the address as guessing passwords does."""
    with work.act(Permission.SIGN_IN, Subject("slip", "unknown")) as facts:
        facts["stage"] = "slip"
        count_wrong_at_door(work)
        raise WrongAnswer(NO_SLIP, why="no such slip")


def _directory_that_writes(work: Work):
    directory = work.ports.directory
    if directory is None or not directory.writes:
        raise Refused("The practice's directory keeps this password: change it there.")
    return directory
