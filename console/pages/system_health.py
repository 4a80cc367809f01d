"""System health: what waits to be done outside, what is stuck, and whether the parts answer."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from console import desk, widgets
from core import errands, health, practice
from core.errands import ErrandCard
from core.rules.roles import Permission

KINDS = {"attach_report": "Report into the PACS", "submit_claim": "Claim to the scheme"}
DATABASES = {"sqlite": "encrypted file (SQLCipher)", "postgresql": "PostgreSQL"}
_ALIVE = timedelta(seconds=30)  # a worker beats every five seconds; a long study may keep it a little
_VERIFIED = timedelta(days=2)  # the worker walks the audit chain once a day
_GB = 1_000_000_000
_LITTLE_ROOM, _NO_ROOM = 20 * _GB, 5 * _GB  # a day of CT is a few gigabytes
_STATES = {"stuck": ("bad", "Stuck"), "waiting": ("busy", "Waiting")}


def render() -> None:
    widgets.title("System health", "What still has to happen outside, and whether every part answers.")
    _live()


@desk.live(5)
def _live() -> None:
    left, right = st.columns([1.15, 1.6], gap="large")
    with left:
        widgets.heading("Parts")
        us = desk.ask(practice.particulars)
        widgets.line("Practice", us.name, "warn" if us.is_demo else "good", "demo data" if us.is_demo else "")
        _image_store(desk.ask(health.image_store))
        for sentence in desk.unencrypted():
            widgets.line("Connection", "not encrypted", "bad", sentence)
        beats = {b.name: b for b in desk.ask(health.beats)}
        _worker(beats.get("worker"))
        _ground(desk.ask(health.ground))
        _chain(beats.get("audit"))
    waiting = desk.ask(errands.open_errands)
    with right:
        counts = desk.ask(errands.counts)
        widgets.heading("Errands")
        a, b, c = st.columns(3)
        a.metric("Stuck", counts.get("stuck", 0))
        b.metric("Waiting", counts.get("waiting", 0))
        c.metric("Done", counts.get("done", 0))
    _open(waiting)


def _image_store(store: health.ImageStore) -> None:
    name = "Image store (Orthanc)"
    if store.state == "missing":
        widgets.line(name, "not set up", "bad", "See SORG_ORTHANC_URL in the settings.")
    elif store.state == "silent":
        widgets.line(name, "does not answer", "bad", store.told)
    else:
        widgets.line(name, "answers", "good", f"version {store.told}")


def _worker(beat: health.Beat | None) -> None:
    """The worker follows the image store, runs errands and speaks to the switch: without it nothing moves."""
    if beat is None:
        widgets.line(
            "Worker", "not seen yet", "bad", "Start the practice with `make up`, or `python -m ops.worker`."
        )
    elif beat.at < widgets.now() - _ALIVE:
        widgets.line(
            "Worker", "silent", "bad", f"last seen {widgets.when(beat.at)}; nothing moves without it"
        )
    elif beat.trouble:
        widgets.line("Worker", "in trouble", "warn", beat.trouble)
    else:
        widgets.line("Worker", "at work", "good")


def _ground(ground: health.Ground) -> None:
    widgets.line("Database", "answers", "good", DATABASES.get(ground.database, ground.database))
    free = ground.free_bytes
    word, tone = (
        ("nearly full", "bad")
        if free < _NO_ROOM
        else ("getting full", "warn")
        if free < _LITTLE_ROOM
        else ("has room", "good")
    )
    widgets.line("Disk", word, tone, f"{free / _GB:,.0f} GB free".replace(",", " "))


def _chain(beat: health.Beat | None) -> None:
    if beat is None:
        widgets.line("Audit chain", "not verified yet", "warn", "The worker does it once a day.")
    elif beat.trouble:
        widgets.line("Audit chain", "broken", "bad", beat.trouble)
    else:
        late = beat.at < widgets.now() - _VERIFIED
        widgets.line(
            "Audit chain",
            "not verified lately" if late else "whole",
            "warn" if late else "good",
            f"verified {widgets.when(beat.at)}",
        )


def _open(found: tuple[ErrandCard, ...]) -> None:
    if not found:
        widgets.empty("Nothing waits", "Reports are in the PACS and claims are on their way.")
        return
    chosen = widgets.pick(
        "errands",
        [
            {
                "State": f"{widgets.SIGNS[_STATES[e.state][0]]} {_STATES[e.state][1]}",
                "Errand": KINDS.get(e.kind, e.kind),
                "Tries": e.tries,
                "Next try": widgets.when(e.due_at),
                "Since": widgets.when(e.made_at),
                "Trouble": e.trouble,
            }
            for e in found
        ],
        [e.id for e in found],
        columns={"Trouble": st.column_config.TextColumn(width="large")},
    )
    if not desk.may(Permission.SYSTEM_MANAGE):
        st.caption("An admin can have a stuck errand tried again.")
        return
    if (
        st.button(
            "Try again now", disabled=chosen is None, icon=":material/refresh:", help="Choose a row first."
        )
        and chosen
        and desk.do(errands.try_again, chosen)
    ):
        widgets.unpick("errands")
        desk.again("The worker tries it again within a few seconds.")
