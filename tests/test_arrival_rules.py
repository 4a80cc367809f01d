"""What comes in: what is kept of its headers, the orders it may be for, and the images as a viewer lists them."""

import doctest
from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from core.rules import arrivals, image_set, problems
from core.rules.arrivals import Candidate, Order, SeenIdentity
from core.rules.dicom_identity import ENCAPSULATED_PDF, Identity, InstanceHeader, image_set_digest
from core.rules.problems import Problem
from core.rules.steps import Status

WHO = Identity("P-000123", "Nkosi-Müller^Thandô", date(1980, 2, 29), "F", "A26-000417", "1.2.3")
ORDER = Order(WHO, Status.WAITING, None)
IMAGE = InstanceHeader(
    orthanc_id="a", sop_uid="1.2.3.4.1", sop_class="1.2.840.10008.5.1.4.1.1.2", study_uid="1.2.3",
    series_uid="1.2.3.4", patient_id="P-000123", patient_name="Nkosi-Müller^Thandô", birth_date="19800229", sex="F",
    accession="A26-000417", study_date="20261124", study_description="Chest", series_number=2, instance_number=1,
    series_description="Lung", modality="CT", rows=512, columns=512, transfer_syntax="1.2.840.10008.1.2.1",
)  # fmt: skip
REPORT = replace(
    IMAGE, orthanc_id="r", sop_uid="1.2.3.9.1", sop_class=ENCAPSULATED_PDF, series_uid="1.2.3.9", modality="DOC", rows=None,
)  # fmt: skip


def codes(found: tuple[Problem, ...]) -> list[str]:
    return [p.code for p in found]


def test_the_examples_in_the_docstrings_hold():
    assert 0 == doctest.testmod(image_set).failed


def test_what_is_kept_of_a_header_comes_back_and_the_rest_of_it_is_nothing_a_check_reads():
    kept = SimpleNamespace(**arrivals.as_columns(IMAGE))
    assert replace(IMAGE, study_description="") == arrivals.as_header(kept)
    assert IMAGE.is_image == arrivals.as_header(kept).is_image


def test_what_a_scanner_writes_without_end_is_kept_as_far_as_our_columns_go():
    kept = arrivals.as_columns(replace(IMAGE, patient_name="ô" * 300, sex="F" * 99))
    assert (200, 16) == (len(kept["patient_name"]), len(kept["sex"]))


def test_an_arrival_is_described_by_its_first_image_and_not_by_our_own_report():
    told = arrivals.summary([REPORT, IMAGE])
    assert (2, 1, "CT", "Chest") == (
        told["instance_count"],
        told["image_count"],
        told["modality"],
        told["description"],
    )
    assert image_set_digest([IMAGE]) == told["digest"]
    assert {"instance_count": 0, "image_count": 0, "digest": ""} == arrivals.summary([])


def test_the_commonest_way_of_naming_the_patient_comes_first():
    rows = [SimpleNamespace(**arrivals.as_columns(h)) for h in (replace(IMAGE, sex="M"), IMAGE, IMAGE)]
    assert [("F", 2), ("M", 1)] == [(way.sex, way.count) for way in arrivals.ways(rows)]
    assert (
        SeenIdentity("P-000123", "Nkosi-Müller^Thandô", "19800229", "F", "A26-000417", "1.2.3", 2)
        == (arrivals.ways(rows)[0])
    )


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, ("accession number", "Study UID", "patient number", "name and date of birth")),
        ({"accession": "X", "study_uid": "9", "patient_id": "Y"}, ("name and date of birth",)),
        ({"accession": "X", "study_uid": "9", "patient_id": "Y", "patient_name": "Botha^Piet"}, ()),
        ({"accession": "X", "study_uid": "9", "patient_id": "", "birth_date": "no date"}, ()),
    ],
)
def test_an_order_is_proposed_only_for_what_it_agrees_in(said, found):
    images = arrivals.said([replace(IMAGE, **said)])
    assert found == arrivals.why_proposed(WHO, images, has_earlier_images=False)
    assert (*found, "earlier images") == arrivals.why_proposed(WHO, images, has_earlier_images=True)


