"""Who may do what: permissions are words, roles are rows."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """One word per thing a person can be allowed to do. Each verb names exactly one at its gate."""

    SIGN_IN = "sign-in"
    ACCOUNT_SELF = "account-self"
    BOARD_SEE = "board-see"
    PATIENT_FIND = "patient-find"
    PATIENT_READ = "patient-read"
    PATIENT_WRITE = "patient-write"
    ORDER_BOOK = "order-book"
    ORDER_ARRIVE = "order-arrive"
    ORDER_CANCEL = "order-cancel"
    STUDY_READ = "study-read"
    IMAGES_VIEW = "images-view"
    IMAGES_RECEIVE = "images-receive"
    IMAGES_SEND = "images-send"
    QUARANTINE_SEE = "quarantine-see"
    QUARANTINE_RESOLVE = "quarantine-resolve"
    READING_LIST_SEE = "reading-list-see"
    REPORT_READ = "report-read"
    REPORT_WRITE = "report-write"
    REPORT_SIGN = "report-sign"
    REPORT_ATTACH = "report-attach"
    TRANSCRIPTION_SEE = "transcription-see"
    TRANSCRIBE = "transcribe"
    BILLING_SEE = "billing-see"
    BILLING_CODE = "billing-code"
    CLAIM_SUBMIT = "claim-submit"
    CLAIM_TRANSMIT = "claim-transmit"
    REMITTANCE_POST = "remittance-post"
    TABLES_SEE = "tables-see"
    TABLES_IMPORT = "tables-import"
    SHARE_SEE = "share-see"
    SHARE_MINT = "share-mint"
    SHARE_REVOKE = "share-revoke"
    SHARE_OPEN = "share-open"
    SHARED_VIEW = "shared-view"
    PEOPLE_SEE = "people-see"
    PEOPLE_MANAGE = "people-manage"
    AUDIT_READ = "audit-read"
    INSIGHT_SEE = "insight-see"
    ANALYSE = "analyse"
    SYSTEM_SEE = "system-see"
    SYSTEM_MANAGE = "system-manage"
    ERRANDS_RUN = "errands-run"


class Role(StrEnum):
    """The practice's roles, the two kinds of link holder, and the two that are no person."""

    ADMIN = "admin"
    MANAGER = "manager"
    RECEPTION = "reception"
    RADIOGRAPHER = "radiographer"
    RADIOLOGIST = "radiologist"
    TRANSCRIPTIONIST = "transcriptionist"
    BILLING = "billing"
    ANALYST = "analyst"
    PATIENT = "patient"
    REFERRER = "referrer"
    SYSTEM = "system"  # the worker: images in, errands out
    NOBODY = "nobody"  # a request before anyone has signed in


STAFF = (
    Role.ADMIN,
    Role.MANAGER,
    Role.RECEPTION,
    Role.RADIOGRAPHER,
    Role.RADIOLOGIST,
    Role.TRANSCRIPTIONIST,
    Role.BILLING,
    Role.ANALYST,
)
LINK_HOLDERS = (Role.PATIENT, Role.REFERRER)

P = Permission
_DESK = frozenset({P.ACCOUNT_SELF, P.BOARD_SEE, P.PATIENT_FIND, P.PATIENT_READ, P.STUDY_READ})

ROLES: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: _DESK
    | {
        P.PEOPLE_SEE, P.PEOPLE_MANAGE, P.AUDIT_READ, P.SYSTEM_SEE, P.SYSTEM_MANAGE, P.TABLES_SEE,
        P.TABLES_IMPORT, P.SHARE_SEE, P.SHARE_REVOKE, P.QUARANTINE_SEE, P.INSIGHT_SEE,
    },
    Role.MANAGER: _DESK
    | {
        P.INSIGHT_SEE, P.ANALYSE, P.PEOPLE_SEE, P.AUDIT_READ, P.SYSTEM_SEE, P.BILLING_SEE, P.TABLES_SEE,
        P.READING_LIST_SEE, P.TRANSCRIPTION_SEE, P.QUARANTINE_SEE, P.SHARE_SEE, P.SHARE_REVOKE, P.REPORT_READ,
    },
    Role.RECEPTION: _DESK
    | {
        P.PATIENT_WRITE, P.ORDER_BOOK, P.ORDER_ARRIVE, P.ORDER_CANCEL, P.SHARE_SEE, P.SHARE_MINT, P.SHARE_REVOKE,
    },
    Role.RADIOGRAPHER: _DESK
    | {
        P.PATIENT_WRITE, P.ORDER_BOOK, P.ORDER_ARRIVE, P.ORDER_CANCEL, P.IMAGES_VIEW, P.IMAGES_SEND, P.QUARANTINE_SEE,
        P.QUARANTINE_RESOLVE,
    },
    Role.RADIOLOGIST: _DESK
    | {
        P.READING_LIST_SEE, P.IMAGES_VIEW, P.REPORT_READ, P.REPORT_WRITE, P.REPORT_SIGN, P.QUARANTINE_SEE,
        P.QUARANTINE_RESOLVE, P.SHARE_SEE, P.SHARE_MINT, P.SHARE_REVOKE,
    },
    Role.TRANSCRIPTIONIST: frozenset({P.ACCOUNT_SELF, P.TRANSCRIPTION_SEE, P.TRANSCRIBE, P.REPORT_READ}),
    Role.BILLING: _DESK
    | {
        P.BILLING_SEE, P.BILLING_CODE, P.CLAIM_SUBMIT, P.REMITTANCE_POST, P.TABLES_SEE, P.TABLES_IMPORT,
        P.REPORT_READ,
    },
    Role.ANALYST: frozenset({P.ACCOUNT_SELF, P.INSIGHT_SEE, P.ANALYSE}),
    Role.PATIENT: frozenset({P.SHARED_VIEW}),
    Role.REFERRER: frozenset({P.SHARED_VIEW}),
    Role.SYSTEM: frozenset(
        {P.IMAGES_RECEIVE, P.IMAGES_SEND, P.REPORT_ATTACH, P.CLAIM_TRANSMIT, P.ERRANDS_RUN, P.SYSTEM_SEE, P.SYSTEM_MANAGE}
    ),
    Role.NOBODY: frozenset({P.SIGN_IN, P.SHARE_OPEN}),
}  # fmt: skip


def allowed(roles: frozenset[Role], permission: Permission) -> bool:
    """True when any of the roles carries the permission."""
    return any(permission in ROLES[role] for role in roles)
