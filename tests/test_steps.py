"""The life of a study against the table written out again by hand, and walks that never leave it."""

from hypothesis import given
from hypothesis import strategies as some

from core import workflow
from core.rules.roles import ROLES, Permission, Role
from core.rules.steps import FINAL, LOOKS, STEPS, UNREAD, Status, diagram, offers

# step: (from, to, permission, needs, starts)
BY_HAND = {
    "arrive": ("booked", "waiting", "order-arrive", "consent_recorded", ""),
    "cancel": ("booked waiting", "cancelled", "order-cancel", "", ""),
    "receive": ("booked waiting", "scanned", "images-receive", "", ""),
    "begin": ("scanned", "reporting", "report-write", "images_present", ""),
    "pass_on": ("reporting", "to-transcribe", "report-write", "text_present", ""),
    "skip": ("reporting", "proofreading", "report-write", "text_present", ""),
    "take": ("to-transcribe", "transcribing", "transcribe", "", ""),
    "put_back": ("transcribing", "to-transcribe", "transcribe", "lease_held", ""),
    "pass_back": ("transcribing", "proofreading", "transcribe", "lease_held text_present", ""),
    "return": ("proofreading", "to-transcribe", "report-write", "", ""),
    "sign": ("proofreading", "signed", "report-sign",
             "own_report text_present conclusion_present images_present proof_read", "attach_report"),
    "claim": ("signed rejected", "claimed", "claim-submit", "", ""),
    "refuse": ("claimed", "rejected", "claim-transmit", "", ""),
    "settle": ("claimed", "paid", "remittance-post", "", ""),
    "take_back": ("paid", "claimed", "remittance-post", "", ""),
}  # fmt: skip

# HL7 FHIR R4, DiagnosticReport.status (value set diagnostic-report-status).
FHIR_STATUSES = {
    "registered", "partial", "preliminary", "final", "amended", "corrected", "appended", "cancelled",
    "entered-in-error", "unknown",
}  # fmt: skip


def test_the_table_is_the_one_written_by_hand():
    assert BY_HAND == {
        name: (
            " ".join(s for s in Status if s in row.before),
            row.after,
            row.may,
            " ".join(row.needs),
            " ".join(row.starts),
        )
        for name, row in STEPS.items()
    }


def test_every_status_is_reached_from_the_booking():
    reached, before = {Status.BOOKED}, set()
    while reached != before:
        before = set(reached)
        reached |= {row.after for row in STEPS.values() if row.before & before}
    assert set(Status) == reached


def test_every_status_but_the_cancelled_leads_on():
    assert [Status.CANCELLED] == [s for s in Status if not any(s in row.before for row in STEPS.values())]


@given(some.lists(some.sampled_from(sorted(STEPS)), max_size=60), some.sets(some.sampled_from(Permission)))
def test_no_walk_leaves_the_table(names, may):
    status = Status.BOOKED
    for name in names:
        offered = offers(status, frozenset(may))
        if name in offered:
            assert STEPS[name].may in may and status in STEPS[name].before
            status = offered[name].after
        assert status in LOOKS


@given(some.lists(some.sampled_from(sorted(STEPS)), max_size=60))
def test_a_signed_report_is_never_open_again(names):
    status, was_final = Status.BOOKED, False
    for name in names:
        if status in STEPS[name].before:
            status = STEPS[name].after
        was_final = was_final or status in FINAL
        assert not was_final or status in FINAL


def test_nothing_is_final_without_the_signature():
    assert {"sign"} == {n for n, row in STEPS.items() if row.after in FINAL and not row.before <= set(FINAL)}


def test_every_status_has_a_look_of_its_own_and_a_report_status_of_fhir():
    assert set(Status) == set(LOOKS)
    assert len(LOOKS) == len({look.label for look in LOOKS.values()})
    assert {"neutral", "info", "busy", "warn", "good", "bad"} >= {look.tone for look in LOOKS.values()}
    assert FHIR_STATUSES >= {look.report_status for look in LOOKS.values()}
    assert {s for s in Status if LOOKS[s].report_status == "final"} == set(FINAL)
    assert set() == set(UNREAD) & set(FINAL)


def test_every_need_is_a_check_and_every_check_is_needed():
    assert {need for row in STEPS.values() for need in row.needs} == set(workflow.NEEDS)


def test_every_step_has_somebody_who_may_take_it_and_no_link_holder_is_among_them():
    for name, row in STEPS.items():
        holders = {role for role in Role if row.may in ROLES[role]}
        assert holders, name
        assert not holders & {Role.PATIENT, Role.REFERRER, Role.NOBODY}


def test_only_steps_without_text_images_signature_or_money_are_taken_by_a_click():
    assert ("arrive", "cancel") == workflow.BARE
    assert [] == [name for name in workflow.BARE if STEPS[name].starts]


def test_the_diagram_has_every_move_once():
    lines = diagram().splitlines()
    moves = [line for line in lines if ": " in line]
    assert sum(len(row.before) for row in STEPS.values()) == len(moves) == len(set(moves))
    assert "    cancelled --> [*]" in lines
