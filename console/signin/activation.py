"""A sign-in slip at the console: how its steps look. The desk is doors.slip."""

from __future__ import annotations

from starlette.routing import Route

from console.door import Door
from console.signin import page
from console.signin.forms import Counter, with_next
from core.activation import SlipView
from core.factors import NewTotp
from core.rules.passwords import LONGEST, SHORTEST
from doors.slip import SlipDesk, SlipPages

SLIP_COOKIE, CHOSEN_COOKIE = "sorg-slip", "sorg-slip-chosen"  # the second holds a sealed new password
_PATH, _PASSWORD, _APP = "/activate", "/activate/password", "/activate/app"
_OVER = "That took longer than fifteen minutes. Type the code of your slip once more: it is still good."
_TWO = "The two passwords are not the same. Type both again."
DIRECTORY_AWAY = "The practice's directory does not answer now, so your password cannot be set or checked. Your slip stays good: try again later."


def activation_routes(door: Door) -> list[Route]:
    """The slip's pages of this door."""
    pages = SlipPages(
        slip_page,
        password_page,
        app_page,
        known_app_page,
        done_page,
        over=_OVER,
        two=_TWO,
        away=DIRECTORY_AWAY,
    )
    manners = Counter(door)
    desk = SlipDesk(manners, pages, at=_PATH, slip_cookie=SLIP_COOKIE, chosen_cookie=CHOSEN_COOKIE)
    return manners.calmly(*desk.routes(), back=_PATH)


# The pages ------------------------------------------------------------------------------------------------------


def slip_page(*, token: str, said: tuple[str, ...] = ()) -> str:
    """The code of the slip."""
    field = page.slip_field(
        name="slip",
        label="Code of your slip",
        help="As it is printed. Capitals, blanks and hyphens do not matter.",
    )
    return page.frame(
        "Use your sign-in slip",
        page.lead(
            "With it you choose your own password and set up your phone. Have the phone at hand; it takes three minutes."
        ),
        page.message(*said),
        page.form("/activate", field, button="Continue", token=token),
        page.link("/login", "I have no slip: sign in"),
    )


def password_page(*, token: str, view: SlipView, said: tuple[str, ...] = ()) -> str:
    """Choose a password, or prove the one there is."""
    name = page.known_name(view.login)
    if view.asks == "set":
        intro = f"Welcome, {view.name}. You will sign in as {view.login}."
        help = f"At least {SHORTEST} characters. A few words that only you put together are best. Nobody else ever sees it."
        fields = (
            page.new_password(
                "password", "Your new password", help=help, focus=True, shortest=SHORTEST, longest=LONGEST
            ),
            page.new_password("again", "The same once more", shortest=SHORTEST, longest=LONGEST),
        )
        title = "Step 1 of 2: your password"
    elif view.asks == "nothing":
        intro = f"{view.name}, this slip sets up your phone. Your password stays the one of the practice's single sign-on."
        fields, title = (), "Step 1 of 2: your account"
    else:
        intro = f"{view.name}, this slip sets up your phone. First show that it is you: with the password you use in the practice."
        fields = (page.known_password(),)
        title = "Step 1 of 2: your password"
    return page.frame(
        title,
        page.lead(intro),
        page.message(*said),
        page.form(_PASSWORD, name, *fields, button="Continue", token=token),
        page.link("/activate", "This is not me, or I have another slip"),
    )


def app_page(*, token: str, fresh: NewTotp, box: str, said: tuple[str, ...] = ()) -> str:
    """A new authenticator app: scan, then type its code."""
    return page.frame(
        "Step 2 of 2: your phone",
        page.app_steps(fresh),
        page.message(*said),
        page.form(
            _APP,
            page.code_field(label="Code in the app now", help="Six digits that change every half minute."),
            button="Finish",
            token=token,
            box=box,
        ),
        page.link("/activate/password", "Begin this step again"),
    )


def known_app_page(*, token: str, view: SlipView, said: tuple[str, ...] = ()) -> str:
    """The app that is there already proves that the slip is in the right hands."""
    return page.frame(
        "Step 2 of 2: your phone",
        page.lead("Show that it is you, with the authenticator app you have."),
        page.message(*said),
        page.form(_APP, page.code_field(), button="Finish", token=token),
        '<p class="help">Phone gone? Ask your practice\'s admin for a reset of your second factor.</p>',
    )


def done_page(*, token: str, codes: tuple[str, ...], view: SlipView, why_no_keys: str) -> str:
    """The end: recovery codes once, and the way in; for an admin, first of all to a key."""
    way = page.link("/login", "Sign in", button=True, first=True)
    if view.is_admin and not why_no_keys:
        way = (
            '<p class="help">You approve changes here. With a key that is one touch, and nobody can talk you out of a code.</p>'
            + page.link(
                with_next("/login", "/account/keys/new"), "Sign in and add a key now", button=True, first=True
            )
            + page.link("/login", "Later: only sign in")
        )
    if not codes:
        return page.frame("Your new password is set", page.lead(f"Sign in as {view.login}."), way)
    return page.frame(
        "Keep these ten recovery codes",
        page.lead(page.WRITE_DOWN),
        page.recovery_list(codes),
        page.ONLY_PAPER,
        f'<p class="help">Then sign in as <strong>{page.escape(view.login)}</strong>. Wait until your app shows its next code.</p>',
        way,
        wide=True,
    )
