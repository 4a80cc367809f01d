"""The way to the schemes: both bodies of the switch, and what comes back through it."""

import multiprocessing
import os
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Away, Turned, Unfit
from core.ports.switch import FolderSwitch, Switch
from core.ports.switch_simulator import RULES, UNKNOWN_TARIFF, SwitchSimulator
from core.rules import claim_states, medclm, remittance
from core.rules.claim import Claim, ClaimLine, ClaimPatient, Member, Provider, Scheme
from core.rules.medclm import SwitchProfile
from core.rules.remittance import CO_PAYMENT, LEVY, Deduction, Money, Reason, Remittance, RemittanceLine

AT = datetime(2026, 1, 20, 8, 0, tzinfo=UTC)
PAID_ON = date(2026, 1, 27)
PROFILE = SwitchProfile()


def line(number=1, kind="tariff", code="65130", cents=54050, icd10=("R51",)):
    return ClaimLine(number, kind, code, "X-ray", Decimal(1), cents, icd10, f"t{number}")


def claim(number="INV-1", member="100200301", lines=(line(),), **more):
    made = Claim(
        number=number,
        account_no="ACC1",
        practice=Provider("0000000123456", "Ubuntu Radiology"),
        scheme=Scheme("Ubuntu Demo Medical Scheme", "99999"),
        member=Member(member, "Plantedname", "TJ"),
        patient=ClaimPatient("Plantedname", "Lerato", "L", date(1980, 1, 1), "F", "8001010000083", "01"),
        treating=Provider("0000000123457", "Dr P Pillay"),
        service_on=date(2026, 1, 5),
        accession=f"ACC-{number}",
        lines=tuple(lines),
    )
    return replace(made, **more)


def message(*claims, ref="R1"):
    return medclm.write_batch(claims, PROFILE, batch_no=1, prepared_at=AT, control_ref=ref)


@pytest.fixture
def switch(tmp_path):
    return SwitchSimulator(tmp_path / "sim", today=lambda: PAID_ON)


def send(switch, *claims, key=None):
    return switch.submit(message(*claims), key=key or claims[0].number + claims[0].correction)


def answers(switch, since=""):
    return [(r.claim_number, r.tracking, [one.status for one in r.lines]) for r in switch.poll(since)]


def paid(switch, since=""):
    return [
        (r.id, r.total_cents, [(one.claim_number, one.paid_cents) for one in r.lines])
        for r in switch.remittances(since)
    ]


# --- the simulator ---------------------------------------------------------------------------------------


def test_a_claim_is_answered_and_paid_to_the_cent(switch):
    lines = (line(), line(2, "modifier", "00093", -18017, ()), line(3, code="30110", cents=48230))
    receipt = send(switch, claim(lines=lines))
    assert (receipt.reference, receipt.duplicate) == ("SIM-000001", False)
    (response,) = switch.poll("")
    assert (response.practice_no, response.claim_number) == ("0000000123456", "INV-1")
    assert response.tracking == "Fully Processed"
    assert [(a.number, a.tracer, a.status, a.money.approved_cents) for a in response.lines] == [
        (1, "t1", "Approved", 54050),
        (2, "t2", "Approved", -18017),
        (3, "t3", "Approved", 48230),
    ]
    (payment,) = switch.remittances("")
    assert (payment.paid_on, payment.total_cents, payment.difference_cents) == (PAID_ON, 84263, 0)
    assert {one.status for one in payment.lines} == {"Paid"}


def test_the_same_submission_twice_never_doubles(switch):
    sent = message(claim())
    first, again = switch.submit(sent, key="k"), switch.submit(sent, key="k")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.reference == first.reference
    assert len(switch.poll("")) == 1
    assert paid(switch) == [("ERA-000001", 54050, [("INV-1", 54050)])]


def test_the_same_claim_in_a_new_envelope_never_doubles_either(switch):
    switch.submit(message(claim(), ref="R1"), key="k1")
    assert switch.submit(message(claim(), ref="R2"), key="k2").duplicate
    assert len(switch.poll("")) == 1


