"""Import people: a sheet of staff, tried first, then asked for as one request that is done whole or not at all."""

from __future__ import annotations

import hashlib
from collections import Counter

import streamlit as st

from console import accounts, banners, desk, widgets
from core import staff_import
from core.rules import sheets
from core.rules.people_sheet import PlannedRow, template
from core.staff_import import Plan

_MOST = 200
_MANY = 8
_TALL = 480  # px: below a list of refused rows its end, the file and the next step are still in sight
_KEPT = "staff-import-plan"
_SAID = "Reason or change"
_WORDS = {
    "new": ("good", "New"),
    "changed": ("info", "Changed"),
    "refused": ("bad", "Refused"),
    "unchanged": ("neutral", "Unchanged"),
}
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def render() -> None:
    widgets.title(
        "Import people",
        "A sheet of staff, from Excel or as CSV. It is tried first; nothing changes before another admin agrees.",
    )
    if st.button("Back to people", icon=":material/arrow_back:", type="tertiary"):
        st.session_state.pop(_KEPT, None)
        desk.go("people")
    if not accounts.may_manage():
        widgets.empty(
            "Not in this session",
            "You signed in while the directory was away: sign in anew to manage people.",
        )
        return
    accounts.explain_alone()
    _begin()
    # Streamlit marks a file that it finds too large and says no word: up to its own limit, ours is told in a sentence.
    file = st.file_uploader(
        f"The filled-in sheet: Excel or CSV, at most {sheets.MOST_BYTES // 10**6} MB",
        type=["xlsx", "csv"],
        key="staff-import-file",
        max_upload_size=20,
    )
    if file is None:
        widgets.empty(
            "Fill in the template, a row a person, and give it back here",
            "Every row is shown as new, changed, unchanged or refused, with its reason, before anything is asked for.",
            "Giving the same sheet twice changes nothing. A column that is left out leaves what is known as it is.",
        )
        return
    data = file.getvalue()
    found = _plan(data, file.name)
    if found is not None:
        _result(found, data, file.name)


