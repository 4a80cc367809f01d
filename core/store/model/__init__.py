"""The tables, one file a subject. Importing this package knows them all."""

from core.store.model.access import GlassBreak, PatientBlock, PatientGrant
from core.store.model.arrivals import Arrival, FeedCursor, Heartbeat, Instance
from core.store.model.base import Base, Owned
from core.store.model.billing import (
    Claim,
    ClaimEvent,
    ClaimLine,
    CodeTable,
    Icd10Row,
    Posting,
    Remittance,
    RemittanceLine,
    SwitchPosition,
    TariffRow,
)
from core.store.model.patients import Consent, Patient, Referrer
from core.store.model.people import (
    Activation,
    Alert,
    Challenge,
    ChangeRequest,
    GroupRole,
    Person,
    RecoveryCode,
    SecurityKey,
    SignInSession,
    StepUp,
    Throttle,
)
from core.store.model.practice import Counter, Practice
from core.store.model.record import AuditEntry, Document, Errand
from core.store.model.sharing import Share, ShareInstance
from core.store.model.studies import ReportVersion, Study, StudyEvent

__all__ = [
    "Activation", "Alert", "Arrival", "AuditEntry", "Base", "Challenge", "ChangeRequest", "Claim", "ClaimEvent", "ClaimLine", "CodeTable", "Consent",
    "Counter", "Document", "Errand", "FeedCursor", "GlassBreak", "GroupRole", "Heartbeat", "Icd10Row", "Instance", "Owned",
    "Patient", "PatientBlock", "PatientGrant", "Person", "Posting", "Practice", "Referrer", "Remittance", "RemittanceLine",
    "RecoveryCode", "ReportVersion", "SecurityKey", "Share", "ShareInstance", "SignInSession", "Study", "StepUp", "StudyEvent", "SwitchPosition",
    "TariffRow", "Throttle",
]  # fmt: skip
