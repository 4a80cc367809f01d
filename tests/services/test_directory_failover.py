"""A controller that is gone, hangs or comes back: sign-in goes on with the other, and nobody waits for ever."""

import gc
import socket
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from core.errors import Away
from core.ports.directory import AccountState, Verdict
from core.ports.directory_ldap import LdapDirectory
from core.ports.ldap_wire import ADDRESS_KEPT_S, BREAKER_S, IDLE_MOST, IDLE_MOST_S, TOTAL_S, Server

pytestmark = pytest.mark.filterwarnings(
    "error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"
)


class Clock:
    """Runs on with the machine's; a test may put it forward."""

    def __init__(self) -> None:
        self.forward_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.forward_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(samba, clock):
    """The two controllers, the first of them asked first, and no connection open yet."""
    directory = LdapDirectory(samba.config(), clock=clock)
    yield directory
    directory.close()


@pytest.fixture
def asked(caplog):
    """The servers that did not answer, in the order in which they were tried."""

    def told() -> list[str]:
        said = [record.getMessage() for record in caplog.records if record.name == "sorg.directory"]
        caplog.clear()
        return [line.split()[0] for line in said if "does not answer" in line]

    return told


def signs_in(directory: LdapDirectory, password: str) -> Verdict:
    return directory.password_is_right(directory.find("dr.naidoo"), password).verdict


def seconds_of(question) -> float:
    begun_s = time.monotonic()
    question()
    return time.monotonic() - begun_s


def test_with_the_first_controller_gone_the_second_answers(samba, directory, asked):
    samba.first.stop()
    assert Verdict.RIGHT is signs_in(directory, samba.password)
    # The breaker keeps the first out of the questions that follow: one refusal for three of them.
    assert ["dc1.clinic.test"] == asked()
    assert Verdict.WRONG is signs_in(directory, "wrong")
    assert [] == asked()


def test_a_controller_that_hangs_is_left_after_two_seconds_and_not_asked_again(samba, directory, asked):
    samba.first.hang()
    first_s = seconds_of(lambda: signs_in(directory, samba.password))
    then_s = min(seconds_of(lambda: signs_in(directory, samba.password)) for _ in range(3))
    assert ["dc1.clinic.test"] == asked()
    assert then_s < first_s / 2


def test_a_controller_that_begins_to_hang_between_two_questions_is_left_too(samba, directory, asked):
    entry = directory.find("dr.naidoo")
    samba.first.hang()
    assert Verdict.RIGHT is directory.password_is_right(entry, samba.password).verdict
    assert entry == directory.look_up(entry.id)
    assert ["dc1.clinic.test"] == asked()


def test_when_both_hang_it_is_said_within_the_time_and_wrong_passwords_open_nothing(samba, directory, asked):
    entry = directory.find("dr.naidoo")
    for controller in samba.processes:
        controller.hang()
    begun_s = time.monotonic()
    with pytest.raises(Away, match="does not answer just now. Try again in a minute"):
        directory.password_is_right(entry, "wrong")
    # Twice the time, for a machine that is busy with other things.
    assert time.monotonic() - begun_s < 2 * TOTAL_S
    assert ["dc1.clinic.test", "dc2.clinic.test"] == asked()
    # From now on one of many callers waits, to see whether it is still so; the others are told at once.
    with ThreadPoolExecutor(10) as pool:
        waited = sorted(pool.map(lambda _: _seconds_until_away(directory), range(10)))
    assert waited[4] < waited[-1] / 2
    for controller in samba.processes:
        controller.wake()
    assert Verdict.WRONG is directory.password_is_right(entry, "wrong").verdict


def test_when_both_are_gone_it_is_away_until_one_is_back(samba, directory):
    assert directory.answers()
    for controller in samba.processes:
        controller.stop()
    assert not directory.answers()
    for question in (
        lambda: directory.find("dr.naidoo"),
        lambda: directory.search_people("naidoo"),
        lambda: directory.search_groups("pacs"),
        lambda: directory.create(login="away.one", name="Away", email="", password="Nuwe-Wagwoord-2026"),
    ):
        with pytest.raises(Away):
            question()
    samba.second.start()
    # At once, though its breaker is open: with nobody else to ask, it is tried.
    assert directory.answers()
    assert Verdict.RIGHT is signs_in(directory, samba.password)
    assert directory.find("away.one") is None


def test_the_first_controller_is_asked_again_when_its_breaker_closes(samba, directory, clock, asked):
    samba.first.stop()
    directory.find("dr.naidoo")
    assert ["dc1.clinic.test"] == asked()
    samba.first.start()
    samba.second.stop()
    clock.forward_s += BREAKER_S + 1
    assert Verdict.RIGHT is signs_in(directory, samba.password)
    assert [] == asked()


def test_whoever_was_disabled_meanwhile_is_out_when_the_directory_is_back(samba, directory):
    samba.add_user("gone.soon")
    entry = directory.find("gone.soon")
    assert Verdict.RIGHT is directory.password_is_right(entry, samba.password).verdict
    for controller in samba.processes:
        controller.stop()
    samba.disable("gone.soon")
    with pytest.raises(Away):
        directory.look_up(entry.id)
    samba.mend()
    assert AccountState.DISABLED is directory.look_up(entry.id).state
    assert Verdict.REFUSED is directory.password_is_right(entry, samba.password).verdict


