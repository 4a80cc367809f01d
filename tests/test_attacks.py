"""Attacks that have no room of their own; docs/security-tests.md says where every other one is tried."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from core import people, signin
from core.errors import Away, WrongAnswer
from core.ports import Ports
from core.ports.directory import LocalAccounts
from core.ports.directory_ldap import LdapDirectory
from core.ports.ldap_kind import LdapConfig
from core.ports.ldap_wire import Credentials, Server
from core.rules.logins import problem_of
from core.rules.roles import Role
from core.store.work import system
from tests.fixtures.guests import Guest, newest
from tests.fixtures.house import PASSWORD, QUICK, open_test_house

# What a filter or a name of LDAP would read as more than a name; services/test_directory.py asks a real one for them.
FILTERS = ["*", "dr.*", "*)(uid=*))(|(uid=*", "x)(objectClass=*", "a\\2a", "recep\0tion", "reception)(cn=*", "cn=reception,dc=x",
           "reception,dc=x", "recep*", "\\72eception", "(", ")", "&", "|", "!", "=", "'; drop table person; --"]  # fmt: skip


@pytest.mark.parametrize("typed", FILTERS)
def test_what_ldap_would_read_as_a_filter_is_a_wrong_login_and_none_that_a_sheet_may_bring(house, typed):
    with pytest.raises(WrongAnswer, match="^That did not match"), house.does("nobody") as work:
        signin.check_password(work, login=typed, password=PASSWORD)
    assert problem_of(typed) is not None


@pytest.fixture
def hung(tmp_path: Path):
    """A practice whose only controller takes the call and says nothing; and its socket."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    listener.setblocking(False)
    (tmp_path / "ca.pem").write_bytes(CA.read_bytes())
    directory = LdapDirectory(
        LdapConfig(
            kind="ad",
            servers=(Server("127.0.0.1", tls_name="dc1.clinic.test", port=listener.getsockname()[1]),),
            base_dn="DC=clinic,DC=test",
            ca_file=tmp_path / "ca.pem",
            reader=Credentials("reader@clinic.test", "never asked for"),
        )
    )
    test = open_test_house(tmp_path / "home", ports=Ports(accounts=LocalAccounts(QUICK), directory=directory))
    yield test, listener
    directory.close()
    listener.close()
    test.house.engine.dispose()


CA = Path("/etc/ssl/certs/ca-certificates.crt")


def test_the_sealed_account_opens_while_the_directory_hangs_and_asks_it_nothing(hung):
    test, controller = hung
    with test.house.work(system()) as work:
        sealed = people.seal_break_glass(work, login="breakglass", password=PASSWORD)
    guest = Guest(test, "breakglass", sealed.person.id, sealed.secret, "10.7.7.7")
    opened = guest.enters(reason="Both controllers say nothing")
    assert {Role.ADMIN} == set(guest.behind(opened).roles)
    with pytest.raises(BlockingIOError):  # Nobody rang.
        controller.accept()
    # Somebody whom only the directory knows does ring there, and waits in vain.
    with pytest.raises((Away, WrongAnswer)):
        guest.says(login="dr.naidoo")
    assert controller.accept()[0].fileno() > 0
    assert "away" in newest(test)[0].facts["why"]