def _begin() -> None:
    """The template, and who is here already: both can be filled in and given back."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Template for Excel",
            lambda: template("xlsx"),
            file_name="staff-template.xlsx",
            mime=_XLSX,
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Template as CSV",
            lambda: template("csv"),
            file_name="staff-template.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        if st.button(
            "Everybody who is here now…",
            icon=":material/table_view:",
            type="tertiary",
            help="A sheet of all accounts of staff, to change and give back. It goes into the audit trail.",
        ) and (done := desk.do(staff_import.staff_sheet, kind="xlsx")):
            st.download_button(
                "Save it: staff.xlsx",
                done.value,
                file_name="staff.xlsx",
                mime=_XLSX,
                type="primary",
                on_click="ignore",
            )


def _plan(data: bytes, name: str) -> Plan | None:
    """Tried once a file, since a long sheet takes seconds and a page is drawn on every click."""
    key = hashlib.sha256(data).hexdigest()
    kept = st.session_state.get(_KEPT)
    if kept is None or kept[0] != key:
        with st.spinner("Trying the sheet …"):
            done = desk.do(staff_import.plan, data=data, name=name)
        if not done:
            st.session_state.pop(_KEPT, None)
            return None
        kept = st.session_state[_KEPT] = (key, done.value)
    return kept[1]


def _result(found: Plan, data: bytes, name: str) -> None:
    counts = {what: found.count(what) for what in _WORDS}
    accounts.chips(
        [
            (tone if counts[what] else "neutral", f"{word}: {counts[what]}")
            for what, (tone, word) in _WORDS.items()
        ]
    )
    widgets.problems(found.problems)
    if counts["refused"]:
        st.warning(
            f"{counts['refused']} {'row is' if counts['refused'] == 1 else 'rows are'} refused and would be left out. Mend the "
            f"sheet and give it again, or go on without them.{_most_often(found)}",
            icon=":material/warning:",
        )
    _rows(found, counts)
    _ask(found, data, name)


def _most_often(found: Plan) -> str:
    """What is wrong with many rows is one thing to mend: a role that every row misspells, a column that Excel changed."""
    seen = Counter(reason for row in found.rows if row.what == "refused" for reason in row.reasons)
    return "".join(
        f"\n- {many} rows: {desk.plain(reason)}" for reason, many in seen.most_common(5) if many >= _MANY
    )


def _rows(found: Plan, counts: dict[str, int]) -> None:
    present = [what for what in ("refused", "changed", "new", "unchanged") if counts[what]]
    words = {"all": f"Every row · {len(found.rows)}"} | {w: f"{_WORDS[w][1]} · {counts[w]}" for w in present}
    shown = st.segmented_control(
        "Show",
        list(words),
        default="refused" if counts["refused"] else "all",
        format_func=words.__getitem__,
        key=f"staff-import-show-{found.digest[:12]}",
        label_visibility="collapsed",
    )
    rows = [r for r in found.rows if shown in (None, "all", r.what)]
    if shown == "refused":
        _reasons(rows[:_MOST])
    else:
        widgets.table(
            [_row(r) for r in rows[:_MOST]],
            columns={
                "Row": st.column_config.NumberColumn(width=60),
                _SAID: st.column_config.TextColumn(width="large"),
            },
        )
    more = f"The first {_MOST} of {len(rows)} rows. " if len(rows) > _MOST else ""
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.caption(f"{more}Rows are numbered as Excel numbers them.")
    right.download_button(
        "The whole result",
        lambda: _as_csv(found),
        file_name="import-result.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )


def _reasons(rows: list[PlannedRow]) -> None:
    """Refused rows as text: a table would cut the reasons off, and they are what has to be read."""
    with st.container(border=True, height=_TALL if len(rows) > _MANY else "content"):
        for row in rows:
            who = " · ".join(filter(None, (_name(row), row.login))) or "no name"
            st.markdown(
                f"**Row {row.line}** · {desk.plain(who)}\n"
                + "".join(f"\n- {desk.plain(r)}" for r in row.reasons)
            )


def _row(row: PlannedRow) -> dict[str, object]:
    tone, word = _WORDS[row.what]
    return {
        "Row": row.line,
        "Login": row.login,
        "Name": _name(row),
        "What": f"{widgets.SIGNS[tone]} {word}",
        "Roles": _roles(row),
        _SAID: _said(row),
    }


def _name(row: PlannedRow) -> str:
    known = row.wanted or row.before
    return known.name if known else row.name


def _roles(row: PlannedRow) -> str:
    known = row.wanted or row.before
    return ", ".join(known.roles) if known else ""


def _said(row: PlannedRow) -> str:
    changes = (
        [f"{c.heading}: {c.before or '(empty)'} → {c.after or '(empty)'}" for c in row.changes]
        if row.what == "changed"
        else []
    )
    return " · ".join([*row.reasons, *changes])


def _as_csv(found: Plan) -> bytes:
    """Every row with its reasons; written so that nothing in it is a live formula."""
    return sheets.write_csv(
        ("Row", "Login", "Name", "What", "Roles", _SAID),
        [(r.line, r.login, _name(r), _WORDS[r.what][1], _roles(r), _said(r)) for r in found.rows],
    )


def _ask(found: Plan, data: bytes, name: str) -> None:
    if not found.would_change:
        st.success(
            "Nothing would change: everybody in this sheet is here already, just like this."
            if not found.count("refused")
            else "Nothing is left to ask for: mend the refused rows first.",
            icon=":material/check_circle:",
        )
        return
    takes = " and ".join(f"{many} {what}" for what in ("new", "changed") if (many := found.count(what)))
    with st.form("staff-import-ask", border=True):
        st.write(
            f"**{takes}** {'account' if found.count('new') + found.count('changed') == 1 else 'accounts'} would be taken in, all of them or none, once another admin approves. Refused and unchanged "
            "rows are left out. Then you print a sign-in slip for everybody new."
        )
        why = accounts.why_field("staff-import-why")
        if st.form_submit_button("Ask for this import", type="primary") and accounts.has_why(why):
            with st.spinner("Writing the request …"):
                done = desk.do(staff_import.ask, data=data, name=name, why=why, seen=found.digest)
            st.session_state.pop(_KEPT, None)
            if done:
                banners.forget()
                desk.say(accounts.asked())
                desk.go("requests", request=done.value)
