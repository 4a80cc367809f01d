"""Orthanc as our child: real Debian package, real sockets."""

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from core.errors import Unfit
from ops import orthanc_child
from ops.orthanc_child import OrthancChild, build_guard, free_port, listening

pytestmark = pytest.mark.needs("orthanc")
PASSWORD = "a password made for this test"


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    with OrthancChild(tmp_path_factory.mktemp("orthanc"), password=PASSWORD) as running:
        yield running


def wait_for(condition, timeout_s=90):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_answers_its_own_password_only(child):
    assert requests.get(f"{child.url}/system", timeout=60).status_code == 401
    assert requests.get(f"{child.url}/system", auth=child.auth, timeout=60).status_code == 200


def test_both_ports_listen_on_the_loopback_address_only(child):
    assert {child.http_port: {"127.0.0.1"}, child.dicom_port: {"127.0.0.1"}} == listening(child.pid)


def test_the_file_with_the_password_is_for_its_owner_only(child):
    assert stat.S_IMODE(child.config_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(child.home.stat().st_mode) == 0o700
    assert PASSWORD not in " ".join(Path(f"/proc/{child.pid}/cmdline").read_text().split("\0"))
    assert PASSWORD not in Path(f"/proc/{child.pid}/environ").read_text()


def test_dicomweb_is_loaded_and_lua_is_not(child):
    assert "dicom-web" in requests.get(f"{child.url}/plugins", auth=child.auth, timeout=60).json()
    answer = requests.post(f"{child.url}/tools/execute-script", auth=child.auth, data="print(1)", timeout=60)
    assert answer.status_code == 403


def test_starting_twice_keeps_the_one_process(child):
    before = child.pid
    assert before == child.start().pid


def test_a_busy_port_is_said_in_a_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unfit, match=f"Port {port}, meant for Orthanc's DICOM, is in use"):
            OrthancChild(tmp_path, dicom_port=port, password=PASSWORD).start()


def test_a_missing_program_is_said_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(orthanc_child, "BINARIES", ())
    with pytest.raises(Unfit, match="apt-get install orthanc"):
        OrthancChild(tmp_path, password=PASSWORD).start()


def test_a_setting_that_orthanc_refuses_is_said_and_leaves_nothing_running(tmp_path):
    child = OrthancChild(tmp_path, password=PASSWORD, extra_settings={"DicomAet": 7})
    with pytest.raises(Unfit, match="ended while it was starting"):
        child.start()
    assert child.pid is None


def test_an_orthanc_that_escapes_the_guard_is_stopped(tmp_path):
    guard = build_guard(tmp_path)
    guard.unlink()
    subprocess.run(["gcc", "-shared", "-o", guard, "-x", "c", "/dev/null"], check=True)
    child = OrthancChild(tmp_path, password=PASSWORD)
    with pytest.raises(Unfit, match="could not be confined"):
        child.start()
    assert not child.alive()


def test_the_network_is_reached_only_with_a_list_of_scanners(tmp_path):
    with pytest.raises(Unfit, match="list of scanners"):
        OrthancChild(tmp_path, password=PASSWORD, dicom_address="0.0.0.0").start()
    scanners = {"CT1": ("CT1", "192.0.2.7", 104)}
    with OrthancChild(tmp_path, password=PASSWORD, dicom_address="0.0.0.0", modalities=scanners) as open_one:
        assert {"127.0.0.1"} == listening(open_one.pid)[open_one.http_port]
        assert {"0.0.0.0"} == listening(open_one.pid)[open_one.dicom_port]


def test_a_fallen_orthanc_is_started_again_on_the_same_ports_but_not_after_stop(tmp_path):
    child = OrthancChild(tmp_path, password=PASSWORD).start()
    url, first = child.url, child.pid
    assert child.watch_once() == "up"
    child.kill()
    assert child.pid is None
    assert child.watch_once() == "restarted"
    assert (url, True) == (child.url, child.pid != first)
    child.kill()
    assert child.watch_once() == "waiting"
    child.stop()
    assert child.watch_once() == "stopped"


def test_stop_returns_when_the_process_and_its_ports_are_gone(tmp_path):
    child = OrthancChild(tmp_path, password=PASSWORD).start()
    pid = child.pid
    child.stop()
    assert gone(pid)
    for port in (child.http_port, child.dicom_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def test_the_child_dies_with_a_parent_that_is_killed(tmp_path):
    script = (
        "import sys, threading, time, pathlib\n"
        "from ops.orthanc_child import OrthancChild\n"
        f"child = OrthancChild(pathlib.Path({str(tmp_path)!r}), password='p' * 20)\n"
        "starter = threading.Thread(target=child.start); starter.start(); starter.join()\n"
        "time.sleep(0.5)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        try:
            told = parent.stdout.readline().strip()
            assert told.isdigit(), "a starter thread that ends must not take Orthanc with it"
            os.kill(int(told), 0)
        finally:
            parent.kill()
    wait_for(lambda: gone(int(told)))


def test_free_ports_are_free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free_port()))
