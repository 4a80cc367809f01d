"""Confirming that it is still them, for one purpose: /stepup?for=<purpose>&next=<page of the console>.

The desk is doors.confirm; here are the purposes of the console, and how the page looks. It ends in a redirect, so that
the browser loads its page afresh: Streamlit reads cookies only when a page is opened.
"""

from __future__ import annotations

from functools import partial

from starlette.routing import Route

from console.door import Door
from console.signin import page
from console.signin.forms import Counter
from core import factors
from core.factors import Factors
from doors.confirm import ConfirmDesk, words_for

# What a purpose is called; one that ends with a colon goes on with what it is about.
PURPOSES = {
    "sign:": "Signing a report",
    "change:": "Approving a change",
    "glass:": "Opening a closed record",
    "export:": "Taking patient data out",
    "factors": "Changing your second factor",
    factors.ADMIN: "What admins do",
}
_ONCE = "Confirm that it is you, once more. It counts for this alone, and for five minutes."
_OPENS = "Touch your key: it opens what admins do, here and until you sign out."
_FIRST = (
    "You have no key and no authenticator app here yet. Begin with a key: sign in once more where you came from, and add it "
    "within five minutes. From then on the key confirms that it is you."
)
_UNKNOWN = "Nothing on this page needs confirming. Go back to where you came from, and try again there."
_NOTHING = (
    "There is nothing yet to confirm it with: no authenticator app and no key. "
    "Ask your practice's admin for a sign-in slip."
)


def stepup_routes(door: Door) -> list[Route]:
    """The confirming of this door."""
    manners = Counter(door)
    desk = ConfirmDesk(
        manners,
        at="/stepup",
        sign_in="/login",
        purposes=PURPOSES,
        unknown=_UNKNOWN,
        confirm=partial(stepup_page, other=door.single_sign_on),
        nothing=nothing_page,
    )
    return manners.calmly(*desk.routes())


def what_for(purpose: object) -> str:
    """The purpose in words; empty for none of ours."""
    return words_for(purpose, PURPOSES)


def stepup_page(
    *,
    token: str,
    purpose: str,
    next: str,
    mine: Factors,
    said: tuple[str, ...],
    no_code: str,
    why_no_keys: str,
    other: str = "",
) -> str:
    """What is being confirmed, and with what. no_code: why a code is not enough for it. other: what single sign-on is called."""
    # A page that needs the proof would only lead here again.
    back = page.link("/my_account" if purpose == "factors" else next, "Not now: go back")
    intro = page.lead(_OPENS if purpose == factors.ADMIN else _ONCE)
    if not (mine.code or mine.keys) and mine.by_sign_on and other:
        to_key = page.with_next(f"{page.SINGLE_SIGN_ON}?anew=yes", "/account/keys/new")
        way = page.link(to_key, f"Sign in at {other} and add a key", button=True, first=True)
        return page.frame(
            what_for(purpose), page.lead(_FIRST), page.notice(why_no_keys), "" if why_no_keys else way, back
        )
    if not (mine.code or mine.keys):
        return page.frame(what_for(purpose), intro, page.notice(_NOTHING), back)
    if no_code and not mine.keys:
        add = (
            ""
            if purpose == "factors"
            else page.link("/account/keys/new", "Add a key", button=True, first=True)
        )
        return page.frame(what_for(purpose), intro, page.notice(no_code), add, back)
    parts = [f'<p class="help">{page.escape(no_code)}</p>'] if no_code else []
    takes_code = mine.code and not no_code
    if takes_code:
        parts.append(
            page.form("/stepup", page.code_field(), button="Confirm", token=token, next=next, purpose=purpose)
        )
    if mine.keys and not why_no_keys:
        parts.append(
            page.key_form(
                button="Confirm with your key",
                token=token,
                is_second=takes_code,
                options="/stepup/key/options",
                answer="/stepup/key",
                next=next,
                purpose=purpose,
            )
        )
    elif mine.keys:
        parts.append(page.notice(why_no_keys))
    return page.frame(
        what_for(purpose),
        intro,
        page.message(*said),
        *parts,
        back,
        script=bool(mine.keys) and not why_no_keys,
    )


def nothing_page(*, token: str, next: str) -> str:
    """A purpose that is none of ours."""
    return page.frame("Nothing to confirm", page.lead(_UNKNOWN), page.link(next, "Go back", button=True))
