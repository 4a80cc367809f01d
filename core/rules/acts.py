"""The audit trail in a person's words: what was done, in the past tense, and the facts beside it.

The trail itself keeps the machine's words, since it is sealed. Whoever is handed it, the patient too, reads these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from core.rules.money import rands
from core.rules.roles import Permission as P
from core.rules.steps import LOOKS, Status
from core.rules.za_time import say_day, say_time

ACTS: dict[P, str] = {
    P.SIGN_IN: "signed in or out",
    P.ACCOUNT_SELF: "looked after their own account",
    P.STAFF_SELF: "looked at their own page",
    P.BOARD_SEE: "looked at the board",
    P.PATIENT_FIND: "searched for patients",
    P.PATIENT_READ: "opened a patient",
    P.PATIENT_WRITE: "wrote in a patient's file",
    P.ORDER_BOOK: "booked an examination",
    P.ORDER_ARRIVE: "said that the patient is here",
    P.ORDER_CANCEL: "called an examination off",
    P.STUDY_READ: "opened a study",
    P.IMAGES_VIEW: "looked at images",
    P.IMAGES_RECEIVE: "took images in",
    P.IMAGES_SEND: "sent image files in",
    P.QUARANTINE_SEE: "looked at images held back",
    P.QUARANTINE_RESOLVE: "decided about images held back",
    P.READING_LIST_SEE: "looked at the reading list",
    P.REPORT_READ: "read a report",
    P.REPORT_WRITE: "worked on a report",
    P.REPORT_SIGN: "signed a report",
    P.REPORT_ATTACH: "filed a signed report with its images",
    P.TRANSCRIPTION_SEE: "looked at the transcription list",
    P.TRANSCRIBE: "worked on a transcription",
    P.BILLING_SEE: "opened a claim",
    P.BILLING_CODE: "coded a study for billing",
    P.CLAIM_SUBMIT: "submitted or changed a claim",
    P.CLAIM_TRANSMIT: "exchanged claims with the switch",
    P.REMITTANCE_POST: "posted a payment of a scheme",
    P.TABLES_SEE: "looked at code tables",
    P.TABLES_IMPORT: "took in a code table",
    P.SHARE_SEE: "looked at links",
    P.SHARE_MINT: "made a link to a study",
    P.SHARE_REVOKE: "ended a link to a study",
    P.SHARE_OPEN: "opened a link",
    P.SHARED_VIEW: "looked at a study by a link",
    P.OWN_STUDIES: "looked at their studies with an account",
    P.PEOPLE_SEE: "looked at people",
    P.PEOPLE_MANAGE: "asked for a change of people or rights",
    P.PEOPLE_FOUND: "made an account on the practice's machine",
    P.CHANGE_SEE: "looked at requests",
    P.CHANGE_APPROVE: "decided about a request",
    P.CHANGE_APPLY: "carried a request out",
    P.ALERT_SEE: "marked an alert as seen",
    P.AUDIT_READ: "looked up who looked at a patient",
    P.INSIGHT_SEE: "looked at figures of the practice",
    P.ANALYSE: "asked the data without names",
    P.SYSTEM_SEE: "looked at the system",
    P.SYSTEM_MANAGE: "changed how the system runs",
    P.ERRANDS_RUN: "ran an errand",
    P.GLASS_BREAK: "broke the glass in an emergency",
    P.GLASS_REVIEW: "reviewed a broken glass",
    P.ACCESS_SEE: "looked up who may see a patient",
}
# One permission serves several acts; the entry's step, stage or state, a fact it has, or its subject says which.
FINER: dict[tuple[P, str], str] = {
    (P.SIGN_IN, "password"): "typed their password",
    (P.SIGN_IN, "sso"): "came from single sign-on",
    (P.SIGN_IN, "second"): "signed in",
    (P.SIGN_IN, "out"): "signed out",
    (P.SIGN_IN, "rotated"): "went on with their session",
    (P.SIGN_IN, "slip"): "used a slip to open an account",
    (P.SIGN_IN, "directory"): "was checked in the directory",
    (P.ACCOUNT_SELF, "step-up"): "confirmed that it is them",
    (P.ACCOUNT_SELF, "session"): "ended a session of their own",
    (P.ACCOUNT_SELF, "new-app"): "began with a new app for codes",
    (P.ACCOUNT_SELF, "app-in-use"): "took a new app for codes into use",
    (P.ACCOUNT_SELF, "recovery-codes"): "made new recovery codes",
    (P.ACCOUNT_SELF, "new-key"): "began with a new key",
    (P.ACCOUNT_SELF, "key-added"): "added a key",
    (P.ACCOUNT_SELF, "key-removed"): "removed a key",
    (P.ACCOUNT_SELF, "password-proved"): "confirmed their password",
    (P.ACCOUNT_SELF, "password-changed"): "changed their password",
    (P.STAFF_SELF, "glass"): "closed the glass that they broke",
    (P.BOARD_SEE, "list"): "took a list of studies out as a file",
    (P.PATIENT_WRITE, "file"): "registered a patient",
    (P.PATIENT_WRITE, "changed"): "corrected a patient's particulars",
    (P.PATIENT_WRITE, "consent"): "wrote down a consent",
    (P.ORDER_BOOK, "referrer"): "wrote down a referring doctor",
    (P.ORDER_ARRIVE, "arrive"): "said that the patient is here",
    (P.ORDER_CANCEL, "cancel"): "called an examination off",
    (P.REPORT_WRITE, "begin"): "started a report",
    (P.REPORT_WRITE, "pass_on"): "passed a report to transcription",
    (P.REPORT_WRITE, "skip"): "kept a report to proof-read it",
    (P.REPORT_WRITE, "return"): "sent a report back to transcription",
    (P.REPORT_WRITE, "from"): "took a report over",
    (P.REPORT_WRITE, "version"): "saved a report",
    (P.TRANSCRIBE, "take"): "took a report to transcribe",
    (P.TRANSCRIBE, "put_back"): "put a transcription back",
    (P.TRANSCRIBE, "pass_back"): "passed a transcription to the radiologist",
    (P.TRANSCRIBE, "version"): "saved a transcription",
    (P.BILLING_SEE, "remittance"): "opened a payment of a scheme",
    (P.BILLING_SEE, "claim-message"): "opened the message of a claim",
    (P.SHARED_VIEW, "report"): "read a report by a link",
    (P.SHARED_VIEW, "leave"): "left a link",
    (P.OWN_STUDIES, "study"): "opened a study with an account",
    (P.PEOPLE_MANAGE, "withdrawn"): "withdrew a request",
    (P.PEOPLE_MANAGE, "session"): "ended somebody's session",
    (P.PEOPLE_MANAGE, "active"): "suspended an account",
    (P.PEOPLE_MANAGE, "wake"): "opened an account again",
    (P.PEOPLE_MANAGE, "slip"): "made a slip for a person",
    (P.PEOPLE_MANAGE, "sheet"): "took the sheet of people out",
    (P.PEOPLE_FOUND, "sealed"): "sealed the emergency account anew",
    (P.CHANGE_APPROVE, "refused"): "refused a request",
    (P.CHANGE_APPROVE, "done"): "approved a request",
    (P.CHANGE_APPROVE, "delayed"): "approved a request",
    (P.CHANGE_APPROVE, "carrying"): "approved a request",
    (P.CHANGE_APPROVE, "due"): "approved a request of their own",
    (P.CHANGE_APPLY, "expired"): "let a request lapse",
    (P.AUDIT_READ, "rows"): "took entries of the audit trail out",
    (P.AUDIT_READ, "list"): "took entries of the audit trail out",
    (P.SYSTEM_MANAGE, "practice"): "changed the practice's particulars",
    (P.SYSTEM_MANAGE, "errand"): "had an errand tried again",
}

_SUBJECTS = {"practice": "", "studies": "own studies", "list": "list:", "login": "sign-in", "slip": "slip",
             "step-up": "", "glass": "broken glass", "share": "link", "visit": "link", "arrival": "images held back",
             "claim-event": "answer of a scheme", "claim-message": "claim", "code-table": "code table",
             "remittance": "payment", "remittance-line": "line of a payment", "referrer": "referring doctor",
             "errand": "errand", "analytics": "", "switch": "switch:"}  # fmt: skip
_KEYS = {"file": "file number", "cents": "amount", "due": "due", "from": "from", "with": "opened with", "by": "confirmed with",
         "proof": "confirmed with", "found": "patients found", "words": "words searched", "left": "codes left",
         "sessions": "sessions ended", "patient_id": "patient", "person_id": "person", "referrer_id": "doctor",
         "until_at": "until", "login": "signs in as", "practice_number": "practice number", "in_directory": "made in the directory",
         "kind": "kind", "scope": "may see", "door": "door", "app": "app for codes", "because": "because",
         "away": "directory away", "issuer": "provider", "instances": "images", "add": "into the groups",
         "remove": "out of the groups", "enabled": "account in the directory", "accession": "accession number"}  # fmt: skip
_VALUES = {"Missing": "not there, or not theirs to see", "Denied": "not allowed", "Refused": "not possible then",
           "blocked": "the record is closed to them", "outside-scope": "not one of their patients",
           "own-record": "their own record"}  # fmt: skip
_PURPOSES = {"change": "approving a request", "export": "taking a list out", "sign": "signing a report",
             "glass": "breaking the glass", "factors": "changing how they sign in"}  # fmt: skip
# Of use to a machine only: what they stand for is in the other columns, and all of it in the file's last one.
_UNSAID = frozenset({"digest", "instance", "orthanc", "linked", "names", "version_id"})
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*")
_ON = re.compile(r"\d{4}-\d\d-\d\d")


def say_act(act: str, *, kind: str = "", facts: Mapping[str, Any] | None = None) -> str:
    """What was done, in the past tense; an act of an older release is said as it was written.

    >>> say_act("report-sign"), say_act("sign-in", facts={"stage": "out"})
    ('signed a report', 'signed out')
    """
    finer = _finer(act, kind, facts or {})
    return FINER[finer] if finer else ACTS[P(act)] if act in set(P) else act.replace("-", " ")


def say_subject(kind: str, called: str) -> str:
    """What an act was about.

    >>> say_subject("patient", "P-000017"), say_subject("step-up", "")
    ('patient P-000017', '')
    """
    return f"{_SUBJECTS.get(kind, kind)} {called}".strip()


def say_facts(
    act: str,
    *,
    kind: str = "",
    facts: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    known: frozenset[str] = frozenset(),
) -> str:
    """The facts as short words. names: what ids are called; known: ids that the reader sees beside it already.

    >>> say_facts("glass-review", facts={"verdict": "fine", "note": "", "roles": ["admin", "manager"]})
    'verdict: fine, roles: admin and manager'
    """
    finer, names = _finer(act, kind, facts), names or {}
    said = dict(facts)
    if finer:
        # The words of the act say it already.
        said = {k: v for k, v in said.items() if not (k in ("step", "stage", "state") and v == finer[1])}
    before, after = said.pop("before", None), said.pop("after", None)
    if said.get("because"):
        said.pop("why", None)  # The closer of the two.
    if kind == "request" and "kind" in said:
        said = {"change": said.pop("kind"), **said}
    parts: dict[str, str] = {}
    for key, value in said.items():
        text = _say(key, value, names)
        # One thing is said once: what the reader sees beside it, or by its number and by its id, is left out.
        if text and not {text, str(value)} & known and not (str(value) in names and text in parts.values()):
            parts[_key(key)] = text
    return ", ".join((*(f"{k}: {text}" for k, text in parts.items()), *_changes(before, after, names)))


def is_id(text: str) -> bool:
    """True for the id of a row, which says nothing to anybody."""
    return _ID.fullmatch(text) is not None


def _finer(act: str, kind: str, facts: Mapping[str, Any]) -> tuple[P, str] | None:
    if act not in set(P):
        return None
    marks = (*(str(facts.get(k, "")) for k in ("step", "stage", "state")), *facts, kind)
    return next(((P(act), mark) for mark in marks if (P(act), mark) in FINER), None)


def _changes(before: Any, after: Any, names: Mapping[str, str]) -> Iterator[str]:
    """x: a → b, a key each; what stayed is left out, and what is gone or new has one side."""
    if not isinstance(before, dict) and not isinstance(after, dict):
        before, after = {"roles": before}, {"roles": after}
    was, now = (side if isinstance(side, dict) else {} for side in (before, after))
    for key in dict.fromkeys((*was, *now)):
        old, new = (_say(key, side.get(key), names) for side in (was, now))
        if key in was and key in now:
            if old != new:
                yield f"{_key(key)}: {old or 'nothing'} → {new or 'nothing'}"
        elif old or new:
            yield f"{_key(key)}{' before' if old else ''}: {old or new}"


def _key(key: str) -> str:
    return _KEYS.get(key, key.replace("_", " ").replace("-", " "))


def _say(key: str, value: Any, names: Mapping[str, str]) -> str:
    if key in _UNSAID or value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{_key(k)} {text}" for k, v in value.items() if (text := _say(k, v, names)))
    if isinstance(value, list | tuple):
        if any(isinstance(item, dict) for item in value):
            return str(len(value))
        said = [text for item in value if (text := _say(key, item, names))]
        return " and ".join((", ".join(said[:-1]), said[-1]) if len(said) > 1 else said)
    if key == "cents" and isinstance(value, int):
        return rands(value)
    return _say_text(key, str(value), names)


def _say_text(key: str, text: str, names: Mapping[str, str]) -> str:
    if text in names:
        return names[text]
    if is_id(text):
        return ""
    if key == "purpose":
        return _PURPOSES.get(text.split(":")[0], text.split(":")[0])
    if key == "status" and text in set(Status):
        return LOOKS[Status(text)].label.lower()
    if _AT.fullmatch(text) or _ON.fullmatch(text):
        try:
            return (
                say_time(datetime.fromisoformat(text)) if "T" in text else say_day(date.fromisoformat(text))
            )
        except ValueError:
            return text
    if (
        key in ("changed", "state", "kind", "step", "stage", "reason", "reasons", "method")
        and " " not in text
    ):
        return text.replace("_", " ").replace("-", " ")
    return _VALUES.get(text, text)
