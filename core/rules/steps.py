"""The life of a study and of its report, as one table.

The board's columns, the buttons, the checks, the tests and the diagram in docs/ read this table; a new state
is a new row. Report statuses follow HL7 FHIR R4 DiagnosticReport.status.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from core.rules.roles import Permission


class Status(StrEnum):
    """Where a study stands. The words are the ones on the board."""

    BOOKED = "booked"
    WAITING = "waiting"
    SCANNED = "scanned"
    REPORTING = "reporting"
    TO_TRANSCRIBE = "to-transcribe"
    TRANSCRIBING = "transcribing"
    PROOFREADING = "proofreading"
    SIGNED = "signed"
    CLAIMED = "claimed"
    REJECTED = "rejected"
    PAID = "paid"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Look:
    """How a status is shown: label, tone (neutral, info, busy, warn, good, bad), and one line of help."""

    label: str
    tone: str
    help: str
    report_status: str  # FHIR R4 DiagnosticReport.status


S = Status
LOOKS: dict[Status, Look] = {
    S.BOOKED: Look("Booked", "neutral", "An appointment; the patient is not here yet.", "registered"),
    S.WAITING: Look("Waiting", "warn", "The patient is here and waits for the scan.", "registered"),
    S.SCANNED: Look("Scanned", "info", "The images are in; the study waits for a radiologist.", "registered"),
    S.REPORTING: Look("Reporting", "busy", "A radiologist is writing the report.", "partial"),
    S.TO_TRANSCRIBE: Look("To transcribe", "info", "The draft waits for a transcriptionist.", "partial"),
    S.TRANSCRIBING: Look("Transcribing", "busy", "A transcriptionist is correcting the draft.", "partial"),
    S.PROOFREADING: Look(
        "To sign", "warn", "Corrected; the radiologist proof-reads and signs.", "preliminary"
    ),
    S.SIGNED: Look("Signed", "good", "The report is final; billing can code it.", "final"),
    S.CLAIMED: Look("Claimed", "busy", "The claim is with the scheme.", "final"),
    S.REJECTED: Look("Claim rejected", "bad", "The scheme said no; billing must correct it.", "final"),
    S.PAID: Look("Paid", "good", "The claim is settled.", "final"),
    S.CANCELLED: Look("Cancelled", "neutral", "The examination was called off.", "cancelled"),
}

UNREAD = (S.SCANNED, S.REPORTING, S.TO_TRANSCRIBE, S.TRANSCRIBING, S.PROOFREADING)
FINAL = (S.SIGNED, S.CLAIMED, S.REJECTED, S.PAID)


@dataclass(frozen=True)
class Step:
    """One move: from any status of `before` to `after`, by whoever holds `may`, when every need is met.

    needs: names of the checks in core.workflow.NEEDS. starts: kinds of errand the move leaves behind.
    """

    label: str
    before: frozenset[Status]
    after: Status
    may: Permission
    needs: tuple[str, ...] = ()
    starts: tuple[str, ...] = field(default=())


def _from(*statuses: Status) -> frozenset[Status]:
    return frozenset(statuses)


STEPS: dict[str, Step] = {
    "arrive": Step("Patient is here", _from(S.BOOKED), S.WAITING, Permission.ORDER_ARRIVE, ("consent_recorded",)),
    "cancel": Step("Cancel", _from(S.BOOKED, S.WAITING), S.CANCELLED, Permission.ORDER_CANCEL),
    "receive": Step("Images are in", _from(S.BOOKED, S.WAITING), S.SCANNED, Permission.IMAGES_RECEIVE),
    "begin": Step("Start the report", _from(S.SCANNED), S.REPORTING, Permission.REPORT_WRITE, ("images_present",)),
    "pass_on": Step(
        "Pass to transcription", _from(S.REPORTING), S.TO_TRANSCRIBE, Permission.REPORT_WRITE, ("text_present",)
    ),
    "skip": Step(
        "Proof-read it myself", _from(S.REPORTING), S.PROOFREADING, Permission.REPORT_WRITE, ("text_present",)
    ),
    "take": Step("Take", _from(S.TO_TRANSCRIBE), S.TRANSCRIBING, Permission.TRANSCRIBE),
    "put_back": Step("Put back", _from(S.TRANSCRIBING), S.TO_TRANSCRIBE, Permission.TRANSCRIBE, ("lease_held",)),
    "pass_back": Step(
        "Pass to the radiologist", _from(S.TRANSCRIBING), S.PROOFREADING, Permission.TRANSCRIBE,
        ("lease_held", "text_present"),
    ),
    "return": Step("Send back to transcription", _from(S.PROOFREADING), S.TO_TRANSCRIBE, Permission.REPORT_WRITE),
    "sign": Step(
        "Sign", _from(S.PROOFREADING), S.SIGNED, Permission.REPORT_SIGN,
        ("own_report", "text_present", "conclusion_present", "images_present", "proof_read"), ("attach_report",),
    ),
    "claim": Step("Submit the claim", _from(S.SIGNED, S.REJECTED), S.CLAIMED, Permission.CLAIM_SUBMIT),
    "refuse": Step("Scheme refused", _from(S.CLAIMED), S.REJECTED, Permission.CLAIM_TRANSMIT),
    "settle": Step("Settled", _from(S.CLAIMED), S.PAID, Permission.REMITTANCE_POST),
    "take_back": Step("Scheme took money back", _from(S.PAID), S.CLAIMED, Permission.REMITTANCE_POST),
}  # fmt: skip


def offers(status: Status, may: frozenset[Permission]) -> dict[str, Step]:
    """The steps that lead out of this status and that this person may take, in the table's order."""
    return {name: step for name, step in STEPS.items() if status in step.before and step.may in may}


def diagram() -> str:
    """The table as a Mermaid state diagram, for docs/."""
    lines = ["stateDiagram-v2", "    [*] --> booked"]
    for name, step in STEPS.items():
        for before in sorted(step.before, key=list(Status).index):
            lines.append(f"    {_node(before)} --> {_node(step.after)}: {name}")
    ends = [s for s in Status if not any(s in step.before for step in STEPS.values())]
    lines += [f"    {_node(s)} --> [*]" for s in ends]
    return "\n".join(lines) + "\n"


def _node(status: Status) -> str:
    return status.value.replace("-", "_")
