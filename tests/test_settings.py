"""Settings come from the environment or a file; a wrong one is named in a sentence."""

from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import Unfit
from ops import demo_practice
from ops.settings import Settings, read, rules

ROOT = Path(__file__).parents[1]


def test_every_setting_is_described_and_listed():
    page = (ROOT / "docs" / "settings.md").read_text()
    assert [] == [
        name
        for name, field in Settings.model_fields.items()
        if not field.description or f"`SORG_{name.upper()}`" not in page
    ]


def test_without_any_setting_the_practice_is_local():
    found = read()
    assert (Path("var"), "", "127.0.0.1", "127.0.0.1", "simulator") == (
        found.home,
        found.database_url,
        found.console_host,
        found.gateway_host,
        found.switch,
    )


def test_a_setting_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("SORG_SHARE_DAYS", "14")
    assert timedelta(days=14) == rules(read())["share_lasts"]


def test_a_setting_comes_from_the_file_and_the_environment_wins(monkeypatch, tmp_path):
    file = tmp_path / "sorg.env"
    file.write_text("# our practice\nSORG_SHARE_DAYS=3\nSORG_ORTHANC_AET=KLINIEK\n", encoding="utf-8")
    monkeypatch.setenv("SORG_SETTINGS", str(file))
    monkeypatch.setenv("SORG_SHARE_DAYS", "5")
    assert (5, "KLINIEK") == (read().share_days, read().orthanc_aet)


def test_a_settings_file_that_is_not_there_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("SORG_SETTINGS", str(tmp_path / "nowhere"))
    with pytest.raises(Unfit, match="SORG_SETTINGS names .*nowhere, which cannot be read"):
        read()


def test_every_wrong_setting_is_named_at_once(monkeypatch):
    for name, value in {"ORIGIN": "abc", "SHARE_DAYS": "0", "SWITCH": "fax", "CONSOLE_PORT": "http"}.items():
        monkeypatch.setenv(f"SORG_{name}", value)
    with pytest.raises(Unfit) as unfit:
        read()
    assert all(
        f"SORG_{name}: " in unfit.value.sentence
        for name in ("ORIGIN", "SHARE_DAYS", "SWITCH", "CONSOLE_PORT")
    )
    assert unfit.value.sentence.startswith("A setting is wrong.")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", "http://127.0.0.1:8600"),
        ("https://images.practice.example", "https://images.practice.example"),
        (" https://Images.Practice.Example:443/ ", "https://images.practice.example"),
        ("http://10.1.0.7:8600/", "http://10.1.0.7:8600"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_the_gateways_address_is_kept_as_browsers_write_it(said, meant):
    assert meant == rules(read(gateway_url=said))["gateway_url"]


@pytest.mark.parametrize(
    "said", ["images.practice.example", "https://", "ftp://x", "https://x/y", "https://x:port", "https://[x"]
)
def test_what_is_no_address_of_the_gateway_is_said(said):
    with pytest.raises(Unfit, match="SORG_GATEWAY_URL: .* is no address such as"):
        read(gateway_url=said)


def test_whoever_starts_a_practice_is_told_where_scanners_send(monkeypatch, tmp_path):
    monkeypatch.setenv("SORG_HOME", str(tmp_path))
    monkeypatch.setenv("SORG_ORTHANC_DICOM_PORT", "4343")
    assert "Scanners send to: 127.0.0.1:4343, AE title SORG" in demo_practice.welcome(read())
    monkeypatch.setenv("SORG_ORTHANC_URL", "http://pacs.example:8042")
    assert "Scanners" not in demo_practice.welcome(read())
