"""At rest everything is sealed: what a patient said is in no file of SORG_HOME, the write-ahead log included."""

import os

import pytest

from core import patients, reporting, signin, workflow
from core.errors import WrongAnswer
from tests.fixtures.house import PASSWORD, TestHouse, book_thando
from tests.fixtures.sealed import assert_sealed
from tests.flows.test_reporting import scan

TEXT = "FINDINGS\nKiewietsvlei-fraktuur van die linkerpols.\n\nCONCLUSION\nDistale radiusfraktuur."
PLANTED = (
    "Nkosi-Müller", "Thandô", "Thando", "muller", "8001010009082", "082 555 0101", "0825550101", "00912345",
    "thando@example.org", "Kiewietsvlei", "radiusfraktuur", "Headache for two weeks", "Dr Amahle van der Merwe",
    "het gister self gebel", "Radiologist Person", "MP 0123456", PASSWORD,
)  # fmt: skip


def live(test: TestHouse) -> list[str]:
    """A patient's day through the verbs, a sealed document, and refusals; the secrets that came up on the way."""
    patient, study = book_thando(
        test, identity_kind="sa-id", identity_number="8001010009082", email="thando@example.org"
    )
    test.do(
        "reception",
        patients.record_consent,
        patient,
        purpose="share",
        given=False,
        how="verbal",
        note="Sy het gister self gebel.",
    )
    test.do("reception", patients.find, search="Nkosi-Müller 0825550101")
    test.do("reception", workflow.arrive, study)
    scan(test, study)
    test.do("radiologist", reporting.begin, study)
    draft = test.do("radiologist", reporting.skip_transcription, study, text=TEXT, based_on=None)
    signed = test.do(
        "radiologist", reporting.sign, study, text=TEXT, based_on=draft, code=test.code("radiologist")
    )
    test.house.blobs.put(test.house.new_id(), TEXT.encode(), kind="report", owner=signed)
    token = test.do("nobody", signin.check_password, login="radiologist", password=PASSWORD)
    session = test.do("nobody", signin.check_code, token=token, code=test.code("radiologist"))
    with pytest.raises(WrongAnswer):
        test.do("nobody", signin.check_password, login="Nkosi-Müller", password="thando@example.org")
    return [token, session, *test.secrets.values()]


def test_nothing_that_was_planted_is_found_in_any_file_while_the_practice_is_open(house):
    secrets = live(house)
    files = {path.name for path in house.folder.rglob("*") if path.is_file()}
    assert {"sorg.db", "sorg.db-wal", "keyring.json"} <= files
    assert_sealed(house.folder, (*PLANTED, *secrets))


def test_nothing_is_found_after_it_was_closed_either(house):
    secrets = live(house)
    house.house.engine.dispose()
    assert_sealed(house.folder, (*PLANTED, *secrets))


def test_the_keys_themselves_are_in_no_file_but_the_wrapping_one(house):
    live(house)
    keys = house.house.keys.keys.values()
    assert_sealed(house.folder, [key.hex() for key in keys])
    for path in house.folder.rglob("*"):
        assert not path.is_file() or not any(key in path.read_bytes() for key in keys)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "latin-1"])
def test_the_search_itself_finds_a_word_in_every_encoding(tmp_path, encoding):
    (tmp_path / "log").write_bytes(os.urandom(5_000_000) + "NKOSI-Müller".encode(encoding) + os.urandom(1000))
    with pytest.raises(AssertionError, match="in log"):
        assert_sealed(tmp_path, ["Nkosi-Müller"])


def test_the_search_finds_a_word_across_the_pieces_it_reads(tmp_path):
    (tmp_path / "log").write_bytes(b"\0" * ((4 << 20) - 3) + b"Kiewietsvlei")
    with pytest.raises(AssertionError, match="Kiewietsvlei"):
        assert_sealed(tmp_path, ["Kiewietsvlei"])


def test_the_search_looks_at_names_of_files_and_leaves_orthancs_folder_aside(tmp_path):
    (tmp_path / "orthanc").mkdir()
    (tmp_path / "orthanc" / "image").write_text("Kiewietsvlei")
    (tmp_path / "other").write_text("nothing")
    assert_sealed(tmp_path, ["Kiewietsvlei"])
    (tmp_path / "Kiewietsvlei.pdf").write_text("nothing")
    with pytest.raises(AssertionError, match="in the name"):
        assert_sealed(tmp_path, ["Kiewietsvlei"])
