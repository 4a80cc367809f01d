"""The text of a report: tidied, cut into sections, compared word by word."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.rules.report_text import LONGEST, conclusion_of, differences, sections, tidy

WORDY = some.lists(some.sampled_from(["no", "fracture", " ", "\n", "left", "right", "\t", "Ḓuvha", "."])).map(
    "".join
)


@given(some.one_of(some.text(), WORDY), some.one_of(some.text(), WORDY))
@settings(max_examples=400)
def test_the_marks_hold_both_texts_whole(before, after):
    marks = differences(before, after)
    assert before == "".join(m.text for m in marks if m.kind in ("same", "removed"))
    assert after == "".join(m.text for m in marks if m.kind in ("same", "added"))


@given(WORDY)
def test_a_text_does_not_differ_from_itself(text):
    assert {"same"} >= {m.kind for m in differences(text, text)}


def test_what_changed_is_marked_as_words_and_a_changed_phrase_in_one_piece():
    marks = differences("There is no fracture of the left wrist.", "No fracture is seen in the right wrist.")
    assert [
        ("removed", "There is no fracture of"),
        ("added", "No fracture is seen in"),
        ("same", " the "),
        ("removed", "left"),
        ("added", "right"),
        ("same", " wrist."),
    ] == [(m.kind, m.text) for m in marks]


@pytest.mark.timeout(60)
def test_two_texts_of_the_longest_kind_with_nothing_in_common_are_compared():
    dice = random.Random(1)
    texts = [
        "".join(dice.choice(("no ", "left ", "right ", f"word{dice.random()} ")) for _ in range(20_000))[
            :LONGEST
        ]
        for _ in range(2)
    ]
    marks = differences(*texts)
    assert texts == [
        "".join(m.text for m in marks if m.kind in ("same", kind)) for kind in ("removed", "added")
    ]


@given(some.text())
def test_a_tidy_text_stays_as_it_is(text):
    assert tidy(text) == tidy(tidy(text))


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("12\v5 mm\f3\u20284\x855", "12\n5 mm\n3\n4\n5"),
        ("a  \n\n", "a"),
        ("a\x00b\x1b\ufeff", "ab"),
        ("Mu\u0308ller", "Müller"),
        ("a\tb", "a\tb"),
    ],
)
def test_line_ends_blanks_and_control_characters_are_put_in_order(typed, kept):
    assert kept == tidy(typed)


def test_sections_are_cut_at_headings_and_the_last_conclusion_counts():
    text = "Before.\nFINDINGS:\nClear.\nNo effusion.\n\nIMPRESSION\nOld.\nCONCLUSION\n\nNormal."
    assert (
        ("", "Before."),
        ("FINDINGS", "Clear.\nNo effusion."),
        ("IMPRESSION", "Old."),
        ("CONCLUSION", "Normal."),
    ) == (sections(text))
    assert "Normal." == conclusion_of(text)


@pytest.mark.parametrize(
    "text", ["", "FINDINGS\nClear.", "CONCLUSION\n", "conclusion\nNormal.", "CONCLUSION\n\n\n"]
)
def test_a_text_without_a_conclusion_has_none(text):
    assert "" == conclusion_of(text)
