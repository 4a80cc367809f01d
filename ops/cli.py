"""The command line: `sorg`. Every command opens the practice, calls verbs, prints, and says errors in a sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import SorgError, Unfit
from ops import opening, settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Ubuntu Patient Sorg: the practice, from here."
)
audit_app = typer.Typer(no_args_is_help=True, help="The audit chain.")
app.add_typer(audit_app, name="audit")
people_app = typer.Typer(no_args_is_help=True, help="Accounts that are made on the practice's own machine.")
app.add_typer(people_app, name="people")


def told(command: Callable[..., Any]) -> Callable[..., Any]:
    """A refusal is a sentence on stderr and exit code 1; a surprise stays a surprise."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except SorgError as error:
            typer.echo(error.sentence, err=True)
            for problem in error.problems:
                if problem.sentence != error.sentence:
                    typer.echo(f"  - {problem.sentence}", err=True)
            raise typer.Exit(1) from None

    return run


@app.command()
@told
def up() -> None:
    """Start the whole practice, with a demo practice when there is none; Ctrl-C stops it."""
    from ops import demo_practice, supervisor

    chosen = settings.read()
    is_new = not (chosen.home / "keys" / "keyring.json").exists()
    opening.found(chosen)
    house = opening.open_house(chosen, upgrade=True)
    try:
        if is_new:
            typer.echo("Setting up a demo practice: this takes a minute, once.")
            demo_practice.fill(chosen, demo_practice.found(house, chosen.home))
    finally:
        house.engine.dispose()

    def ready() -> None:
        typer.echo(demo_practice.welcome(chosen))

    supervisor.run_practice(chosen, when_ready=ready, say=typer.echo)


@app.command()
@told
def codes() -> None:
    """Print the demo people's passwords and current codes again."""
    from ops import demo_practice

    typer.echo(demo_practice.welcome(settings.read()))


@app.command()
@told
def demo(
    json: Annotated[Path | None, typer.Option(help="Write the stages and their times to this file.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep report, claim, remittance, link and screenshot here.")
    ] = None,
) -> None:
    """Run the whole chain once, headless, in a throwaway practice; exit 1 names the stage that failed."""
    from ops import demo as chain

    failed = chain.run(json_file=json, keep=keep, say=typer.echo)
    if failed:
        typer.echo(f"The demo failed at: {failed}", err=True)
        raise typer.Exit(1)


@people_app.command("admin")
@told
def people_admin(
    login: Annotated[str, typer.Argument(help="What they sign in as.")],
    name: Annotated[str, typer.Argument(help="Their name, in quotes.")],
) -> None:
    """Make an admin's account, the first or when none can sign in any more, and print its sign-in slip."""
    from core import people
    from core.store.work import system

    chosen = settings.read()
    opening.found(chosen)
    house = opening.open_house(chosen, upgrade=True)
    with house.work(system("command line")) as work:
        slip = people.found_admin(work, login=login, name=name)
    if (chosen.home / "demo-signin.json").exists():
        typer.echo(
            f"This is the demo practice in {chosen.home}. For your own, set SORG_HOME to a folder of its own."
        )
    typer.echo(f"{slip.name} signs in as {slip.login}.")
    typer.echo(f"Sign-in slip, once, within {chosen.slip_days} days: {slip.code}")
    typer.echo(f"To be typed at http://{chosen.console_host}:{chosen.console_port}/activate")


@people_app.command("break-glass")
@told
def people_break_glass(
    login: Annotated[str, typer.Argument(help="What the sealed account signs in as.")] = "breakglass",
) -> None:
    """Seal the account for emergencies anew, and print what belongs into the envelope."""
    from core import people
    from core.store.work import system
    from ops.demo_practice import new_password

    chosen = settings.read()
    house = opening.open_house(chosen)
    password = "-".join(new_password() for _ in range(2))
    with house.work(system("command line")) as work:
        welcome = people.seal_break_glass(work, login=login, password=password)
    typer.echo("Print this, put it into an envelope, seal it, and clear the screen.")
    typer.echo(f"  Signs in as    {welcome.person.login}")
    typer.echo(f"  Password       {password}")
    typer.echo(f"  App secret     {welcome.secret}")
    typer.echo(
        f"  Where          http://{chosen.console_host}:{chosen.console_port}/login, or the console's own name"
    )
    typer.echo(
        "The app secret is typed into any authenticator app ('enter a set-up key'), which then shows the code."
    )
    typer.echo(
        "It is an admin's account for one hour from its first use; it asks why and approves nothing, and every"
    )
    typer.echo("admin hears of it.")


