"""Role × verb × scope, written out by hand: whose rows a verb sees for each role that may call it, and for each setting."""

import pytest

from core.rules.access import Bounds, scope_of
from core.rules.roles import Role, Scope
from core.store.work import Work
from tests.test_gate import LETTERS, VERBS, call, verbs

# Whose patients each role sees (letters as in test_gate): a admin, m manager … 0 nobody.
REACH = {
    "a": "all", "m": "all", "r": "site", "g": "site", "d": "site", "t": "site", "b": "site", "n": "none", "p": "own",
    "f": "referrer", "s": "all", "0": "none",
}  # fmt: skip
# Verbs that see whole tables whoever may call them: they count, work on pseudonyms, come before anybody signed in (and
# then look for one account or one link), or oversee who saw what.
WHOLE = {
    "signin.check_password", "signin.check_identity", "signin.note_unproven", "signin.second_half", "signin.check_code",
    "signin.check_recovery", "signin.ask_key", "signin.check_key", "sessions.actor_of", "sessions.recheck", "sessions.keep_awake",
    "sessions.sign_out", "sessions.rotate", "activation.look_at", "activation.begin", "activation.finish",
    "sharing.front_door", "sharing.look_at", "sharing.redeem", "sharing.actor_of", "sharing.image_behind", "sharing.why_shut",
    "analytics.insight", "analytics.activity", "analytics.export", "analytics.open_for_analysis",
    "privacy.who_looked", "privacy.entries", "privacy.take_out",
    "access.break_glass", "access.glass_to_review", "access.review_glass", "access.look_up", "access.access_of",
    "access.access_of_person",
}  # fmt: skip
SETTINGS = ("all", "site", "assigned", "none")  # what may be set for one member of staff


@pytest.fixture(scope="module")
def gates(tmp_path_factory):
    """The permission that each verb's gate asks for."""
    from tests.fixtures.house import open_test_house

    test, asked = open_test_house(tmp_path_factory.mktemp("matrix") / "home"), []
    require = Work._require

    def heard(work, permission, subject):
        asked.append(permission)
        return require(work, permission, subject)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "_require", heard)
        found = {}
        for name, verb in verbs().items():
            asked.clear()
            call(test, Role.NOBODY, verb)
            found[name] = asked[0]
    test.house.engine.dispose()
    return found


def expected(verb: str, letter: str, setting: str) -> str:
    if verb in WHOLE:
        return "all"
    staff = letter in "amrgdtbn"
    return setting if setting and staff else REACH[letter]


def test_every_verb_of_the_list_of_whole_tables_is_a_verb():
    assert set() == WHOLE - set(VERBS)


def test_role_by_verb_by_scope_is_the_matrix_of_the_hand(gates):
    by_hand, measured = {}, {}
    for verb, letters in VERBS.items():
        for letter in letters:
            for setting in ("", *SETTINGS):
                bounds = Bounds(Scope(setting) if setting else None)
                found = scope_of(frozenset({LETTERS[letter]}), gates[verb], bounds)
                by_hand[verb, letter, setting] = expected(verb, letter, setting)
                measured[verb, letter, setting] = str(found)
    assert by_hand == measured


def test_a_link_sees_its_own_study_only_whatever_is_set(gates):
    for verb in ("sharing.open_shared", "sharing.shared_report_pdf", "sharing.leave"):
        for role in (Role.PATIENT, Role.REFERRER):
            for setting in (None, *map(Scope, SETTINGS)):
                assert Scope.LINK is scope_of(frozenset({role}), gates[verb], Bounds(setting), by_link=True)


@pytest.mark.parametrize(
    ("roles", "verb", "scope"),
    [
        (("analyst", "radiologist"), "workflow.open_study", "site"),
        (("manager", "radiologist"), "workflow.reading_list", "all"),
        (("manager", "radiologist"), "reporting.sign", "site"),
        (("admin", "billing"), "billing.queue", "site"),
        (("admin", "billing"), "workflow.board", "all"),
        (("analyst", "transcriptionist"), "reporting.queue", "site"),
    ],
)
def test_of_several_roles_only_those_that_may_call_the_verb_widen_it(gates, roles, verb, scope):
    assert scope == scope_of(frozenset(map(Role, roles)), gates[verb], Bounds())
