"""Who may do what: permissions are words, roles are rows."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """One word per thing a person can be allowed to do. Each verb names exactly one at its gate."""

    SIGN_IN = "sign-in"
    ACCOUNT_SELF = "account-self"
    STAFF_SELF = "staff-self"
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
    OWN_STUDIES = "own-studies"
    PEOPLE_SEE = "people-see"
    PEOPLE_MANAGE = "people-manage"
    PEOPLE_FOUND = "people-found"
    CHANGE_SEE = "change-see"
    CHANGE_APPROVE = "change-approve"
    CHANGE_APPLY = "change-apply"
    ALERT_SEE = "alert-see"
    AUDIT_READ = "audit-read"
    INSIGHT_SEE = "insight-see"
    ANALYSE = "analyse"
    SYSTEM_SEE = "system-see"
    SYSTEM_MANAGE = "system-manage"
    ERRANDS_RUN = "errands-run"
    GLASS_BREAK = "glass-break"
    GLASS_REVIEW = "glass-review"
    ACCESS_SEE = "access-see"


class Role(StrEnum):
    """The practice's roles, the two of outside (by a link or an account), and the two that are no person."""

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


class Scope(StrEnum):
    """Whose rows somebody may see, widest first."""

    ALL = "all"
    SITE = "site"
    ASSIGNED = "assigned"
    REFERRER = "referrer"
    OWN = "own"
    LINK = "link"
    NONE = "none"


SCOPE_WORDS: dict[Scope, str] = {
    Scope.ALL: "every patient",
    Scope.SITE: "patients registered or examined at their sites, and the studies of their sites",
    Scope.ASSIGNED: "studies that are theirs to report, in their hands, or that they moved along; and those patients",
    Scope.REFERRER: "signed studies that this doctor referred, and those patients",
    Scope.OWN: "the patient's own file and signed studies",
    Scope.LINK: "the one study of the link",
    Scope.NONE: "no patient",
}


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

P = Permission
_DESK = frozenset({P.ACCOUNT_SELF, P.STAFF_SELF, P.BOARD_SEE, P.PATIENT_FIND, P.PATIENT_READ, P.STUDY_READ})
# The first by a link, the others by an account (BY_ACCOUNT).
_OUTSIDE = frozenset({P.SHARED_VIEW, P.OWN_STUDIES, P.ACCOUNT_SELF})

ROLES: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: _DESK
    | {
        P.PEOPLE_SEE, P.PEOPLE_MANAGE, P.CHANGE_SEE, P.CHANGE_APPROVE, P.ALERT_SEE, P.AUDIT_READ, P.SYSTEM_SEE, P.SYSTEM_MANAGE, P.TABLES_SEE,
        P.TABLES_IMPORT, P.SHARE_SEE, P.SHARE_REVOKE, P.QUARANTINE_SEE, P.INSIGHT_SEE, P.GLASS_REVIEW, P.ACCESS_SEE,
    },
    Role.MANAGER: _DESK
    | {
        P.INSIGHT_SEE, P.ANALYSE, P.PEOPLE_SEE, P.CHANGE_SEE, P.ALERT_SEE, P.AUDIT_READ, P.SYSTEM_SEE, P.BILLING_SEE, P.TABLES_SEE,
        P.READING_LIST_SEE, P.TRANSCRIPTION_SEE, P.QUARANTINE_SEE, P.SHARE_SEE, P.SHARE_REVOKE, P.REPORT_READ,
        P.GLASS_REVIEW, P.ACCESS_SEE,
    },
    Role.RECEPTION: _DESK
    | {
        P.PATIENT_WRITE, P.ORDER_BOOK, P.ORDER_ARRIVE, P.ORDER_CANCEL, P.SHARE_SEE, P.SHARE_MINT, P.SHARE_REVOKE,
        P.GLASS_BREAK,
    },
    Role.RADIOGRAPHER: _DESK
    | {
        P.PATIENT_WRITE, P.ORDER_BOOK, P.ORDER_ARRIVE, P.ORDER_CANCEL, P.IMAGES_VIEW, P.IMAGES_SEND, P.QUARANTINE_SEE,
        P.QUARANTINE_RESOLVE, P.GLASS_BREAK,
    },
    Role.RADIOLOGIST: _DESK
    | {
        P.READING_LIST_SEE, P.IMAGES_VIEW, P.REPORT_READ, P.REPORT_WRITE, P.REPORT_SIGN, P.QUARANTINE_SEE,
        P.QUARANTINE_RESOLVE, P.SHARE_SEE, P.SHARE_MINT, P.SHARE_REVOKE, P.GLASS_BREAK,
    },
    Role.TRANSCRIPTIONIST: frozenset({P.ACCOUNT_SELF, P.STAFF_SELF, P.TRANSCRIPTION_SEE, P.TRANSCRIBE, P.REPORT_READ}),
    Role.BILLING: _DESK
    | {
        P.BILLING_SEE, P.BILLING_CODE, P.CLAIM_SUBMIT, P.REMITTANCE_POST, P.TABLES_SEE, P.TABLES_IMPORT,
        P.REPORT_READ,
    },
    Role.ANALYST: frozenset({P.ACCOUNT_SELF, P.STAFF_SELF, P.INSIGHT_SEE, P.ANALYSE}),
    Role.PATIENT: _OUTSIDE,
    Role.REFERRER: _OUTSIDE,
    Role.SYSTEM: frozenset(
        {P.IMAGES_RECEIVE, P.IMAGES_SEND, P.REPORT_ATTACH, P.CLAIM_TRANSMIT, P.ERRANDS_RUN, P.SYSTEM_SEE, P.SYSTEM_MANAGE,
         P.PEOPLE_FOUND, P.CHANGE_APPLY}
    ),
    Role.NOBODY: frozenset({P.SIGN_IN, P.SHARE_OPEN}),
}  # fmt: skip