def test_a_connection_that_the_server_closed_is_opened_again_unseen(samba, directory, asked):
    directory.find("dr.naidoo")
    samba.first.stop()
    samba.first.start()
    assert directory.find("dr.naidoo") is not None
    assert [] == asked()


def _seconds_until_away(directory: LdapDirectory) -> float:
    begun_s = time.monotonic()
    with pytest.raises(Away):
        directory.find("dr.naidoo")
    return time.monotonic() - begun_s


def test_a_change_that_breaks_off_is_not_repeated_on_the_other_controller(samba, directory):
    entry = directory.find("t.petersen")
    hung = threading.Event()
    replace = type(directory._kind).set_enabled

    def hang_before_the_change(self, session, row, *, enabled):
        samba.first.hang()
        hung.set()
        replace(self, session, row, enabled=enabled)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(directory._kind), "set_enabled", hang_before_the_change)
        with pytest.raises(Away, match="broke off during a change. Look whether it was made"):
            directory.set_enabled(entry.id, enabled=False)
    assert hung.is_set()
    samba.first.stop()
    assert AccountState.OK is directory.look_up(entry.id).state
    samba.first.start()
    samba.enable("t.petersen")


# The name server is away as well: often it is the same machine.


@pytest.fixture
def names(samba, monkeypatch):
    """What the name server tells, until it hangs."""
    known = {controller.name: controller.address for controller in samba.processes}
    hanging, released = threading.Event(), threading.Event()
    asked_really = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **named):
        if host in known and hanging.is_set():
            released.wait(60)
        return asked_really(known.get(host, host), port, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield hanging
    released.set()


def by_name(samba, clock) -> LdapDirectory:
    servers = tuple(Server(controller.name, port=controller.port) for controller in samba.processes)
    return LdapDirectory(samba.config(servers=servers), clock=clock)


def test_an_address_once_known_serves_while_the_name_server_hangs(samba, clock, names):
    directory = by_name(samba, clock)
    assert Verdict.RIGHT is signs_in(directory, samba.password)
    names.set()
    clock.forward_s += ADDRESS_KEPT_S + 1
    assert Verdict.RIGHT is signs_in(directory, samba.password)
    directory.close()


def test_a_name_that_was_never_known_keeps_nobody_waiting(samba, clock, names):
    names.set()
    directory = by_name(samba, clock)
    with pytest.raises(Away):
        directory.find("dr.naidoo")


# No socket stays open.


def open_sockets(samba) -> int:
    addresses = {controller.address for controller in samba.processes}
    return sum(
        bool(one.raddr) and one.raddr.ip in addresses for one in psutil.Process().net_connections(kind="tcp")
    )


def test_nothing_stays_open_but_what_is_kept_warm(samba, directory, clock):
    entry = directory.find("dr.naidoo")
    for password in (samba.password, "wrong", ""):
        directory.password_is_right(entry, password)
    assert 1 == open_sockets(samba)
    with ThreadPoolExecutor(20) as pool:
        assert {entry} == set(pool.map(lambda _: directory.find("dr.naidoo"), range(60)))
    assert 1 <= open_sockets(samba) <= IDLE_MOST
    # What lay idle for long is not trusted any more: firewalls drop it without a word.
    clock.forward_s += IDLE_MOST_S + 1
    directory.find("dr.naidoo")
    assert 1 == open_sockets(samba)
    directory.close()
    assert 0 == open_sockets(samba)


def test_a_search_that_takes_too_long_sends_nobody_to_another_controller(
    samba, directory, asked, monkeypatch
):
    entry = directory.find("dr.naidoo")
    monkeypatch.setattr("core.ports.ldap_wire.LIST_RECEIVE_S", 0.001)
    with pytest.raises(Away):
        directory.search_people("", most=5_000)
    assert ["dc1.clinic.test", "dc2.clinic.test"] == asked()
    samba.second.stop()
    assert entry == directory.find("dr.naidoo")
    assert [] == asked()


def test_failures_leave_no_socket_behind(samba, directory):
    samba.first.stop()
    samba.second.hang()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(Away):
            directory.find("dr.naidoo")
        gc.collect()
    assert [] == [str(one.message) for one in told if one.category is ResourceWarning]
    assert 0 == open_sockets(samba)


def test_eight_people_sign_in_at_once(samba, directory):
    with ThreadPoolExecutor(20) as pool:
        words = [samba.password, "wrong"] * 4
        found = list(pool.map(lambda word: signs_in(directory, word), words))
    assert [Verdict.RIGHT, Verdict.WRONG] * 4 == found


def test_a_session_is_never_a_bound_connection_of_a_person(samba, directory):
    entry = directory.find("dr.naidoo")
    directory.password_is_right(entry, samba.password)
    kept = [connection.user for idle in directory._wire._idle.values() for connection, _ in idle]
    assert [samba.config().reader.user] == kept
