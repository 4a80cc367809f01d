"""The pages of docs/ that are written from the code: life of a study, permissions, settings, commands, decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer
from click import Group, Option

from core.rules.roles import (
    NOT_WHILE_AWAY,
    ROLES,
    SCOPE_WORDS,
    SCOPES,
    UNNAMED,
    WITHOUT_KEY,
    Permission,
    Role,
)
from core.rules.steps import LOOKS, STEPS, Status, diagram
from ops.settings import Settings

ROOT = Path(__file__).parents[1]
_NOTE = "<!-- Written by `make docs` from the code; a test holds the two together. -->\n"


def study_life() -> str:
    """The steps as a diagram and a table, and the statuses as the board shows them."""
    moves = [
        (
            f"`{name}`",
            row.label,
            _listed(LOOKS[s].label for s in Status if s in row.before),
            LOOKS[row.after].label,
            f"`{row.may}`",
            _listed(row.needs),
            _listed(row.starts),
        )
        for name, row in STEPS.items()
    ]
    looks = [(f"`{s}`", look.label, look.help, f"`{look.report_status}`") for s, look in LOOKS.items()]
    return _page(
        "The life of a study",
        "One table, `core/rules/steps.py`, says how a study moves from the booking to the paid claim.\n"
        "The board, the buttons, the checks and this page read it.\n",
        f"```mermaid\n{diagram()}```\n",
        "## Statuses\n",
        _table(("status", "on the board", "which means", "report status (FHIR R4)"), looks),
        "## Steps\n",
        _table(("step", "button", "from", "to", "permission", "needs", "starts"), moves),
    )


def permissions() -> str:
    """Roles × permissions."""
    head = ("permission", *(f"{role}" for role in Role))
    rows = [(f"`{p}`", *("●" if p in ROLES[role] else "" for role in Role)) for p in Permission]
    scopes = ("**whose patients**", *(f"**{SCOPES[role]}**" for role in Role))
    return _page(
        "Who may do what",
        "Every verb names one permission at its gate (`core/store/work.py`); the rows are `core/rules/roles.py`.\n"
        "`patient` and `referrer` hold a link to one study, or an account for their own, and see nothing beside it. "
        "`system` is the worker. `nobody` is a request before anyone has signed in.\n",
        _table(head, [scopes, *rows]),
        "## Whose patients\n",
        _table(("scope", "shows"), [(f"`{scope}`", words) for scope, words in SCOPE_WORDS.items()]),
        "A person's own scope, set by an approved request, takes the place of what their roles say. "
        "Beside the scope, blocks shut a patient and grants or a broken glass open one "
        "([decision 082](decisions/082-access-to-patients.md)).\n\n"
        f"Whole tables, whoever asks, because these count, oversee or come before the sign-in: {_quoted(UNNAMED)}.\n\n"
        f"Not in a session that began while the directory was away: {_quoted(NOT_WHILE_AWAY)}.\n",
        *(
            f"Where keys are needed (docs/decisions/089-admins-need-keys.md), a session that no key opened has of `{role}` only: "
            f"{_quoted(left)}.\n"
            for role, left in WITHOUT_KEY.items()
        ),
    )


def _quoted(permissions: frozenset[Permission]) -> str:
    return _listed(f"`{p}`" for p in Permission if p in permissions)


def settings() -> str:
    """Every setting with its default."""
    rows = [
        (
            f"`SORG_{name.upper()}`",
            f"`{field.default}`" if field.default not in ("", None) else "–",
            str(field.description),
        )
        for name, field in Settings.model_fields.items()
    ]
    return _page(
        "Settings",
        "A setting is an environment variable, or a line `NAME=value` in the file that `SORG_SETTINGS` names; the "
        "variable wins.\nA wrong value stops the start and is named. Apart from PostgreSQL's address, secrets are never "
        "settings: a setting names the file that holds one.\n\n"
        "With `SORG_DATABASE_URL`, encrypting the database's files is the task of the database's host. Documents "
        "in `SORG_HOME` stay encrypted either way.\n",
        _table(("setting", "default", "what it does"), rows),
    )


def commands() -> str:
    """Every command of `sorg`, with its options."""
    from ops.cli import app

    rows = [
        row for name, group in _groups(typer.main.get_command(app), "sorg") for row in _commands(name, group)
    ]
    return _page(
        "Commands", "`sorg --help` says the same.\n", _table(("command", "what it does", "options"), rows)
    )


def decisions() -> str:
    """The decisions by number, from the first line of each."""
    pages = sorted(p for p in (ROOT / "docs" / "decisions").glob("*.md") if p.name[0].isdigit())
    lines = [f"- [{page.read_text().splitlines()[0].lstrip('# ')}]({page.name})\n" for page in pages]
    return _page(
        "Decisions", "What would be costly to undo, and why it is so: half a page each.\n", "".join(lines)
    )


PAGES: dict[str, Callable[[], str]] = {
    "study-life.md": study_life,
    "permissions.md": permissions,
    "settings.md": settings,
    "commands.md": commands,
    "decisions/README.md": decisions,
}


def write_all() -> list[Path]:
    """Write every generated page; the paths that changed."""
    changed = []
    for name, page in PAGES.items():
        path, text = ROOT / "docs" / name, page()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            changed.append(path.relative_to(ROOT))
    return changed


def _page(title: str, *parts: str) -> str:
    return "\n".join((f"# {title}\n{_NOTE}", *parts))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = (head, tuple("---" for _ in head), *rows)
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _listed(words) -> str:
    return ", ".join(words) or "–"


def _groups(command, name: str):
    if isinstance(command, Group) or hasattr(command, "commands"):
        for each, below in command.commands.items():
            yield from _groups(below, f"{name} {each}")
    else:
        yield name, command


def _commands(name: str, command) -> list[tuple[str, str, str]]:
    options = [
        f"`{p.opts[0]}` {p.help or ''}".strip()
        for p in command.params
        if isinstance(p, Option) or getattr(p, "param_type_name", "") == "option"
    ]
    return [
        (
            f"`{name}`",
            " ".join((command.help or "").split()),
            "; ".join(o for o in options if "--help" not in o) or "–",
        )
    ]