# Whose rows a role sees where nothing else is said (docs/decisions/082). A person's own setting may overrule it.
SCOPES: dict[Role, Scope] = {
    Role.ADMIN: Scope.ALL,
    Role.MANAGER: Scope.ALL,
    Role.RECEPTION: Scope.SITE,
    Role.RADIOGRAPHER: Scope.SITE,
    Role.RADIOLOGIST: Scope.SITE,
    Role.TRANSCRIPTIONIST: Scope.SITE,
    Role.BILLING: Scope.SITE,
    Role.ANALYST: Scope.NONE,
    Role.PATIENT: Scope.OWN,  # with a link: LINK
    Role.REFERRER: Scope.REFERRER,  # with a link: LINK
    Role.SYSTEM: Scope.ALL,
    Role.NOBODY: Scope.NONE,
}
# Questions that need whole tables: they count, work on pseudonyms, come before anybody signed in, or oversee.
# A block must never hide the trail, nor who has which access, from those who oversee it.
UNNAMED = frozenset(
    {
        P.SIGN_IN, P.SHARE_OPEN, P.INSIGHT_SEE, P.ANALYSE, P.AUDIT_READ, P.GLASS_BREAK, P.GLASS_REVIEW, P.ACCESS_SEE,
    }
)  # fmt: skip
# Links and accounts share their roles; a link is nobody's account, and has nothing of one to look after.
BY_ACCOUNT = frozenset({P.ACCOUNT_SELF})
# What a session that began while the directory was away may not do: nobody could say whether the person still may.
NOT_WHILE_AWAY = frozenset(
    {P.PEOPLE_MANAGE, P.CHANGE_APPROVE, P.TABLES_IMPORT, P.ANALYSE, P.SYSTEM_MANAGE, P.GLASS_REVIEW}
)


# What is left of a role, where admins need keys, in a session that no key has opened (docs/decisions/089).
WITHOUT_KEY: dict[Role, frozenset[Permission]] = {Role.ADMIN: frozenset({P.ACCOUNT_SELF, P.STAFF_SELF})}


def granted(role: Role, *, keyless: bool = False) -> frozenset[Permission]:
    """What the role carries; keyless: in a session that lacks the key its owner needs."""
    return WITHOUT_KEY.get(role, ROLES[role]) if keyless else ROLES[role]


def allowed(roles: frozenset[Role], permission: Permission, *, keyless: bool = False) -> bool:
    """True when any of the roles carries the permission."""
    return any(permission in granted(role, keyless=keyless) for role in roles)