def test_images_that_name_no_order_say_what_they_name_and_whether_they_are_of_two_people():
    (alone,) = arrivals.no_order([replace(IMAGE, accession="")])
    assert (
        "The images carry no accession number, and no order has their Study UID.",
        "no_order",
    ) == (alone.sentence, alone.code)
    two = arrivals.no_order([IMAGE, replace(IMAGE, patient_name="Botha^Piet", accession="B7 ")])
    assert "“A26-000417, B7”" in two[0].sentence
    assert ["no_order", "names_mixed"] == codes(two)


def test_an_order_that_was_cancelled_or_has_other_images_takes_none():
    assert () == arrivals.closed_to(ORDER, "a")
    assert () == arrivals.closed_to(replace(ORDER, orthanc_id="a"), "a")
    shut = replace(ORDER, status=Status.CANCELLED, orthanc_id="b")
    assert ["order_cancelled", "order_has_images"] == codes(arrivals.closed_to(shut, "a"))
    assert ["order_cancelled", "order_has_images"] == codes(arrivals.against(shut, [IMAGE], "a"))


def test_another_patient_under_the_same_study_uid_is_told_and_the_same_one_is_not():
    assert ["study_uid_shared"] == codes(arrivals.shared_with([IMAGE], ["P-000999"]))
    assert () == arrivals.shared_with([IMAGE], ["P-000123"])


@pytest.mark.parametrize(
    ("state", "order", "is_anothers", "said"),
    [
        ("quarantined", Status.WAITING, False, ""),
        ("matched", Status.WAITING, False, "Only images that are held back"),
        ("quarantined", Status.WAITING, True, "another order already"),
        ("quarantined", Status.CANCELLED, False, "was cancelled"),
    ],
)
def test_who_gives_images_to_an_order_by_hand_is_told_why_not(state, order, is_anothers, said):
    why = arrivals.why_not_released(state, order, is_anothers=is_anothers)
    assert (bool(said), True) == (bool(why), said in why)


def test_the_likeliest_order_stands_first_and_a_long_list_is_cut():
    def order(number: int, why: tuple[str, ...], *found: Problem) -> Candidate:
        return Candidate(
            UUID(int=number),
            UUID(int=0),
            "",
            "",
            Status.WAITING,
            datetime(2026, 11, 24, tzinfo=UTC),
            "",
            "",
            date(1980, 2, 29),
            "F",
            why,
            found,
        )

    stop, mild = Problem("a", "A."), Problem("b", "B.", stop=False)
    ranked = arrivals.closest(
        [order(1, ("x",), stop), order(2, ("x",), mild), order(3, ("x", "y"), mild, mild)]
    )
    assert [3, 2, 1] == [c.study_id.int for c in ranked]
    assert arrivals.MOST_CANDIDATES == len(arrivals.closest(order(i, ("x",)) for i in range(99)))


def test_images_stand_in_the_series_of_their_first_one_and_keep_their_order():
    second = replace(IMAGE, series_uid="1.2.3.5", series_number=3, rows=None, columns=None)
    images = [(UUID(int=1), IMAGE), (UUID(int=2), second), (UUID(int=3), replace(IMAGE, instance_number=2))]
    lung, other = image_set.in_series(images)
    assert ("1.2.3.4", 2, "Lung", "CT") == (lung.id, lung.number, lung.description, lung.modality)
    assert [(1, 1), (3, 2)] == [(row.id.int, row.number) for row in lung.instances]
    assert (0, 0) == (other.instances[0].rows, other.instances[0].columns)


def test_a_study_was_taken_on_the_earliest_day_that_an_image_says():
    days = [replace(IMAGE, study_date=day) for day in ("", "20261325", "20261125", "20261124")]
    assert date(2026, 11, 24) == image_set.taken_on(days)
    assert image_set.taken_on(days[:2]) is None
    assert ("CT", "MR") == image_set.modalities([replace(IMAGE, modality="MR"), IMAGE, IMAGE])


def test_problems_come_back_from_their_row_and_are_told_once():
    found = (Problem("a", "A.", "sex"), Problem("b", "B.", stop=False))
    assert found == problems.from_json(problems.as_json(found))
    assert found == problems.each((*found, *found))