def test_another_message_under_the_same_key_is_turned_away(switch):
    switch.submit(message(claim()), key="k")
    with pytest.raises(Turned, match="same key"):
        switch.submit(message(claim("INV-2")), key="k")


def test_a_message_that_breaks_its_grammar_is_turned_away(switch):
    with pytest.raises(Turned, match="UNT counts"):
        switch.submit(message(claim()).replace(b"UNT+", b"UNT+9"), key="k")
    assert switch.poll("") == ()


def test_everything_is_still_there_after_a_restart(switch):
    send(switch, claim())
    assert paid(switch) == [("ERA-000001", 54050, [("INV-1", 54050)])]
    reborn = SwitchSimulator(switch.folder, today=lambda: PAID_ON)
    assert send(reborn, claim()).duplicate
    assert answers(reborn) == answers(switch)
    assert paid(reborn) == paid(switch)
    send(reborn, claim("INV-2"))
    assert answers(switch)[1][0] == "INV-2"


def test_a_submission_cut_off_by_a_crash_is_taken_when_it_comes_again(switch):
    send(switch, claim())
    journal = switch.folder / "journal.jsonl"
    whole = journal.read_bytes()
    for cut in range(0, len(whole), 37):
        journal.write_bytes(whole[:cut])
        reborn = SwitchSimulator(switch.folder, today=lambda: PAID_ON)
        send(reborn, claim())
        assert answers(reborn) == [("INV-1", "Fully Processed", ["Approved"])]
        assert len(journal.read_bytes().splitlines()) == 2


def _send_some(folder, numbers):
    switch = SwitchSimulator(Path(folder), today=lambda: PAID_ON)
    for number in numbers:
        send(switch, claim(f"INV-{number}"))


