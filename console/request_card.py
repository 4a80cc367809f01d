"""One request on its page: what it changes, approving or refusing it, and the step that comes after."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import streamlit as st

from console import accounts, banners, desk, widgets
from core import changes, factors, people, staff_import
from core.change_cards import Line, RequestCard
from core.rules import sheets
from core.rules.roles import Permission, Role

_MOST_LINES = 200
_MOST_NAMED = 10
_MOST_PEOPLE, _PEOPLE_PX = 50, 365
_COLUMNS = ("Login", "What", "Now", "Then")


def title_of(card: RequestCard) -> str:
    """What it is and about whom, in one line."""
    return f"{card.label}: {card.about}" if card.about else card.label


def draw(request_id: UUID) -> None:
    """The request's own page: what it changes, how it stands, and what its reader can do about it."""
    card = desk.ask_if(changes.request, request_id)
    if card is None:
        widgets.title("Requests")
        widgets.empty("This request is not there", "The address may be cut short.")
        _back()
        return
    widgets.title(
        title_of(card), f"Asked by {'you' if card.is_mine else card.asked_by}, {widgets.when(card.asked_at)}."
    )
    _back()
    shown = accounts.show_slips(card.id)
    accounts.chips([accounts.STATES[card.state]])
    left, right = st.columns([3, 2], gap="large")
    with left:
        _what(card)
    with right:
        _state(card)
        if card.state == "waiting":
            _decide(card)
        elif card.state == "delayed":
            _stop(card)
        elif card.state == "done" and accounts.may_manage():
            _next(card, shown=shown)


def _back() -> None:
    if st.button("All requests", icon=":material/arrow_back:", type="tertiary"):
        desk.go("requests")


def _what(card: RequestCard) -> None:
    if card.why:
        st.write(f"Why: **{desk.plain(card.why)}**")
    if card.kind == "import":
        _rows(card)
    elif card.lines:
        accounts.before_after(card.lines)
    else:
        st.caption("Nothing is changed beyond what its name says.")
    if card.kind == "own-record" and card.state == "waiting":
        st.caption(
            "Once approved, the record named under Then is shut to them, and one named under Now is open to them like any other."
        )
    if card.kind == "new-login" and card.state == "waiting":
        st.caption("Once approved, they are signed out and come in under the new name only. Do they know it?")
    beside = card.person_id if card.state != "done" and desk.has_page("people") else None
    if beside and st.button("Open the person", icon=":material/person:", type="tertiary"):
        desk.go("people", person=beside)