# Without one of these a practice is not written down: what no option says is asked for.
ASKED = {
    "name": "Name",
    "pcns": "Practice number (13 digits)",
    "phone": "Telephone",
    "address": "Address",
    "email": "E-mail",
}


@app.command()
@told
def practice(
    name: Annotated[str | None, typer.Option(help="The practice's name, as on letters.")] = None,
    pcns: Annotated[str | None, typer.Option(help="Billing practice number, 13 digits.")] = None,
    phone: Annotated[str | None, typer.Option(help="Telephone, as patients should read it.")] = None,
    address: Annotated[str | None, typer.Option(help="Address on one line.")] = None,
    email: Annotated[str | None, typer.Option(help="E-mail.")] = None,
    vat_number: Annotated[str, typer.Option(help="VAT number, if there is one.")] = "",
) -> None:
    """Write down who the practice is, or correct it: on letters, claims and the patients' page."""
    from core import practice as particulars
    from core.store.work import system

    known = _ask_for_the_rest(
        {"name": name, "pcns": pcns, "phone": phone, "address": address, "email": email}
    )
    house = opening.open_house(settings.read(), upgrade=True)
    with house.work(system("command line")) as work:
        particulars.describe(
            work,
            name=known["name"],
            address=known["address"],
            phone=known["phone"],
            email=known["email"],
            pcns=known["pcns"],
            vat_number=vat_number,
        )
    typer.echo(f"{known['name']}: written down.")


def _ask_for_the_rest(given: dict[str, str | None]) -> dict[str, str]:
    """What was given, and what is typed for the rest. Raises Unfit, naming the options, where nobody can be asked."""
    known: dict[str, str] = {key: value for key, value in given.items() if value is not None}
    try:
        for key, question in ASKED.items():
            if key not in known:
                known[key] = typer.prompt(question)
    except typer.Abort:
        if sys.stdin.isatty():
            raise  # Somebody was asked, and left.
        typer.echo()
        missing = ", ".join(f"--{key}" for key in ASKED if key not in known)
        raise Unfit(f"Nobody can be asked here, so say what is missing: {missing}.") from None
    return known


@app.command()
@told
def upgrade() -> None:
    """Bring the database to this version of the program."""
    opening.open_house(settings.read(), upgrade=True).engine.dispose()
    typer.echo("The database is at this version.")


@app.command()
@told
def bench(
    only: Annotated[str, typer.Option(help="Run only rows whose name holds this word.")] = "",
    json: Annotated[Path | None, typer.Option(help="Write the table to this file as well.")] = None,
) -> None:
    """Measure the speed bars of docs/bench.md, each beside its reference in the same run."""
    from ops.bench import table

    table.run(only=only, json_file=json, say=typer.echo)


@app.command()
@told
def docs() -> None:
    """Write the generated pages of docs/ again."""
    from ops import docs as pages

    for path in pages.write_all():
        typer.echo(f"written: {path}")


@audit_app.command("verify")
@told
def audit_verify(
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A file that `sorg audit checkpoint` wrote: then a cut-off end is found too."),
    ] = None,
) -> None:
    """Walk the audit chain; exit 1 names the first broken link."""
    from core import privacy
    from core.store.work import system

    try:
        line = checkpoint.read_text() if checkpoint else ""
    except (OSError, ValueError):
        raise Unfit(f"{checkpoint} cannot be read.") from None
    house = opening.open_house(settings.read())
    with house.work(system("command line")) as work:
        verdict = privacy.verify_chain(work, checkpoint=line)
    if verdict.broken_at is not None:
        typer.echo(f"BROKEN at entry {verdict.broken_at}: {verdict.why}.", err=True)
        raise typer.Exit(1)
    typer.echo(f"Whole: {verdict.entries} entries, tail {verdict.tail}.")


@audit_app.command("checkpoint")
@told
def audit_checkpoint() -> None:
    """Print how long the audit chain is and how it ends, signed: keep the line off this machine."""
    from core import privacy
    from core.store.work import system

    house = opening.open_house(settings.read())
    with house.work(system("command line")) as work:
        typer.echo(privacy.checkpoint(work))


def main() -> None:
    """For `python -m ops.cli`."""
    app()


if __name__ == "__main__":
    sys.exit(main())
