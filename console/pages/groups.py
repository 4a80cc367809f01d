"""Groups and roles: which group of the directory gives which role, changed as one request for the whole."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from console import accounts, banners, desk, widgets
from console.door import door
from core import changes, groups
from core.change_cards import RequestCard
from core.groups import Expected, LimitThere
from core.ports.directory import Group
from core.rules.reasons import LONGEST_WHY, SHORTEST_WHY
from core.rules.roles import STAFF, Permission, Role

_DRAFT, _TURN, _FOUND, _EXPECTED = "groups-draft", "groups-turn", "groups-found", "groups-expected"
_MOST = 50
_ROLES = (*STAFF, Role.REFERRER, Role.PATIENT)
# What to do where no group gives a role yet, by whether the directory is there: none means single sign-on alone.
_TO_BEGIN = {
    "answers": "Search a group at the right and choose what it gives.",
    "away": "Groups can be added when the directory answers again.",
    "none": "Write a group at the right and choose what it gives.",
}
Line = tuple[str, str, str]  # group id, group name, role


def render() -> None:
    widgets.title("Groups and roles", "What somebody may do here follows from their groups in the directory.")
    lines = tuple((g.group_id, g.group_name, g.role) for g in desk.ask(groups.mapping))
    there = desk.ask(groups.directory_is_there)
    if there == "none" and not door().single_sign_on:
        _no_directory(lines)
        return
    waiting = next((r for r in desk.ask(changes.requests) if r.kind == "group-roles"), None)
    may = desk.may(Permission.PEOPLE_MANAGE)
    draft: tuple[Line, ...] = st.session_state.get(_DRAFT, lines)
    if waiting:
        _waits(waiting)
    if waiting or not may:
        _table(lines)
    else:
        left, right = st.columns([1.3, 1], gap="large")
        with left:
            _draft(lines, draft, there)
        with right:
            _add(draft, there)
    if may and there != "none":
        _test(there)
    if there == "answers":
        _wrong_passwords()


def _no_directory(lines: tuple[Line, ...]) -> None:
    widgets.empty(
        "This practice keeps its accounts here",
        "Roles are given to each person, under People.",
        "To take them from Active Directory or OpenLDAP, whoever looks after this machine sets SORG_DIRECTORY, "
        "SORG_DIRECTORY_SERVERS, SORG_DIRECTORY_BASE, SORG_DIRECTORY_CA, SORG_DIRECTORY_USER and "
        "SORG_DIRECTORY_PASSWORD_FILE, and starts Sorg again. docs/settings.md explains each of them.",
    )
    if lines:
        st.caption("What was set up earlier is kept, and counts again with a directory.")
        _table(lines)


# What stands, and the draft -------------------------------------------------------------------------------------


def _table(lines: tuple[Line, ...]) -> None:
    if not lines:
        widgets.empty("No group gives a role yet", "Until one does, nobody of the directory comes in.")
        return
    widgets.table([_row(line) for line in _sorted(lines)], columns=_columns())


def _row(line: Line, state: str = "") -> dict[str, object]:
    group_id, name, role = line
    row: dict[str, object] = {"Draft": state} if state else {}
    return row | {"Group": name, "gives the role": role, "Id in the directory": group_id}


def _columns() -> dict[str, object]:
    return {"Id in the directory": st.column_config.TextColumn(width="small")}


def _sorted(lines: tuple[Line, ...]) -> list[Line]:
    return sorted(lines, key=lambda line: (line[2], line[1], line[0]))


def _draft(lines: tuple[Line, ...], draft: tuple[Line, ...], there: str) -> None:
    """The mapping as it is, or with the changes that are being gathered: nothing counts before it is approved."""
    added, gone = set(draft) - set(lines), set(lines) - set(draft)
    changed = bool(added or gone)
    every = _sorted(tuple({*lines, *draft}))
    if not every:
        widgets.empty(
            "No group gives a role yet", "Until one does, nobody of the directory comes in.", _TO_BEGIN[there]
        )
        return

    def state(line: Line) -> str:
        return "" if not changed else "+ new" if line in added else "✕ goes" if line in gone else "stays"

    chosen = widgets.pick(
        f"groups-{_turn()}", [_row(line, state(line)) for line in every], every, columns=_columns()
    )
    if chosen in gone:
        if st.button("Keep this line", icon=":material/undo:"):
            _gather((*draft, chosen))
    elif chosen is not None and st.button("Take this line out", icon=":material/remove:"):
        _gather(tuple(line for line in draft if line != chosen))
    elif chosen is None:
        st.caption("Choose a row to take it out.")
    if changed:
        _send(lines, draft, len(added), len(gone))


def _send(lines: tuple[Line, ...], draft: tuple[Line, ...], added: int, gone: int) -> None:
    with st.form("groups-ask", border=True):
        st.write(
            f"**The draft**: {added} new, {gone} taken out. After it {len(draft)} lines stand, today {len(lines)}."
        )
        why = st.text_input(
            "Why *",
            max_chars=LONGEST_WHY,
            placeholder=f"At least {SHORTEST_WHY} characters, for example: the locums have a group of their own",
        )
        row = st.container(horizontal=True)
        sent = row.form_submit_button("Ask for this change", type="primary", icon=":material/send:")
        if row.form_submit_button("Throw the draft away", icon=":material/delete:"):
            st.session_state.pop(_DRAFT, None)
            st.rerun()
    st.caption("It is approved as a whole. Whoever is signed in gets it within five minutes after that.")
    if sent and accounts.has_why(why):
        payload = {"lines": [{"group_id": i, "group_name": n, "role": r} for i, n, r in _sorted(draft)]}
        if desk.do(changes.ask, kind="group-roles", payload=payload, why=why):
            st.session_state.pop(_DRAFT, None)
            banners.forget()
            desk.again(accounts.asked())


def _gather(draft: tuple[Line, ...]) -> None:
    st.session_state[_DRAFT] = draft
    # Tables of a new name: what was chosen in them is done with.
    st.session_state[_TURN] = _turn() + 1
    st.rerun()


def _turn() -> int:
    return st.session_state.get(_TURN, 0)


def _waits(request: RequestCard) -> None:
    with st.container(border=True):
        widgets.line(
            "A change of this table waits for approval",
            f"asked by {request.asked_by}",
            "warn",
            widgets.when(request.asked_at),
        )
        widgets.table(
            [{"Group": x.what, "Today": x.before or "–", "Then": x.after or "–"} for x in request.lines]
        )
        st.caption("Until it is decided no other change of the table can be asked for.")
        if desk.has_page("requests"):
            st.page_link(desk.page("requests"), label="Requests to decide", icon=":material/rule_settings:")


# Adding ---------------------------------------------------------------------------------------------------------


def _add(draft: tuple[Line, ...], there: str) -> None:
    widgets.heading("Add a group")
    if there == "none":
        _add_by_hand(draft)
        return
    if there == "away":
        st.warning(
            "The directory does not answer, so its groups cannot be searched now. What stands goes on counting.",
            icon=":material/cloud_off:",
        )
        return
    with st.form("groups-search", border=False):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        text = left.text_input(
            "Search the directory's groups",
            max_chars=64,
            placeholder="A part of the name, or nothing for all",
        )
        if right.form_submit_button("Search", width="stretch"):
            done = desk.do(groups.search, text, most=_MOST)
            st.session_state[_FOUND] = (text, done.value) if done else None
            st.session_state[_TURN] = _turn() + 1
    text, found = st.session_state.get(_FOUND) or ("", None)
    if found is None:
        st.caption("A group counts with everybody in it, also through groups inside it.")
    elif not found:
        widgets.empty(
            f"No group has '{text}' in its name",
            "Check the spelling, or ask whoever looks after the directory.",
        )
    else:
        _found(draft, found)


def _found(draft: tuple[Line, ...], found: tuple[Group, ...]) -> None:
    chosen = widgets.pick(
        f"groups-found-{_turn()}",
        [{"Group": g.name, "Where": g.path} for g in found],
        [g.id for g in found],
    )
    if len(found) >= _MOST:
        st.caption(f"The first {_MOST} are shown: type more of the name.")
    group = next((g for g in found if g.id == chosen), None)
    if group is None:
        st.caption("Choose the group.")
        return
    near = desk.glance(groups.look_closer, group.id)
    if near and near.members is not None:
        many = "1 member" if near.members == 1 else f"{near.members} members"
        st.caption(f"{desk.plain(near.name)} has {many} of its own, beside those of groups inside it.")
    _roles_for(draft, group.id, group.name)


def _add_by_hand(draft: tuple[Line, ...]) -> None:
    st.caption(
        f"{door().single_sign_on} sends the groups of whoever signs in, and cannot be searched. Write the group as it is "
        "sent: in Entra its object id."
    )
    group_id = st.text_input("Group as it is sent", max_chars=80, key="groups-hand-id").strip()
    name = st.text_input("What it is called here", max_chars=200, key="groups-hand-name").strip()
    if group_id:
        _roles_for(draft, group_id, name or group_id)


def _roles_for(draft: tuple[Line, ...], group_id: str, name: str) -> None:
    held = {role for i, _, role in draft if i == group_id}
    with st.form(f"groups-add-{group_id}", border=True):
        roles = st.multiselect(
            f"Roles that {desk.plain(name)} gives", [r for r in _ROLES if r not in held], placeholder="Choose"
        )
        if st.form_submit_button("Add to the draft", icon=":material/add:") and roles:
            _gather((*draft, *((group_id, name, str(role)) for role in roles)))
    if held:
        st.caption(f"It gives already: {', '.join(sorted(held))}.")


# The test button ------------------------------------------------------------------------------------------------


def _test(there: str) -> None:
    widgets.heading("What would this person get?")
    if there == "away":
        st.caption("Possible again when the directory answers.")
        return
    with st.form("groups-test", border=True):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        login = left.text_input(
            "Name they sign in with", max_chars=64, placeholder="thandi.nkosi, DOMAIN\\name or name@domain"
        )
        if (
            right.form_submit_button("Test", width="stretch", icon=":material/person_search:")
            and login.strip()
        ):
            done = desk.do(groups.what_would, login)
            st.session_state[_EXPECTED] = done.value if done else None
    expected: Expected | None = st.session_state.get(_EXPECTED)
    if expected is None:
        st.caption(
            "Nothing is changed and nobody is signed in: it only asks the directory. The table counts as it stands, not the draft."
        )
        return
    entry = expected.entry
    if entry is None:
        st.warning(desk.plain(expected.sentence), icon=":material/person_off:")
        return
    widgets.line(entry.name or entry.login, expected.sentence, "good" if expected.comes_in else "bad")
    widgets.facts(
        {
            "Login": entry.login,
            "Account": "in order" if entry.state == "ok" else str(entry.state),
            "Roles": ", ".join(expected.roles) or "none",
            "Because of": ", ".join(f"{name} ({role})" for name, role in expected.by_group),
            "Groups in all": str(len(entry.groups)),
        }
    )


# Wrong passwords ------------------------------------------------------------------------------------------------


def _wrong_passwords() -> None:
    """What keeps guesses here from locking somebody out of Windows."""
    limits = desk.ask(groups.limits_there)
    if not limits:
        return
    st.subheader("Wrong passwords")
    for limit in limits:
        st.write(_limit(limit))
        if trouble := _trouble(limit):
            st.warning(trouble, icon=":material/lock_clock:")


def _limit(limit: LimitThere) -> str:
    name = desk.plain(limit.name)
    who = f"For **{name}** the directory" if name else "The directory"
    here = f"Sorg stops at **{limit.passed_on}** and waits {_minutes(limit.rest)}"
    lockout = limit.lockout
    if lockout is None:
        whose = f"For **{name}** Sorg's reading account" if name else "Sorg's reading account"
        return f"{whose} does not see after how many wrong passwords the directory locks an account. {here}."
    if not lockout.most:
        return f"{who} locks nobody. {here}."
    wrong = "1 wrong password" if lockout.most == 1 else f"{lockout.most} wrong passwords"
    within = f"in {_minutes(lockout.window)}" if lockout.window is not None else "since the last right one"
    return f"{who} locks an account after **{wrong}** {within}. {here}."


def _trouble(limit: LimitThere) -> str:
    lockout = limit.lockout
    if lockout is None:
        return (
            f"Ask whoever looks after the directory whether it locks after more than {limit.passed_on} wrong passwords. If not, "
            f"guesses here can lock somebody out everywhere: have SORG_SIGN_IN_TRIES ({limit.setting}) set below its limit. "
            "Once SORG_DIRECTORY_USER may read the limit there, Sorg stays below it by itself."
        )
    if lockout.most == 1:
        return (
            "Whoever mistypes once is locked, here and everywhere. Have that limit raised in the directory."
        )
    if lockout.most and limit.setting >= lockout.most:
        return (
            f"SORG_SIGN_IN_TRIES is {limit.setting}, which is not below that limit: Sorg stops earlier by itself. Have "
            "it set lower, or the directory's limit raised."
        )
    if lockout.most and lockout.window is None:
        return (
            f"It never forgets a wrong password by itself: after {limit.passed_on}, Sorg passes on no more for that person "
            "until they sign in elsewhere, or whoever looks after the directory helps. Have it forget them after half an "
            "hour (pwdFailureCountInterval: 1800)."
        )
    return ""


def _minutes(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} minutes" if minutes != 1 else "a minute"
