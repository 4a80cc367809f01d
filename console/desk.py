"""The pages' only way to core: ask a question, do a verb. Who is asking is looked up each time.

    card = desk.ask(workflow.open_study, study_id)
    if desk.do(workflow.take, study_id, step="arrive"):
        desk.again("Thandô is waiting.")

A refusal becomes its sentence on the page; a surprise becomes a calm one with a number (console.trouble).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import streamlit as st

from console import drafts, trouble
from console.door import door
from core.errors import Denied, Missing, Outside, Refused, SorgError
from core.rules.problems import Problem
from core.rules.roles import Permission
from core.store.work import Actor

Answer = TypeVar("Answer")
_SAID, _PAGES, _OWNER, _RESCUED = "desk-said", "desk-pages", "desk-owner", "desk-rescued"


@dataclass(frozen=True)
class Done:
    """What became of a verb: true when it was done. `value` is what it returned, `problems` why it was refused."""

    ok: bool
    value: Any = None
    sentence: str = ""
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return self.ok


# Asking and doing -----------------------------------------------------------------------------------------------


def ask(question: Callable[..., Answer], *args: Any, **how: Any) -> Answer:
    """The answer; when there is none, the reason is on the page and the page ends here."""
    try:
        return _run(question, *args, **how)
    except SorgError as error:
        _tell(error)
        st.stop()


def ask_if(question: Callable[..., Answer], *args: Any, **how: Any) -> Answer | None:
    """The answer, or None when there is no such thing (yet)."""
    try:
        return _run(question, *args, **how)
    except Missing:
        return None
    except SorgError as error:
        _tell(error)
        st.stop()


def glance(question: Callable[..., Answer], *args: Any, **how: Any) -> Answer | None:
    """The answer, or None when there is none: for what stands beside a page and must never stop it."""
    try:
        return _run(question, *args, **how)
    except SorgError:
        return None


def do(verb: Callable[..., Any], *args: Any, quiet: bool = False, **how: Any) -> Done:
    """Run a verb and keep what it did. Refused, its reasons are drawn here, unless `quiet`: then the page draws them.

    The page reruns afterwards, never inside: a rerun inside the transaction would roll it back.
    """
    try:
        value = _run(verb, *args, awake=True, **how)
    except SorgError as error:
        if not quiet:
            _tell(error)
        return Done(False, None, error.sentence, error.problems)
    return Done(True, value)


def _run(verb: Callable[..., Any], *args: Any, awake: bool = False, **how: Any) -> Any:
    actor, token = _present()
    if awake:
        door().keep_awake(actor, token)
    with door().work(actor) as work:
        return verb(work, *args, **how)


def _tell(error: SorgError) -> None:
    """A refusal in its own sentence, with every problem behind it."""
    icon, draw = (
        (":material/cloud_off:", st.warning) if isinstance(error, Outside) else (":material/block:", st.error)
    )
    if isinstance(error, Refused) and not isinstance(error, Denied | Missing):
        icon, draw = ":material/info:", st.warning
    lines = [p.sentence for p in error.problems if p.sentence != error.sentence]
    draw(plain(error.sentence) + "".join(f"\n- {plain(line)}" for line in lines), icon=icon)
    if isinstance(error, Missing) and "break the glass" in error.sentence and has_page("break_glass"):
        st.page_link(page("break_glass"), label="Break the glass…", icon=":material/emergency:")


def plain(text: str) -> str:
    """Text of people and verbs, with nothing in it that Markdown would take for its own."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#|$~:!" else c for c in text)


# Who is here ----------------------------------------------------------------------------------------------------


def actor() -> Actor:
    """Who is at this desk now; a page that outlived its session ends here."""
    return _present()[0]


def may(permission: Permission) -> bool:
    """For drawing only: the verb's own gate decides."""
    return actor().may(permission)


def _present() -> tuple[Actor, str]:
    token = str(st.context.cookies.get(door().cookie) or "")
    found = door().who(token, address=_address())
    if found is None:
        signed_out()
    return found, token


def _address() -> str:
    """Where the browser is; Streamlit says nothing when it is on this machine."""
    return st.context.ip_address or "127.0.0.1"