def test_two_processes_share_one_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_send_some, args=(tmp_path / "sim", range(n, n + 15))) for n in (0, 10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    switch = SwitchSimulator(tmp_path / "sim", today=lambda: PAID_ON)
    assert sorted(number for number, _, _ in answers(switch)) == sorted(f"INV-{n}" for n in range(25))


def test_poll_and_remittances_go_on_from_a_cursor(switch):
    send(switch, claim("INV-1"))
    cursor = switch.poll("")[-1].cursor
    assert switch.poll(cursor) == ()
    send(switch, claim("INV-2"))
    assert [r.claim_number for r in switch.poll(cursor)] == ["INV-2"]
    era = switch.remittances("")[-1].cursor
    assert switch.remittances(era) == ()


def test_nothing_personal_lies_in_the_simulators_folder(switch):
    for at, ending in enumerate([*RULES, "01"]):
        one = claim(f"INV-{at}", member=f"7654321{ending}", lines=(line(icd10=("S52.50", "W19.99")),))
        for _ in range(2):
            try:
                send(switch, one)
            except Away:
                continue
    switch.poll("000000000099")
    switch.remittances("")
    kept = b"".join(path.read_bytes() for path in switch.folder.rglob("*") if path.is_file())
    assert b"INV-3" in kept
    for personal in (
        b"Plantedname",
        b"Lerato",
        b"7654321",
        b"8001010000083",
        b"19800101",
        b"S52.50",
    ):
        assert personal not in kept
    # Four digits stand in some digest sooner or later, so the year is looked for in everything else.
    assert b"1980" not in re.sub(rb"\b[0-9a-f]{32,}\b", b"", kept)
    assert {oct(path.stat().st_mode)[-3:] for path in switch.folder.iterdir()} == {"600"}
    assert oct(switch.folder.stat().st_mode)[-3:] == "700"


# --- the simulator's rules, each row ---------------------------------------------------------------------


def test_00_an_unknown_member_is_rejected_with_its_reason(switch):
    send(switch, claim(member="100200300"))
    (response,) = switch.poll("")
    (answer,) = response.lines
    assert (response.tracking, answer.status, answer.money.approved_cents) == (
        "Fully Processed",
        "Rejected",
        0,
    )
    assert answer.money.shortfall == {"rate difference": 0, "levy": 0, "co-payment": 0, "rejected": 54050}
    assert answer.reasons == (Reason("Rejection", "Other", "SIM-MEMBER", "Unknown membership number"),)
    assert paid(switch) == []
    send(switch, claim(member="100200301", correction="RSV", original_number="INV-1"))
    assert answers(switch)[1] == ("INV-1", "Fully Processed", ["Approved"])


@pytest.mark.parametrize(
    ("ending", "shortfall", "approved"),
    [
        ("10", {"rate difference": 10810, "levy": 0, "co-payment": 0}, 43240),
        ("20", {"rate difference": 0, "levy": 0, "co-payment": 15000}, 39050),
        ("30", {"rate difference": 10810, "levy": 4324, "co-payment": 10000}, 28916),
    ],
)
def test_10_20_30_a_shortfall_is_split_into_its_causes(switch, ending, shortfall, approved):
    send(switch, claim(member="1002003" + ending))
    (response,) = switch.poll("")
    (answer,) = response.lines
    assert answer.status == "Adjusted"
    assert answer.money.shortfall == shortfall | {"rejected": 0}
    assert answer.money.approved_cents == approved == 54050 - sum(shortfall.values())
    assert answer.reasons
    assert paid(switch) == [("ERA-000001", approved, [("INV-1", approved)])]


def test_40_a_claim_is_pended_until_it_was_seen_to_be(switch):
    send(switch, claim(member="100200340"))
    assert answers(switch) == [("INV-1", "Received", ["Pended"])]
    assert answers(switch) == [("INV-1", "Received", ["Pended"])]
    assert paid(switch) == []
    assert answers(switch, since="000000000001") == [("INV-1", "Fully Processed", ["Approved"])]
    assert [answer[1] for answer in answers(switch)] == ["Received", "Fully Processed"]
    assert paid(switch) == [("ERA-000001", 54050, [("INV-1", 54050)])]


def test_50_money_paid_is_taken_back_by_negative_lines(switch):
    send(switch, claim(member="100200350"))
    assert paid(switch) == [("ERA-000001", 54050, [("INV-1", 54050)])]
    send(switch, claim("INV-2", lines=(line(cents=60000),)))
    assert paid(switch, since="000000000001") == [("ERA-000002", 5950, [("INV-1", -54050), ("INV-2", 60000)])]
    taken = switch.remittances("000000000001")[0].lines[0]
    assert taken.claw_back
    assert taken.reasons[0].code == "SIM-S59"
    assert len(paid(switch)) == 2


def test_70_the_switch_does_not_answer_at_first(switch):
    with pytest.raises(Away):
        send(switch, claim(member="100200370"))
    assert send(switch, claim(member="100200370")).duplicate is False
    assert answers(switch) == [("INV-1", "Fully Processed", ["Approved"])]


def test_80_a_failed_submission_may_be_sent_again(switch):
    send(switch, claim(member="100200380"), key="first")
    assert answers(switch) == [("INV-1", "Failed", [])]
    assert send(switch, claim(member="100200380"), key="second").duplicate is False
    assert answers(switch)[1] == ("INV-1", "Fully Processed", ["Approved"])


def test_90_an_answer_that_nobody_understands_is_kept_raw(switch):
    send(switch, claim(member="100200390"))
    (response,) = switch.poll("")
    assert (response.tracking, response.claim_number, response.raw) == ("", "", b"?? INV-1 ??")


def test_lines_are_judged_by_their_codes_and_modifiers_follow_their_tariff(switch):
    lines = (
        line(1, code=UNKNOWN_TARIFF),
        line(2, "modifier", "00093", -18017, ()),
        line(3, icd10=("S5",)),
        line(4, icd10=()),
        line(5, code="30110", cents=48230),
    )
    send(switch, claim(lines=lines))
    (response,) = switch.poll("")
    assert [(a.status, a.reasons[0].code if a.reasons else "") for a in response.lines] == [
        ("Rejected", "SIM-TARIFF"),
        ("Rejected", "SIM-FOLLOWS"),
        ("Invalid", "SIM-ICD10"),
        ("Invalid", "SIM-ICD10"),
        ("Approved", ""),
    ]
    assert paid(switch) == [("ERA-000001", 48230, [("INV-1", 48230)])]


def test_a_simulator_may_be_told_which_codes_its_schemes_know(tmp_path):
    switch = SwitchSimulator(
        tmp_path / "sim",
        today=lambda: PAID_ON,
        known_icd10={"R51"}.__contains__,
        known_tariff={"65130"}.__contains__,
    )
    send(switch, claim(lines=(line(1), line(2, icd10=("R52.9",)), line(3, code="30110"))))
    assert answers(switch) == [("INV-1", "Fully Processed", ["Approved", "Invalid", "Rejected"])]


def test_a_used_claim_number_or_service_is_rejected_as_a_duplicate(switch):
    send(switch, claim())
    send(switch, claim(lines=(line(cents=99),)), key="other")
    send(switch, claim("INV-2", accession="ACC-INV-1"))
    reasons = [r.lines[0].reasons[0].code if r.lines[0].reasons else "" for r in switch.poll("")]
    assert reasons == ["", "SIM-CLAIM", "SIM-SERVICE"]
    assert paid(switch) == [("ERA-000001", 54050, [("INV-1", 54050)])]


@pytest.mark.parametrize("paid_before", [True, False])
def test_an_amendment_reverses_the_whole_claim_and_processes_it_again(switch, paid_before):
    send(switch, claim())
    first = [54050] if paid_before else []
    assert [total for _, total, _ in paid(switch)] == [54050] if paid_before else True
    amended = claim(
        correction="ADJ", original_number="INV-1", lines=(line(cents=40000),), accession="ACC-INV-1"
    )
    send(switch, amended)
    send(switch, amended)
    totals = [total for _, total, _ in paid(switch)]
    assert totals == [*first, 40000 - sum(first)]
    assert sum(totals) == 40000


def test_a_credit_note_takes_everything_back(switch):
    send(switch, claim())
    assert sum(total for _, total, _ in paid(switch)) == 54050
    send(switch, claim("INV-1", correction="REV", original_number="INV-1"))
    assert switch.poll("")[1].lines[0].money.approved_cents == -54050
    assert sum(total for _, total, _ in paid(switch)) == 0
    send(switch, claim("INV-9", correction="REV", original_number="INV-7"))
    assert switch.poll("")[2].lines[0].reasons[0].code == "SIM-ORIGINAL"
    assert sum(total for _, total, _ in paid(switch)) == 0


def test_the_simulator_speaks_only_the_words_of_the_claim_standard(switch):
    for at, ending in enumerate(RULES):
        for attempt in range(2):
            try:
                send(switch, claim(f"INV-{at}", member=f"1002003{ending}"), key=f"{at}.{attempt}")
            except Away:
                continue
    switch.poll("000000000099")
    for response in switch.poll(""):
        assert response.tracking in ("", *claim_states.TRACKING)
        for answer in response.lines:
            assert answer.status in claim_states.ITEM
            assert all(reason.type in claim_states.REASON_TYPES for reason in answer.reasons)


def test_every_rule_of_the_simulator_is_in_the_documentation():
    page = (Path(__file__).parents[1] / "data" / "README.md").read_text()
    for ending, words in RULES.items():
        assert f"| {ending} | {words} |" in page


# --- the folders -----------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    for name in ("home", "out", "in"):
        (tmp_path / name).mkdir()
    return FolderSwitch(tmp_path / "out", tmp_path / "in", home=tmp_path / "home")


def drop(folders, name, content):
    part = folders.inbox / f"{name}.part"
    part.write_bytes(content)
    part.rename(folders.inbox / name)


def test_both_bodies_are_a_switch(folders, switch):
    bodies: list[Switch] = [folders, switch]
    for body in bodies:
        assert body.submit(message(claim()), key="k").duplicate is False
        assert body.submit(message(claim()), key="k").duplicate is True


def test_a_message_is_dropped_once_even_when_the_client_took_it_away(folders):
    receipt = folders.submit(message(claim()), key="INV/1")
    (file,) = folders.outbox.glob("*.edi")
    assert file.name == receipt.reference
    assert file.read_bytes() == message(claim())
    file.unlink()
    assert folders.submit(message(claim()), key="INV/1").duplicate
    assert list(folders.outbox.glob("*.edi")) == []
    with pytest.raises(Turned, match="same key"):
        folders.submit(message(claim("INV-2")), key="INV/1")
    folders.submit(message(claim("INV-2")), key="INV_1")
    assert len(list(folders.outbox.glob("*.edi"))) == 1


def test_a_broken_message_never_reaches_the_outbox(folders):
    with pytest.raises(Turned) as turned:
        folders.submit(b"UNB+'", key="k")
    assert turned.value.problems
    assert os.listdir(folders.outbox) == []


def test_missing_folders_mean_that_the_switch_is_away(folders):
    folders.inbox.rmdir()
    folders.outbox.rmdir()
    for ask in (
        lambda: folders.poll(""),
        lambda: folders.remittances(""),
        lambda: folders.submit(message(claim()), key="k"),
    ):
        with pytest.raises(Away):
            ask()


def test_messages_never_lie_where_everything_is_encrypted(tmp_path):
    with pytest.raises(Unfit, match="outside SORG_HOME"):
        FolderSwitch(tmp_path / "home" / "out", tmp_path / "in", home=tmp_path / "home")


ANSWER = (
    ",".join(remittance.ANSWER_COLUMNS)
    + "\r\n0000000123456,INV-1,Partly Processed,1,t1,Adjusted,540.50,432.40,0.00,100.00,Information,Other,R1,Scheme rate"
    + "\r\n0000000123456,INV-1,Partly Processed,2,t2,Pended,10.00,10.00,,,,,,"
    + "\r\n0000000123456,INV-2,Failed,,,,,,,,Rejection,PHISC,9,No such practice\r\n"
).encode()


def test_answers_come_from_the_inbox(folders):
    drop(folders, "a.answer.csv", ANSWER)
    first, second = folders.poll("")
    assert (first.claim_number, first.tracking) == ("INV-1", "Partly Processed")
    assert [(a.number, a.status, a.money) for a in first.lines] == [
        (1, "Adjusted", Money(54050, 43240, (Deduction(CO_PAYMENT, 10000),))),
        (2, "Pended", Money(1000, 1000)),
    ]
    assert (second.tracking, second.lines) == ("Failed", ())
    assert second.reasons == (Reason("Rejection", "PHISC", "9", "No such practice"),)
    assert folders.poll(second.cursor) == ()


PAYMENT = Remittance(
    "77", "", "GEMS", "0000000123456", PAID_ON, 43240 - 1000,
    (
        RemittanceLine("INV-1", 1, "t1", "Paid", Money(54050, 43240), (Reason("Information", "PHISC", "1", "Rate"),)),
        RemittanceLine("INV-0", 1, "t9", "Paid", Money(-1000, -1000)),
    ),
)  # fmt: skip


def test_remittances_come_from_the_inbox_and_what_does_not_add_up_is_shown_raw(folders):
    drop(folders, "a.remittance.csv", remittance.write_remittances([PAYMENT]))
    (found,) = folders.remittances("")
    assert replace(found, cursor="") == PAYMENT
    assert folders.poll("") == ()
    drop(
        folders, "b.remittance.csv", remittance.write_remittances([replace(PAYMENT, id="78", total_cents=1)])
    )
    assert folders.remittances(found.cursor) == ()
    (shown,) = folders.poll("")
    assert shown.tracking == ""
    assert "states 0.01, but its lines make 422.40" in shown.reasons[0].text
    assert b"78,GEMS" in shown.raw


@pytest.mark.parametrize("name", ["x.txt", "x.answer.csv", "x.remittance.csv", "x.edi"])
def test_a_file_that_cannot_be_read_is_kept_raw_and_shown_once(folders, name):
    drop(folders, name, b"\xff\x00 whatever")
    (shown,) = folders.poll("")
    assert (shown.tracking, shown.raw) == ("", b"\xff\x00 whatever")
    assert name in shown.reasons[0].text
    assert folders.remittances("") == ()
    assert folders.poll(shown.cursor) == ()


def test_a_file_still_being_copied_is_left_alone(folders):
    (folders.inbox / "a.answer.csv.part").write_bytes(ANSWER[:40])
    assert folders.poll("") == ()


# --- the remittance CSV ----------------------------------------------------------------------------------

AMOUNTS = st.integers(-(10**9), 10**9)
TEXT = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=12
)
LINES = st.builds(
    RemittanceLine,
    st.from_regex(r"INV-[0-9]{1,6}", fullmatch=True), st.integers(1, 999), TEXT,
    st.sampled_from(["Paid", "Adjusted"]),
    st.builds(
        lambda submitted, calculated, levy, copay: Money(
            submitted, calculated, tuple(Deduction(k, c) for k, c in ((LEVY, levy), (CO_PAYMENT, copay)) if c)
        ),
        AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS,
    ),
    st.lists(st.builds(Reason, st.sampled_from(claim_states.REASON_TYPES), st.sampled_from(["PHISC", "Other"]), TEXT, TEXT), max_size=1).map(tuple),
)  # fmt: skip


