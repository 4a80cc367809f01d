"""The demo's images: real pictures, invented people."""

import io
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from pydicom import dcmread

from core.errors import Away
from core.rules.dicom_identity import Identity
from ops.demo_images import RECIPES, SAMPLES, as_file, make, send
from ops.orthanc_child import free_port

WHO = Identity("P-000123", "Nkosi-Müller^Thandô", date(1980, 2, 29), "F", "A26-000417", "2.25.4711")
WHEN = datetime(2026, 11, 24, 6, 15, tzinfo=UTC)


def everything_in(instance):
    return " ".join(str(e.value) for e in instance.iterall() if e.keyword != "PixelData")


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_is_a_picture_of_the_given_person_and_nobody_else(recipe):
    origin = dcmread(SAMPLES / RECIPES[recipe].sample)
    instances = [
        dcmread(io.BytesIO(as_file(i))) for i in make(recipe, WHO, taken_at=WHEN, referrer="Mokoena^Sipho")
    ]
    assert len(instances) == RECIPES[recipe].slices
    assert len({i.SOPInstanceUID for i in instances}) == len(instances)
    assert len({(i.StudyInstanceUID, i.SeriesInstanceUID) for i in instances}) == 1
    for instance in instances:
        assert (instance.PatientID, str(instance.PatientName)) == ("P-000123", "Nkosi-Müller^Thandô")
        assert (instance.PatientBirthDate, instance.PatientSex) == ("19800229", "F")
        assert (instance.AccessionNumber, instance.StudyInstanceUID) == ("A26-000417", "2.25.4711")
        assert (instance.StudyDate, instance.StudyTime[:4]) == ("20261124", "0815")
        assert instance.pixel_array.max() > instance.pixel_array.min()
        text = everything_in(instance)
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "SOPInstanceUID", "InstitutionName"):
            old = str(origin.get(keyword, ""))
            assert not old or old not in text
        assert not any(e.tag.is_private for e in instance)


@pytest.mark.needs("dicom3tools")
@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_conforms_to_the_standard(recipe, tmp_path):
    file = tmp_path / "image.dcm"
    file.write_bytes(as_file(make(recipe, WHO, taken_at=WHEN, slices=1)[0]))
    checked = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True)
    assert [line for line in checked.stderr.splitlines() if line.startswith("Error")] == []
    assert checked.returncode == 0


def test_the_same_call_makes_the_same_instances_and_salt_makes_others():
    first, again = (b"".join(map(as_file, make("ct", WHO, taken_at=WHEN, slices=3))) for _ in range(2))
    assert first == again
    other = make("ct", WHO, taken_at=WHEN, slices=3, salt="second run")
    assert other[0].SOPInstanceUID != make("ct", WHO, taken_at=WHEN, slices=3)[0].SOPInstanceUID


def test_slices_lie_apart_and_differ():
    one, two = make("ct", WHO, taken_at=WHEN, slices=2)
    assert two.ImagePositionPatient[2] - one.ImagePositionPatient[2] == pytest.approx(5.0)
    assert one.PixelData != two.PixelData


def test_large_slices_for_benchmarks():
    big = dcmread(io.BytesIO(as_file(make("ct", WHO, taken_at=WHEN, slices=1, size=512)[0])))
    assert big.pixel_array.shape == (512, 512)
    assert len(big.PixelData) == 512 * 512 * 2


def test_the_compressed_ones_stay_compressed():
    syntaxes = {r: make(r, WHO, taken_at=WHEN, slices=1)[0].file_meta.TransferSyntaxUID for r in RECIPES}
    assert syntaxes["ct_head_j2k"] == "1.2.840.10008.1.2.4.91"
    assert syntaxes["us_cine"] == "1.2.840.10008.1.2.4.50"


def test_a_person_without_a_date_of_birth():
    assert make("ct", replace(WHO, birth_on=None), taken_at=WHEN, slices=1)[0].PatientBirthDate == ""


def test_nobody_listening_is_away():
    with pytest.raises(Away):
        send(
            make("ct", WHO, taken_at=WHEN, slices=1),
            host="127.0.0.1",
            port=free_port(),
            aet="SORG",
            timeout_s=3,
        )