def arrive() -> Actor | None:
    """At the start of each run: who is here, awake again. None: nobody any more."""
    token = str(st.context.cookies.get(door().cookie) or "")
    found = door().who(token, address=_address())
    if found is None:
        rescued = _rescue()
        st.session_state.clear()
        st.session_state[_RESCUED] = rescued
        return None
    if st.session_state.get(_OWNER) != found.session:
        # A tab that reconnects may carry another person's cookie: nothing typed by one is shown to the other.
        _rescue()
        st.session_state.clear()
        st.session_state[_OWNER], st.session_state[drafts.PERSON] = found.session, found.person
    door().keep_awake(found, token)
    return found


def owner() -> UUID | None:
    """Whose session this page is drawn for; None before anybody has arrived."""
    return st.session_state.get(_OWNER)


def _rescue() -> bool:
    """Keep what was typed here and not saved for whoever typed it; True when there is something, from now or before."""
    found = drafts.rescue(door().drafts, st.session_state, now=door().house.clock())
    return found or bool(st.session_state.get(_RESCUED))


def signed_out() -> NoReturn:
    """The calm end of a page whose session is over."""
    typed = (
        "<p>What you typed and did not save is kept for a day: it is offered to you, and to nobody else, when you open "
        "that report again.</p>"
    )
    rescued = _rescue()
    st.html(
        '<div class="sorg-empty" role="alert"><h2>You are signed out</h2><p>The session has ended: it was not used for '
        "a while, or it was ended by you or your practice's admin. What was saved is safe. If you have just confirmed "
        "something with your key in another window, this one only needs to be opened again.</p>"
        f"{typed if rescued else ''}"
        '<p><a class="sorg-button" href="/login" target="_self">Sign in again</a></p></div>'
    )
    st.stop()


# What this door knows of the practice ----------------------------------------------------------------------------


def unencrypted() -> tuple[str, ...]:
    """Who could listen on the way to this practice's doors, a sentence each."""
    return door().unencrypted


def rule(name: str) -> Any:
    """A setting that verbs obey, for saying so on a page; the verb obeys it whatever was drawn."""
    return door().house.rules[name]


def directory() -> str:
    """none, reads or writes: what the practice's directory lets us do. Whether it answers is not asked."""
    found = door().house.ports.directory
    return "none" if found is None else "writes" if found.writes else "reads"


def origin() -> str:
    """Where this browser has the console: https://host:port."""
    there = urlsplit(str(st.context.url or ""))
    return f"{there.scheme}://{there.netloc}" if there.netloc else ""


# Moving about ---------------------------------------------------------------------------------------------------


def know_pages(pages: dict[str, Any]) -> None:
    """The pages of this run, so that `go` finds them."""
    st.session_state[_PAGES] = pages


def has_page(key: str) -> bool:
    """True when this person has that page."""
    return key in st.session_state.get(_PAGES, {})


def page(key: str) -> Any:
    """The page, for a link to it."""
    return st.session_state[_PAGES][key]


def go(key: str, **about: UUID | str) -> NoReturn:
    """Open another page, about something."""
    st.switch_page(page(key), query_params={k: str(v) for k, v in about.items()})


def about(name: str) -> UUID | None:
    """The id that this page is about, from its address; None when there is none or it is no id."""
    try:
        return UUID(st.query_params.get(name, ""))
    except ValueError:
        return None


def again(said: str = "") -> NoReturn:
    """Draw the page anew, and say what was done."""
    say(said)
    st.rerun()


def say(said: str) -> None:
    """A word about what was done, shown once by the next run."""
    if said:
        st.session_state[_SAID] = said


def speak() -> None:
    """Show what `say` kept."""
    if said := st.session_state.pop(_SAID, ""):
        st.toast(plain(said), icon=":material/check_circle:")


def guarded(draw: Callable[..., Any]) -> Callable[..., Any]:
    """A page or fragment whose surprises end in one calm sentence with a number."""

    @wraps(draw)
    def drawn(*args: Any, **how: Any) -> Any:
        try:
            return draw(*args, **how)
        except Exception as error:
            trouble.show(error)
            return None

    return drawn


def live(every_s: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A part of a page that draws itself anew every few seconds. Its questions look the session up like any other."""

    def wrap(draw: Callable[..., Any]) -> Callable[..., Any]:
        return st.fragment(guarded(draw), run_every=every_s)

    return wrap