@given(st.lists(st.lists(LINES, min_size=1, max_size=4), max_size=3))
def test_a_remittance_that_is_written_can_be_read_again(batches):
    made = [
        Remittance(
            str(at), "", "GEMS", "0000000123456", PAID_ON, sum(one.paid_cents for one in lines), tuple(lines)
        )
        for at, lines in enumerate(batches)
    ]
    read = remittance.parse_remittances(remittance.write_remittances(made))
    assert read.refused == ()
    assert list(read.remittances) == made


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_what_is_approved_and_what_falls_short_make_up_what_was_submitted(submitted, calculated, levy, copay):
    money = Money(submitted, calculated, (Deduction(LEVY, levy), Deduction(CO_PAYMENT, copay)))
    assert money.approved_cents + sum(money.shortfall.values()) == submitted
    assert money.reversed().approved_cents == -money.approved_cents


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("432.40,0.00", "432.41,0.00", "calculated less levy and co-payment"),
        (",Paid,540.50", ",Sorted,540.50", "is not a status"),
        ("INV-1,1,", "INV-1,one,", "is not a line number"),
        ("INV-1,1,", ",1,", "claim's number is missing"),
        ("540.50", "much", "is not a rand amount"),
        ("2026-01-27", "27 January", "is not a day"),
        ("77,GEMS", ",GEMS", "number is missing"),
        ("422.40", "422.41", "must be the same on every row"),
    ],
)
def test_a_remittance_with_a_bad_row_is_refused_whole_and_the_other_is_taken(old, new, words):
    other = replace(PAYMENT, id="79")
    content = remittance.write_remittances([PAYMENT, other]).decode()
    assert old in content
    read = remittance.parse_remittances(content.replace(old, new, 1).encode())
    assert [one.id for one in read.remittances] == ["79"]
    assert words in " ".join(row.reason for row in read.refused)


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"\xff", remittance.write_remittances([PAYMENT]) + b'"'])
def test_a_file_that_is_no_remittance_is_refused_in_one_sentence(content):
    with pytest.raises(ValueError, match=r"\.$"):
        remittance.parse_remittances(content)
