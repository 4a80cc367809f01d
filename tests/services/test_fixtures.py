"""The servers that other tests stand on."""

import pydicom
import requests
from pydicom.data import get_testdata_file
from sqlalchemy import create_engine, inspect, text


def test_each_test_gets_an_empty_postgresql_database(postgres):
    engine = create_engine(postgres)
    with engine.begin() as connection:
        assert [] == inspect(connection).get_table_names()
        connection.execute(text("create table left_behind (n int)"))
    engine.dispose()


def test_a_database_goes_though_somebody_still_holds_a_connection(postgres_cluster, postgres):
    engine = create_engine(postgres)
    held = engine.connect()
    assert [] == inspect(held).get_table_names()
    # The fixture drops it after this line with the connection open.


def test_the_shared_orthanc_is_empty_when_asked_to_be(orthanc, clean_orthanc):
    ct = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    with open(ct.filename, "rb") as file:
        stored = requests.post(f"{orthanc.url}/instances", data=file, auth=orthanc.auth, timeout=30)
    assert "Success" == stored.json()["Status"]


def test_the_shared_orthanc_is_empty_again(clean_orthanc):
    def ask(path):
        return requests.get(clean_orthanc.url + path, auth=clean_orthanc.auth, timeout=30).json()

    assert [] == ask("/patients")
    assert [] == ask("/changes")["Changes"]


def test_a_desk_and_a_phone_see_pages_and_tell_what_went_wrong(page, phone, complaints):
    for device, width in ((page, 1440), (phone, 390)):
        device.set_content("<meta name=viewport content='width=device-width'><p>Goeie môre</p>")
        assert "Goeie môre" == device.locator("p").inner_text()
        assert width == device.evaluate("innerWidth")
    assert 3 == phone.evaluate("devicePixelRatio")
    phone.set_content("<button onclick=\"this.textContent = 'touched'\">Touch me</button>")
    phone.locator("button").tap()  # Playwright refuses it on a device without touch.
    assert "touched" == phone.locator("button").inner_text()
    assert [] == complaints
    page.evaluate("console.error('no picture')")
    page.evaluate("setTimeout(() => { throw new Error('no viewer') })")
    page.wait_for_timeout(50)
    assert ["no picture", "no viewer"] == complaints
