"""One's own password and second factors at the console: how the pages look. The desk is doors.own_account."""

from __future__ import annotations

from starlette.routing import Route

from console.door import Door
from console.signin import page
from console.signin.forms import Counter, with_next
from core.factors import Factors, KeyCard, NewTotp
from core.rules.passwords import LONGEST, SHORTEST
from core.rules.za_time import local_day
from doors.own_account import AccountAt, AccountDesk, AccountPages

HOME = "/my_account"
_AT = AccountAt(
    keys="/account/keys", app="/account/app", recovery="/account/recovery", password="/account/password",
    sessions="/account/sessions/end", confirm="/stepup?for=factors",
)  # fmt: skip
_DONE = {
    "added": "Your key is set up. From now on it can take the place of a code.",
    "removed": "The key is taken away: it opens nothing any more.",
    "ended": "Every other window that you were signed in at is signed out.",
}
_TWO = "The two new passwords are not the same. Type both again."
_AWAY = "The practice's directory does not answer now, so nothing was changed. Try again later."
_GONE = "That window was signed out already."


def account_routes(door: Door) -> list[Route]:
    """One's own factors at this door."""
    pages = AccountPages(
        keys_page,
        new_key_page,
        remove_page,
        begin_app_page,
        app_page,
        app_done_page,
        begin_recovery_page,
        codes_page,
        password_page,
        password_done_page,
        kept_elsewhere_page,
        turned_page,
        done=_DONE,
        two=_TWO,
        away=_AWAY,
        gone=_GONE,
    )
    manners = Counter(door)
    return manners.calmly(*AccountDesk(manners, pages, at=_AT).routes(), back=HOME)


# The pages ------------------------------------------------------------------------------------------------------

_BACK = page.link(HOME, "Back to my account")


def keys_page(
    *, token: str, mine: Factors, done: str, why_no_keys: str, elsewhere: int = 0, said: tuple[str, ...] = ()
) -> str:
    """The keys there are, and the way to one more; after a change, whether those signed in elsewhere shall stay."""
    rows = "".join(_key_row(key) for key in mine.keys)
    listed = f'<ul class="keys">{rows}</ul>' if rows else '<p class="empty">No key yet.</p>'
    add = (
        page.notice(why_no_keys)
        if why_no_keys
        else page.link(_AT.new_key, "Add a key", button=True, first=True)
    )
    return page.frame(
        "Your keys",
        page.lead(
            "A passkey on your phone or computer, or a security key on your key ring. A finger or PIN confirms that it "
            "is you, and no false page can steal it."
        ),
        page.message(*said),
        page.notice(done),
        listed,
        add,
        _others_form(token, elsewhere),
        _BACK,
    )


def _others_form(token: str, elsewhere: int) -> str:
    if elsewhere < 1:
        return ""
    many = "at one other window" if elsewhere == 1 else f"at {elsewhere} other windows"
    return (
        f'<p class="help">You are still signed in {many}. Was a key lost, or is one of them not you?</p>'
        + page.form(_AT.sessions, button="Sign out everywhere else", token=token, quiet=True)
    )


def _key_row(key: KeyCard) -> str:
    used = f"last used {local_day(key.used_at):%d/%m/%Y}" if key.used_at else "not used yet"
    return (
        f"<li><div><strong>{page.escape(key.name)}</strong><span>set up {local_day(key.made_at):%d/%m/%Y}, {used}</span></div>"
        f'<a href="{_AT.remove_key}?key={key.id}" aria-label="Take away {page.escape(key.name)}">Take away</a></li>'
    )


def new_key_page(*, token: str) -> str:
    """A name for the key; the browser does the rest."""
    field = (
        '<label for="name">What do you call it?</label>\n<input id="name" name="name" maxlength="60" autocomplete="off" '
        'placeholder="for example: blue key, my phone" autofocus>'
    )
    return page.frame(
        "Add a key",
        page.lead("Your browser asks you to touch the key, or to use your finger, face or PIN."),
        page.key_form(
            field,
            button="Set up this key",
            token=token,
            options=f"{_AT.keys}/options",
            answer=_AT.keys,
            makes=True,
        ),
        page.link(_AT.keys, "Back to your keys"),
        script=True,
    )


