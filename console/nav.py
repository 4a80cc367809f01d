"""The pages as a table: which permission opens a page, where it stands in the menu, and where each role begins."""

from __future__ import annotations

from dataclasses import dataclass

from core.rules.roles import Permission as P
from core.rules.roles import Role, allowed


@dataclass(frozen=True)
class PageRow:
    """One page. `needs` opens it; a page with `in_menu` False is reached from another one that says what about."""

    key: str
    title: str
    icon: str
    group: str
    needs: P
    in_menu: bool = True

    @property
    def module(self) -> str:
        return f"console.pages.{self.key}"


PAGES = (
    PageRow("board", "Board", "view_list", "Front desk", P.BOARD_SEE),
    PageRow("patients", "Patients", "groups", "Front desk", P.PATIENT_FIND),
    PageRow("bookings", "Bookings", "calendar_month", "Front desk", P.ORDER_BOOK),
    PageRow("shares", "Patient links", "link", "Front desk", P.SHARE_SEE),
    PageRow("break_glass", "Break the glass", "emergency", "Front desk", P.GLASS_BREAK),
    PageRow("quarantine", "Quarantine", "rule", "Imaging", P.QUARANTINE_SEE),
    PageRow("study", "Study", "radiology", "Imaging", P.STUDY_READ, in_menu=False),
    PageRow("reading_list", "Reading list", "checklist", "Reporting", P.READING_LIST_SEE),
    PageRow("transcription", "Transcription", "keyboard", "Reporting", P.TRANSCRIPTION_SEE),
    PageRow("sign_off", "Sign off", "draw", "Reporting", P.REPORT_SIGN),
    PageRow("insight", "Insight", "insights", "Practice", P.INSIGHT_SEE),
    PageRow("billing_queue", "Billing queue", "receipt_long", "Billing", P.BILLING_SEE),
    PageRow("claim", "Claim", "request_quote", "Billing", P.BILLING_SEE, in_menu=False),
    PageRow("claims", "Claims", "outbox", "Billing", P.BILLING_SEE),
    PageRow("remittances", "Remittances", "payments", "Billing", P.BILLING_SEE),
    PageRow("code_tables", "Codes and prices", "menu_book", "Billing", P.TABLES_SEE),
    PageRow("people", "People", "badge", "Practice", P.PEOPLE_SEE),
    PageRow("requests", "Requests", "rule_settings", "Practice", P.CHANGE_SEE),
    PageRow("staff_import", "Import people", "upload_file", "Practice", P.PEOPLE_MANAGE, in_menu=False),
    PageRow("groups", "Groups and roles", "groups_3", "Practice", P.CHANGE_SEE),
    PageRow("patient_access", "Who may see a patient", "lock_person", "Practice", P.ACCESS_SEE),
    PageRow("glass_review", "Broken glass", "emergency_home", "Practice", P.GLASS_REVIEW),
    PageRow("audit", "Audit trail", "policy", "Practice", P.AUDIT_READ),
    PageRow("system_health", "System health", "monitor_heart", "Practice", P.SYSTEM_SEE),
    PageRow("my_account", "My account", "account_circle", "Practice", P.STAFF_SELF),
)

GROUPS = ("Front desk", "Imaging", "Reporting", "Billing", "Practice")
HOME = {
    Role.RADIOLOGIST: "reading_list",
    Role.TRANSCRIPTIONIST: "transcription",
    Role.BILLING: "billing_queue",
    Role.ANALYST: "insight",
}


def pages_for(roles: frozenset[Role], *, keyless: bool = False) -> tuple[PageRow, ...]:
    """The pages that these roles may open, in the table's order; keyless: in a session that lacks the key they need."""
    return tuple(page for page in PAGES if allowed(roles, page.needs, keyless=keyless))


def home_for(roles: frozenset[Role], *, keyless: bool = False) -> str:
    """Where these people begin their day."""
    mine = [page.key for page in pages_for(roles, keyless=keyless)]
    wished = [HOME[role] for role in Role if role in roles and role in HOME]
    return next((key for key in wished if key in mine), mine[0])