def _rows(card: RequestCard) -> None:
    new = {line.of for line in card.lines if line.what == "account"}
    changed = {line.of for line in card.lines} - new
    st.write(f"**{len(new)}** new and **{len(changed)}** changed accounts, all of them or none.")
    _roles_given(card)
    _people_of(card)
    with st.expander("Every field that changes", icon=":material/list:"):
        widgets.table([dict(zip(_COLUMNS, _cells(line), strict=True)) for line in card.lines[:_MOST_LINES]])
        if len(card.lines) > _MOST_LINES:
            st.caption(f"The first {_MOST_LINES} of {len(card.lines)}. The file has them all.")
    st.download_button(
        "The whole list as a file",
        lambda: sheets.write_csv(_COLUMNS, [_cells(line) for line in card.lines]),
        file_name="import-request.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _people_of(card: RequestCard) -> None:
    """Who is new and whose roles change, by name; who becomes an admin stands first."""
    found = sorted(card.sheet, key=lambda p: Role.ADMIN not in p.after or Role.ADMIN in p.before)
    if not found:
        return
    rows = [
        {
            "Name": p.name,
            "Login": p.login,
            "What": "New" if p.is_new else "Other roles",
            "Now": ", ".join(p.before) or "–",
            "Then": ", ".join(p.after) or "–",
        }
        for p in found[:_MOST_PEOPLE]
    ]
    widgets.table(rows, height=_PEOPLE_PX if len(rows) * 33 > _PEOPLE_PX else "auto")
    if len(found) > _MOST_PEOPLE:
        st.caption(f"… and {len(found) - _MOST_PEOPLE} more: in the file.")


def _roles_given(card: RequestCard) -> None:
    """Thousands of lines are not read one by one: what they give in all, and every new admin by name of sign-in."""
    gets = {
        line.of: set(line.after.split(", ")) - set(line.before.split(", "))
        for line in card.lines
        if line.what == "roles"
    }
    counts = Counter(role for roles in gets.values() for role in roles if role)
    if counts:
        st.caption(
            "Roles that are given: " + ", ".join(f"{role} {many}" for role, many in counts.most_common())
        )
    if admins := [login for login, roles in gets.items() if Role.ADMIN in roles]:
        more = f" and {len(admins) - _MOST_NAMED} more" if len(admins) > _MOST_NAMED else ""
        st.warning(
            f"New admins among them: {', '.join(map(desk.plain, admins[:_MOST_NAMED]))}{more}.",
            icon=":material/shield_person:",
        )


def _cells(line: Line) -> tuple[str, str, str, str]:
    return line.of, *accounts.said(line)


def _state(card: RequestCard) -> None:
    widgets.facts(
        {
            "Open until": widgets.when(card.ends_at) if card.state == "waiting" else "",
            "Applied": widgets.when(card.due_at) if card.state == "delayed" else "",
            "Decided by": card.decided_by,
            "Decided": widgets.when(card.decided_at) if card.decided_at else "",
            "Remark": card.remark,
        }
    )
    if card.state == "carrying":
        st.info(
            "Approved. The directory is being changed now; look again in a minute. While it is away, this waits for it.",
            icon=":material/sync:",
        )
        if st.button("Look again", icon=":material/refresh:"):
            st.rerun()
    elif card.state == "failed":
        st.error(
            f"The directory did not do it: {desk.plain(card.remark)} Mend that there, then ask anew.",
            icon=":material/error:",
        )


def _decide(card: RequestCard) -> None:
    if card.is_mine and accounts.may_manage():
        st.caption("Changed your mind?")
        if st.button("Take it back", icon=":material/undo:", width="stretch") and desk.do(
            changes.withdraw, card.id
        ):
            banners.forget()
            desk.again("Taken back.")
    if (
        card.why_not
        and card.is_mine
        and accounts.may_manage()
        and not desk.rule("single_admin")
        and accounts.lonely()
    ):
        accounts.explain_alone()
    elif card.why_not:
        st.info(desk.plain(card.why_not), icon=":material/group:")
    if desk.actor().bounds.reduced or not desk.may(Permission.CHANGE_APPROVE):
        return
    if not card.why_not:
        _approve(card)
    if not card.is_mine:
        _refuse(card)


def _approve(card: RequestCard) -> None:
    """With a code, typed here; or with a key, touched on the page for confirming, which leads back here."""
    proved = desk.ask(factors.is_proved, purpose=card.purpose)
    mine = desk.ask(factors.mine)
    needs_key = desk.rule("admins_need_keys")
    takes_code = mine.code and not needs_key
    with st.form(f"approve-{card.id}", border=True):
        st.write(
            "**Approve it**"
            if not card.is_mine
            else "**Approve it yourself**: it is applied after the delay."
        )
        if card.kind in ("reset-factor", "reset-password"):
            st.warning(
                "Be sure that it is them: see them, or call a number you know. Whoever holds the slip comes in.",
                icon=":material/person_alert:",
            )
        code = ""
        if proved:
            st.caption("You have just confirmed that it is you.")
        elif takes_code:
            code = st.text_input(
                "Code from your authenticator",
                key=f"code-{card.id}",
                max_chars=12,
                autocomplete="one-time-code",
                help="Six digits. Each works once.",
            )
        elif needs_key:
            st.caption("In this practice changes are approved with a key.")
        if st.form_submit_button(
            "Approve",
            type="primary",
            icon=":material/check:",
            width="stretch",
            disabled=not (proved or takes_code),
        ):
            done = desk.do(changes.approve, card.id, digest=card.digest, code=code)
            if done:
                banners.forget()
                desk.again(_said(done.value))
    if proved:
        return
    if needs_key and not mine.keys:
        st.info("You have no key yet: add one, then come back.", icon=":material/key:")
        widgets.way("Add a key", "/account/keys/new")
        return
    if not mine.keys:
        return
    label = "Use my key instead" if takes_code else "Confirm with my key"
    widgets.way(label, accounts.stepup_address(card))


def _said(state: str) -> str:
    return {
        "delayed": "Approved. It is applied when the delay is over.",
        "carrying": "Approved. The directory is being changed.",
    }.get(state, "Approved and done.")


def _refuse(card: RequestCard) -> None:
    with st.expander("Refuse it", icon=":material/close:"), st.form(f"refuse-{card.id}", border=False):
        remark = st.text_input("What should they know?", max_chars=300, placeholder="Read by whoever asked")
        if st.form_submit_button("Refuse") and desk.do(changes.refuse, card.id, remark=remark):
            banners.forget()
            desk.again("Refused.")


def _stop(card: RequestCard) -> None:
    st.info(
        f"Approved by the one admin of this practice, and applied {widgets.when(card.due_at)}. Until then any admin can stop it.",
        icon=":material/hourglass:",
    )
    if (
        accounts.may_manage()
        and st.button("Stop it", icon=":material/front_hand:", type="primary", width="stretch")
        and desk.do(changes.withdraw, card.id)
    ):
        banners.forget()
        desk.again("Stopped. Nothing was changed.")


# What comes after -----------------------------------------------------------------------------------------------


def _next(card: RequestCard, *, shown: bool) -> None:
    """The step that an approved request leaves to do: mostly a slip. shown: it stands above, and a new one would void it."""
    if card.kind == "import":
        _slips(card)
        return
    if card.person_id is None:
        return
    person = desk.glance(people.person, card.person_id)
    if person is not None and person.needs_slip and str(person.id) != desk.actor().id and not shown:
        st.success(
            f"Next: a sign-in slip, handed over in person. {accounts.slip_opens(person)}",
            icon=":material/receipt:",
        )
        label = "Make a new slip" if person.slip_until else "Make a sign-in slip"
        if st.button(label, type="primary", width="stretch", icon=":material/receipt:") and (
            done := desk.do(people.make_slip, person.id)
        ):
            accounts.keep_slips([done.value], about=card.id, card=person)
            desk.again()
    if desk.has_page("people") and st.button("Open the person", icon=":material/person:", width="stretch"):
        desk.go("people", person=card.person_id)


def _slips(card: RequestCard) -> None:
    due = desk.ask(staff_import.slips_due, card.id)
    if not due.waiting:
        st.success("Everybody new in this import has signed in.", icon=":material/check_circle:")
        return
    without = due.waiting - due.with_slip
    widgets.facts(
        {"Wait for their first sign-in": str(due.waiting), "With a slip that works": str(due.with_slip)}
    )
    if without:
        many = min(without, staff_import.MOST_SLIPS)
        label = (
            f"Print {many} {'slip' if many == 1 else 'slips'}"
            if many == without
            else f"Print the next {many} slips"
        )
        if st.button(label, type="primary", width="stretch", icon=":material/print:"):
            _make(card, again=False)
    if due.with_slip:
        with st.popover("Print them anew…", width="stretch"):
            st.write("The slips that were handed out are void then.")
            if st.button("Print them anew", type="primary"):
                _make(card, again=True)


def _make(card: RequestCard, *, again: bool) -> None:
    with st.spinner("Making the slips …"):
        done = desk.do(staff_import.make_slips, card.id, again=again)
    if done:
        accounts.keep_slips(done.value, about=card.id)
        desk.again()