def remove_page(*, token: str, key: KeyCard, said: tuple[str, ...]) -> str:
    """Ask once before a key is taken away."""
    return page.frame(
        f"Take away “{key.name}”?",
        page.lead("It will open nothing any more. You can set it up again later."),
        page.message(*said),
        page.form(_AT.remove_key, button="Take it away", token=token, key=str(key.id)),
        page.link(_AT.keys, "Keep it"),
    )


def begin_app_page(*, token: str, said: tuple[str, ...] = ()) -> str:
    """Before the new secret is made."""
    return page.frame(
        "A new authenticator app",
        page.lead(
            "For a new phone, or another app. The app you have keeps working until the new one's first "
            "code is right; from then on only the new one counts."
        ),
        page.message(*said),
        page.form(_AT.app, button="Show the QR code", token=token),
        _BACK,
    )


def app_page(*, token: str, fresh: NewTotp, box: str, said: tuple[str, ...] = ()) -> str:
    """Scan, then type the app's code."""
    return page.frame(
        "A new authenticator app",
        page.app_steps(fresh),
        page.message(*said),
        page.form(
            _AT.app,
            page.code_field(
                label="Code in the new app now", help="Six digits that change every half minute."
            ),
            button="Use this app from now on",
            token=token,
            box=box,
        ),
        _BACK,
    )


def app_done_page(*, token: str, ended: int = 0) -> str:
    """The new app is in use."""
    return page.frame(
        "The new app is in use",
        page.lead("Take the old entry out of the old phone: its codes open nothing any more."),
        page.notice(_ended(ended)),
        page.link(HOME, "Back to my account", button=True, first=True),
    )


def _ended(count: int) -> str:
    if not count:
        return ""
    return f"{'One other window was' if count == 1 else f'{count} other windows were'} signed out."


def password_page(*, token: str, said: tuple[str, ...] = ()) -> str:
    """The password of now, and a new one twice."""
    help = f"At least {SHORTEST} characters. A few words that only you put together are best. Nobody else ever sees it."
    return page.frame(
        "A new password",
        page.lead("Everywhere else that you are signed in, you are signed out by it."),
        page.message(*said),
        page.form(
            _AT.password,
            page.known_password("Your password now"),
            page.new_password("new", "Your new password", help=help, shortest=SHORTEST, longest=LONGEST),
            page.new_password("again", "The new one once more", shortest=SHORTEST, longest=LONGEST),
            button="Change my password",
            token=token,
        ),
        _BACK,
    )


def password_done_page(*, token: str, ended: int) -> str:
    """The new password counts."""
    return page.frame(
        "Your new password is set",
        page.lead("The old one opens nothing any more. You stay signed in here."),
        page.notice(_ended(ended)),
        page.link(HOME, "Back to my account", button=True, first=True),
    )


def kept_elsewhere_page(*, token: str, said: tuple[str, ...]) -> str:
    """Somebody else keeps this password."""
    return page.frame(
        "A new password", page.lead(*said), page.link(HOME, "Back to my account", button=True, first=True)
    )


def turned_page(*, token: str, said: tuple[str, ...]) -> str:
    """The directory does not take this password; the way on begins with confirming."""
    return page.frame(
        "Not changed",
        page.lead("The practice's directory keeps your password, and did not take the new one."),
        page.message(*said),
        page.link(
            with_next(_AT.confirm, _AT.password),
            "Confirm once more, and choose another one",
            button=True,
            first=True,
        ),
        _BACK,
    )


def begin_recovery_page(*, token: str, mine: Factors, said: tuple[str, ...] = ()) -> str:
    """Before the old codes are made void."""
    left = {0: "You have none left.", 1: "You have one left."}.get(
        mine.recovery_codes, f"You have {mine.recovery_codes} left."
    )
    return page.frame(
        "New recovery codes",
        page.lead(
            f"Ten codes on paper, for when your phone or key is not with you. {left} New ones make "
            "the old paper void."
        ),
        page.message(*said),
        page.form(_AT.recovery, button="Make ten new codes", token=token),
        _BACK,
    )


def codes_page(*, token: str, codes: tuple[str, ...]) -> str:
    """Ten codes, once."""
    return page.frame(
        "Keep these ten recovery codes",
        page.lead(page.WRITE_DOWN),
        page.recovery_list(codes),
        page.ONLY_PAPER,
        page.link(HOME, "Done: back to my account", button=True, first=True),
        wide=True,
    )
