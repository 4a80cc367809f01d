"""How a clone is set up: the locks, the scripts, the image."""

import configparser
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.fixtures.manners import PROGRAMS

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "deploy/setup").glob("*.sh"))


def test_the_python_lock_holds_digests_and_no_addresses():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pins = re.findall(r"^(\S+==\S+)((?:.*\\\n)*.*)", lock, re.M)
    assert len(pins) > 100
    assert [] == [pin for pin, rest in pins if "--hash=sha256:" not in rest]


def test_the_npm_lock_holds_digests_and_no_addresses():
    packages = json.loads((ROOT / "viewer/package-lock.json").read_text())["packages"]
    fetched = {name: package for name, package in packages.items() if name}
    assert [] == [name for name, package in fetched.items() if "resolved" in package]
    assert [] == [name for name, package in fetched.items() if "integrity" not in package]


def test_the_image_runs_only_setup_scripts_that_exist():
    dockerfile = (ROOT / "Dockerfile").read_text()
    steps = re.findall(r"^RUN (.*)$", dockerfile, re.M)
    called = [match[1] for step in steps if (match := re.fullmatch(r"sh (\S+)(?: run)?", step))]
    assert ["deploy/setup/viewer.sh", "deploy/setup/debian.sh", "deploy/setup/python.sh"] == called
    assert [] == [script for script in called if not (ROOT / script).is_file()]
    # The one step of the image's own makes the user that it runs as.
    assert [True] == [step.startswith("useradd ") for step in steps if not step.startswith("sh ")]


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci/run"], ids=lambda path: path.name)
def test_every_script_is_sound_shell(script):
    shell = "bash" if script.name == "run" else "sh"
    assert 0 == subprocess.run([shell, "-n", script]).returncode
    assert "set -eu" in script.read_text()


def test_make_alone_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()) - {"setup-test"}
    told = subprocess.run(["make", "-C", ROOT, "-s"], capture_output=True, text=True, check=True).stdout
    assert phony == set(re.findall(r"^  make (\w+) ", told, re.M))


def test_the_debian_packages_say_who_needs_them_and_why():
    lines = [
        line.split(maxsplit=3) for line in (ROOT / "deploy/setup/debian-packages").read_text().splitlines()
    ]
    packages = [line for line in lines if line[0] != "#"]
    assert [] == [line for line in packages if len(line) != 4]
    assert {group for _, group, _, _ in packages} == {"run", "test"}
    assert {need for _, _, need, _ in packages} == {"required", "optional"}


def test_every_program_that_a_test_needs_comes_with_a_package():
    lines = (ROOT / "deploy/setup/debian-packages").read_text().splitlines()
    assert set() == set(PROGRAMS) - {line.split()[0] for line in lines}


@pytest.fixture
def debian():
    """Call debian.sh with another list of packages, as somebody who is not root."""
    with tempfile.TemporaryDirectory() as folder:
        setup = shutil.copytree(ROOT / "deploy/setup", Path(folder) / "setup")
        os.chmod(folder, 0o755)

        def debian(packages: str) -> subprocess.CompletedProcess:
            (setup / "debian-packages").write_text(packages)
            nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
            return subprocess.run(
                ["sh", setup / "debian.sh", "run"], capture_output=True, text=True, **nobody
            )

        yield debian


def test_whoever_is_not_root_is_told_what_to_type(debian):
    done = debian("coreutils run required x\nno-such-package run required x\nnor-this test required x\n")
    assert 1 == done.returncode
    assert "sudo sh deploy/setup/debian.sh run" in done.stderr
    assert "It installs no-such-package." in done.stderr


def test_nothing_is_said_when_only_an_optional_package_or_none_is_missing(debian):
    for packages in (
        "coreutils run required x\n",
        "coreutils run required x\nno-such-package run optional x\n",
    ):
        done = debian(packages)
        assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_every_verb_module_has_its_place_in_the_import_contracts():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    placed = set(re.findall(r"\w+", contracts["importlinter:contract:core"]["layers"]))
    modules = {path.stem for path in (ROOT / "core").glob("[a-z]*.py")}
    assert set() == modules - placed
