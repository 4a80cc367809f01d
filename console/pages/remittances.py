"""Remittances: payments of the schemes, line by line, posted by a person; money nobody claimed; the accounts."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from console import bills, desk, widgets
from core import ledger, remittances
from core.ledger import ACCOUNTS
from core.remittances import PaymentsFile, RemittanceCard, RemittanceLineCard, Suspended
from core.rules.roles import Permission

_SPANS = {"Every payment": False, "Waiting to be posted": True}


def render() -> None:
    bills.style()
    if remittance_id := desk.about("remittance"):
        _one(remittance_id)
        return
    widgets.title("Remittances", "What the schemes paid. A payment moves money only when somebody posts it.")
    balances = desk.ask(ledger.balances)
    with st.container(border=True):
        bills.sums(
            {
                label: widgets.money(
                    -balances[key] if key in ("income", "suspense", "surplus") else balances[key]
                )
                for key, label in ACCOUNTS.items()
            }
        )
    _suspense()
    _surpluses()
    if desk.may(Permission.REMITTANCE_POST):
        _import()
    _list()


def _list() -> None:
    span = st.segmented_control(
        "Which",
        list(_SPANS),
        default="Every payment",
        required=True,
        key="remittances-span",
        label_visibility="collapsed",
    )
    open_only = _SPANS[span or "Every payment"]
    at = widgets.page_number("remittances", narrowed=open_only)
    rows, total = desk.ask(remittances.remittances, open_only=open_only, page=at, size=widgets.PER_PAGE)
    if not rows:
        widgets.empty(
            "Nothing waits" if open_only else "No payment has come yet",
            "Payments come from the switch by themselves, or from a file that you import.",
        )
        return
    chosen = widgets.pick(
        "remittances",
        [_cells(r) for r in rows],
        [r.id for r in rows],
        columns={
            "Posted": st.column_config.TextColumn(),
            "Paid on": st.column_config.DateColumn(format="DD/MM/YYYY"),
        },
    )
    widgets.pager("remittances", total, what="payments")
    st.caption("Choose a row to see its lines and post it.")
    if chosen:
        widgets.unpick("remittances")
        desk.go("remittances", remittance=chosen)


def _cells(row: RemittanceCard) -> dict[str, object]:
    posted = f"✓ {widgets.when(row.posted_at)}" if row.posted_at else "▲ waits"
    return {
        "Posted": posted,
        "Paid on": row.paid_on,
        "Payer": row.payer,
        "Number": row.number,
        "Total": widgets.money(row.total_cents),
        "Received": widgets.when(row.received_at),
    }


# One payment ----------------------------------------------------------------------------------------------------


def _one(remittance_id: UUID) -> None:
    card = desk.ask(remittances.open_remittance, remittance_id)
    widgets.title(f"Payment {card.number}", f"{card.payer}, paid on {widgets.day(card.paid_on)}.")
    if st.button("Back to the list", icon=":material/arrow_back:", type="tertiary"):
        desk.go("remittances")
    left, right = st.columns([3, 1], gap="large", vertical_alignment="center")
    with left:
        bills.sums(_totals(card))
    with right:
        _post_button(card)
    if card.problem:
        bills.note("✕ This payment cannot be posted", card.problem, "stop")
    unknown = [line for line in card.lines if line.claim_study is None]
    if unknown:
        bills.note(
            f"▲ {len(unknown)} of {len(card.lines)} lines name a claim that is not ours",
            "Their money goes to suspense when the payment is posted, and stays there until you find its claim.",
            "warn",
        )
    chosen = widgets.pick(
        "remittance-lines",
        [_line_cells(x) for x in card.lines],
        [x.id for x in card.lines],
        columns={"Why": st.column_config.TextColumn(width="medium")},
    )
    st.caption(
        "Choose a line to open its claim. Submitted = paid + rate difference + levy + co-payment + rejected."
    )
    study = next((x.claim_study for x in card.lines if x.id == chosen), None)
    if study:
        widgets.unpick("remittance-lines")
        desk.go("claim", study=study)


def _post_button(card: RemittanceCard) -> None:
    if card.posted_at:
        widgets.show_chip(f"Posted {widgets.when(card.posted_at)}", "good")
    elif (
        desk.may(Permission.REMITTANCE_POST)
        and st.button(
            f"Post {widgets.money(card.total_cents)}",
            type="primary",
            width="stretch",
            disabled=bool(card.problem),
            shortcut="Ctrl+Enter",
        )
        and desk.do(remittances.post, card.id)
    ):
        desk.again(f"Posted to the cent: {widgets.money(card.total_cents)}.")


def _totals(card: RemittanceCard) -> dict[str, str]:
    def add(name: str) -> str:
        return widgets.money(sum(getattr(line, name) for line in card.lines))

    return {
        "Submitted": add("submitted_cents"),
        "Rate difference": add("rate_difference_cents"),
        "Levy": add("levy_cents"),
        "Co-payment": add("co_payment_cents"),
        "Rejected": add("rejected_cents"),
        "Paid": widgets.money(card.total_cents),
    }


def _line_cells(x: RemittanceLineCard) -> dict[str, object]:
    claim = x.claim_number if x.claim_study else f"▲ {x.claim_number}: unknown"
    return {
        "Claim": claim,
        "Line": x.line_number,
        "Status": x.status,
        "Submitted": widgets.money(x.submitted_cents),
        "Rate difference": widgets.money(x.rate_difference_cents),
        "Levy": widgets.money(x.levy_cents),
        "Co-payment": widgets.money(x.co_payment_cents),
        "Rejected": widgets.money(x.rejected_cents),
        "Paid": widgets.money(x.paid_cents) + (" ✕ taken back" if x.paid_cents < 0 else ""),
        "Why": "; ".join(r.text or r.code for r in x.reasons),
    }


# Suspense -------------------------------------------------------------------------------------------------------


def _suspense() -> None:
    rows, total = desk.ask(remittances.suspense)
    if not rows:
        return
    many = "1 line" if total == 1 else f"{total} lines"
    with st.expander(f"▲ {many} of money nobody claimed yet", expanded=total <= 3):
        for row in rows:
            _suspended(row)


def _suspended(row: Suspended) -> None:
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    with left:
        widgets.facts(
            {
                "Payer": f"{row.payer}, {row.number}, {widgets.day(row.paid_on)}",
                "Names claim": row.line.claim_number,
                "Paid": widgets.money(row.line.paid_cents),
            }
        )
    if not desk.may(Permission.REMITTANCE_POST):
        return
    with right.form(f"assign-{row.line.id}", border=False):
        a, b = st.columns([3, 2], vertical_alignment="bottom")
        number = a.text_input(
            "It belongs to claim", max_chars=20, placeholder="Claim number", key=f"claim-{row.line.id}"
        )
        if b.form_submit_button("Move it there", width="stretch") and (
            done := desk.do(remittances.assign, row.line.id, claim_number=number)
        ):
            desk.again(f"The money is with claim {done.value}.")


def _surpluses() -> None:
    rows = desk.ask(remittances.surpluses)
    if not rows:
        return
    many = "1 claim" if len(rows) == 1 else f"{len(rows)} claims"
    with st.expander(f"▲ {many} paid beyond what the scheme owed", expanded=len(rows) <= 3):
        st.caption("The scheme may take it back in its next payment; ask the payer if it does not.")
        chosen = widgets.pick(
            "surpluses",
            [{"Claim": r.claim_number, "Paid too much": widgets.money(r.cents)} for r in rows],
            [r.study_id for r in rows],
        )
        if chosen:
            widgets.unpick("surpluses")
            desk.go("claim", study=chosen)


# Import ---------------------------------------------------------------------------------------------------------


def _import() -> None:
    with st.expander("Import payments from a file", icon=":material/upload_file:"):
        st.caption("Our CSV, as docs/billing.md describes. You see first what the file would do.")
        file = st.file_uploader(
            "Payments file", type=["csv"], key="remittance-file", label_visibility="collapsed"
        )
        if file is None:
            return
        content = file.getvalue()
        found: PaymentsFile = desk.ask(remittances.preview_remittances, content=content)
        bills.sums(
            {
                "New payments": str(len(found.new)),
                "Known already": str(len(found.known)),
                "Refused rows": str(len(found.refused)),
            }
        )
        if found.new:
            widgets.table(
                [
                    {"Payer": payer, "Number": number, "Total": widgets.money(cents), "Lines": lines}
                    for payer, number, cents, lines in found.new
                ]
            )
        if found.refused:
            st.caption("Refused, with the line of the file. A payment with one bad row is refused whole.")
            widgets.table(
                [{"Line": line, "Why": why} for line, why in found.refused],
                columns={"Why": st.column_config.TextColumn(width="large")},
            )
        if not found.new:
            st.info("Nothing in this file is new.", icon=":material/info:")
        elif st.button(f"Import {len(found.new)} payments", type="primary", key="remittance-import") and (
            done := desk.do(remittances.import_remittances, content=content)
        ):
            desk.again(f"{done.value[0]} payments are imported and wait to be posted.")
