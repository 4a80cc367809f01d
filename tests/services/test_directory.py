"""Who the staff are and whether a password is right: against a real Active Directory and a real OpenLDAP."""

import base64
import logging
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core.errors import Away, Missing, Refused, Turned, Unfit
from core.ports.directory import AccountState, Entry, Lockout, Verdict
from core.ports.directory_ldap import LdapDirectory
from core.ports.ldap_wire import (
    BASE,
    Credentials,
    Server,
    Session,
    StrictTls,
    Wire,
    format_sid,
    strict_context,
)
from ops.bench.directory_server import (
    BLIND,
    CROWD,
    GROUPS,
    PEOPLE,
    PEOPLE_DN,
    READER,
    STATES,
    UNSEEN,
    WRITER,
    Certificates,
    OpenLdapServer,
    SambaDomain,
    Trial,
)
from ops.opening import directory_servers, open_directory
from ops.settings import read

pytestmark = pytest.mark.filterwarnings(
    "error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"
)

EVIL = ("*", "dr.*", "*)(uid=*))(|(uid=*", "x)(objectClass=*", "dr.naidoo)(cn=*", "a\\2a", "\\2a", "dr.naidoo\0", "(", ")",
        "dr.naidoo\n", "", "   ", "d" * 257, "CLINIC\\*", "*@clinic.test", "CLINIC\\", "@clinic.test", "\udcff")  # fmt: skip
NEVER_SENT = ("", " ", "\t\n", "Goeie\0more", "x" * 5_000, "x" * 4_000_000, None)


@pytest.fixture(params=["samba", "openldap"])
def trial(request) -> Trial:
    """Each kind of directory in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def directory(request, trial) -> LdapDirectory:
    return request.getfixturevalue(f"{'samba' if isinstance(trial, SambaDomain) else 'openldap'}_directory")


@pytest.fixture
def somebody(request, trial):
    """A fresh account of this test's own: its login."""
    login = f"z{abs(hash(request.node.name)) % 10**9}.test"
    trial.add_user(login, "Somebody Else")
    return login


@pytest.fixture
def somebody_in_samba(request, samba):
    login = f"z{abs(hash(request.node.name)) % 10**9}.samba"
    samba.add_user(login, "Somebody Else")
    return login


def ids_of(directory: LdapDirectory, *names: str) -> set[str]:
    found = {group.name: group.id for group in directory.search_groups("", most=500)}
    return {found[name] for name in names}


# Who somebody is.


def test_every_spelling_of_a_login_is_one_identity(directory):
    spellings = (
        "dr.naidoo",
        "DR.NAIDOO",
        "dr.naidoo@clinic.test",
        "Dr.Naidoo@CLINIC.TEST",
        "CLINIC\\dr.naidoo",
    )
    spellings += ("clinic\\DR.naidoo", " dr.naidoo ")
    found = {directory.find(spelling) for spelling in spellings}
    assert 1 == len(found)
    [entry] = found
    assert ("dr.naidoo", PEOPLE["dr.naidoo"], AccountState.OK) == (entry.login, entry.name, entry.state)
    assert entry == directory.look_up(entry.id)


def test_an_account_of_another_domain_is_not_ours(directory):
    assert [None, None] == [directory.find("OTHER\\dr.naidoo"), directory.find("dr.naidoo@other.test")]


def test_the_short_name_of_the_domain_is_the_directorys_own_word(samba, samba_directory):
    kind = samba_directory._kind
    assert "CLINIC" == samba_directory._wire.asking(kind._netbios)


def test_names_keep_their_letters(directory):
    assert "Zoë Fouché-Müller" == directory.find("dr.fouche").name
    assert ["Hélène Janse van Rensburg-Venter"] == [found.name for found in directory.search_people("Hélène")]


@pytest.mark.parametrize("text", EVIL)
def test_nothing_typed_is_a_wildcard_or_a_filter(directory, text):
    assert directory.find(text) is None
    if (
        text.strip() and text != "@clinic.test"
    ):  # Which is a part of everybody's address, and may be searched for.
        assert () == directory.search_people(text)
        assert () == directory.search_groups(text)
    assert directory.look_up(text) is None
    assert directory.group(text) is None


@pytest.mark.parametrize("text", ["", " ", None, "\0", "x\0", "x" * 257, "x" * 5_000, "\u202edr.naidoo"])
def test_what_no_name_can_be_is_not_asked_for(samba_directory, text, monkeypatch):
    monkeypatch.setattr(Wire, "_anywhere", _nobody_may_call)
    assert samba_directory.find(text) is None
    assert samba_directory.look_up(text) is None
    assert samba_directory.group(text) is None


def test_a_group_and_an_account_are_found_by_their_identity_only(directory):
    [group_id] = ids_of(directory, "Locums")
    assert directory.look_up(group_id) is None
    assert directory.group(directory.find("dr.naidoo").id) is None
    assert "Locums" == directory.group(group_id).name


def test_accounts_of_machines_and_groups_are_nobody(samba_directory):
    assert [None, None, None] == [
        samba_directory.find(name) for name in ("DC1$", "Locums", "CN=dr.naidoo," + PEOPLE_DN)
    ]


# Whether a password is right.


@pytest.mark.parametrize("login", ["dr.naidoo", "dr.fouche"])
def test_the_right_password_is_right_and_another_is_wrong(trial, directory, login):
    entry = directory.find(login)
    assert Verdict.RIGHT is directory.password_is_right(entry, trial.password).verdict
    assert Verdict.WRONG is directory.password_is_right(entry, trial.password + "x").verdict
    assert Verdict.WRONG is directory.password_is_right(entry, trial.password.swapcase()).verdict


# state -> what the right and a wrong password get, and the directory's reason for the right one
AD_ANSWERS = {
    "disabled": ("refused", "wrong", "data 533"),
    "expired": ("refused", "wrong", "data 701"),
    "locked": ("refused", "refused", "data 775"),
    "must-change": ("refused", "wrong", "data 773"),
    "password-expired": ("refused", "wrong", "data 532"),
    "outside-hours": ("refused", "wrong", "data 530"),
}
OPENLDAP_ANSWERS = {
    "disabled": ("refused", "refused", "49, disabled"),
    "expired": ("refused", "refused", "49, expired"),
    "locked": ("refused", "refused", "49, locked"),
    "must-change": ("refused", "wrong", "bound, but must-change"),
    "password-expired": ("refused", "wrong", "49, policy error 0"),
}


def test_every_state_of_an_account_is_read_and_keeps_the_right_password_out(trial, directory):
    expected = AD_ANSWERS if isinstance(trial, SambaDomain) else OPENLDAP_ANSWERS
    found = {}
    for login, state in STATES.items():
        if state not in expected:
            continue
        entry = directory.find(login)
        assert state == entry.state
        right, wrong = (
            directory.password_is_right(entry, word) for word in (trial.password, "Not-the-password-1")
        )
        assert state == right.state
        found[state] = (right.verdict, wrong.verdict, right.reason)
    assert expected == found


def elsewhere(directory: LdapDirectory, login: str, *, wrong: int) -> None:
    """Wrong passwords typed at other doors of the practice: at Windows, at the mail."""
    dn = directory.find(login).dn
    for _ in range(wrong):
        directory._wire.bind(dn, "Not-the-password-1")


def test_no_spelling_brings_us_to_the_password_that_locks_and_one_locked_elsewhere_is_told_so(
    trial, directory, somebody
):
    spellings = (somebody, somebody.upper(), f"{somebody}@clinic.test", f"CLINIC\\{somebody}")
    verdicts = [
        directory.password_is_right(directory.find(spellings[number % 4]), "wrong").verdict
        for number in range(trial.locks_after + 2)
    ]
    assert [Verdict.WRONG] * (trial.locks_after - 1) + [Verdict.HELD] * 3 == verdicts
    assert AccountState.OK is directory.find(somebody).state
    elsewhere(directory, somebody, wrong=1)
    answer = directory.password_is_right(directory.find(somebody), trial.password)
    assert (Verdict.REFUSED, AccountState.LOCKED) == (answer.verdict, answer.state)
    trial.set_state(somebody, "ok")
    assert Verdict.RIGHT is directory.password_is_right(directory.find(somebody), trial.password).verdict


def test_somebody_is_known_by_the_directory_s_own_id_however_it_is_written_and_by_no_name(
    trial, directory, somebody
):
    entry = directory.find(somebody)
    wanted = UUID(entry.id)
    assert entry == directory.known_as(entry.id) == directory.known_as(f" {entry.id.upper()}")
    sid = directory._wire.asking(
        lambda session: session.only(entry.dn, "(objectClass=*)", ("objectSid",), scope=BASE)
    ).first("objectSid")
    others = {str(format_sid(sid)), base64.b64encode(wanted.bytes_le).decode()} if sid else set()
    assert {"ad": {entry}, "openldap": set()}[trial.kind] == {directory.known_as(one) for one in others}
    group = directory.search_groups("PACS-Admins")[0]
    wrong = (
        somebody,
        entry.email,
        entry.dn,
        group.id,
        str(uuid4()),
        "S-1-5-21-1-2-3-4",
        base64.b64encode(b"x" * 16).decode(),
    )
    assert {None} == {directory.known_as(one) for one in (*wrong, *EVIL)}


def test_what_was_wrong_elsewhere_counts_and_some_tries_are_left_for_others(trial, directory, somebody):
    elsewhere(directory, somebody, wrong=trial.locks_after - 3)
    entry = directory.find(somebody)
    assert trial.locks_after - 3 == entry.wrong_tries
    said = [directory.password_is_right(entry, "wrong", spare=spare) for spare in (1, 1, 0, 0)]
    assert [Verdict.WRONG, Verdict.HELD, Verdict.WRONG, Verdict.HELD] == [one.verdict for one in said]
    assert "held back: one more wrong password would lock the account there" == said[1].reason
    assert AccountState.OK is directory.find(somebody).state


def test_tries_sent_at_one_moment_do_not_lock_an_account_that_was_near_it(trial, directory, somebody):
    elsewhere(directory, somebody, wrong=trial.locks_after - 2)
    entry = directory.find(somebody)
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: directory.password_is_right(entry, "wrong").verdict, range(8)))
    assert [Verdict.HELD] * 7 + [Verdict.WRONG] == sorted(said)
    assert AccountState.OK is directory.find(somebody).state


def test_a_right_password_makes_the_directory_forget_the_wrong_ones(trial, directory, somebody):
    elsewhere(directory, somebody, wrong=trial.locks_after - 2)
    assert Verdict.RIGHT is directory.password_is_right(directory.find(somebody), trial.password).verdict
    assert not directory.find(somebody).wrong_tries


def test_the_limit_of_everybody_is_read_and_that_of_one_person(trial, directory, somebody):
    usual = Lockout(10, timedelta(minutes=30)) if trial.kind == "ad" else Lockout(5, None)
    assert usual == directory.find(somebody).lockout
    assert (("", usual),) == directory.lockouts()
    trial.add_limit("Night-Shift", somebody, most=4, minutes=60)
    try:
        if trial.kind == "ad":
            trial.show_limit("Night-Shift")
        asked_anew = LdapDirectory(trial.config())
        assert Lockout(4, timedelta(minutes=60)) == asked_anew.find(somebody).lockout
        assert ("Night-Shift", Lockout(4, timedelta(minutes=60))) in asked_anew.lockouts()
        # Active Directory names the domain's own; which one is OpenLDAP's default no reader sees: the strictest is taken.
        others = usual if trial.kind == "ad" else Lockout(4, None)
        assert others == asked_anew.find("dr.naidoo").lockout
        asked_anew.close()
    finally:
        trial.drop_limit("Night-Shift", somebody)


def test_settings_of_active_directory_that_the_reading_account_may_not_see_are_unknown(
    samba, somebody_in_samba
):
    samba.add_limit("Unseen", somebody_in_samba, most=4, minutes=60)
    directory = LdapDirectory(samba.config())
    try:
        assert None is directory.find(somebody_in_samba).lockout
        assert ("Unseen", None) in directory.lockouts()
    finally:
        directory.close()
        samba.drop_limit("Unseen", somebody_in_samba)


def test_a_directory_that_hides_what_it_counts_is_known_by_that(openldap):
    openldap.add_user("z.hidden.test", "Somebody Hidden")
    directory = LdapDirectory(openldap.config(reader=Credentials(openldap.dn_of(BLIND), openldap.password)))
    assert 0 == directory.find("z.hidden.test").wrong_tries
    assert Verdict.WRONG is directory.password_is_right(directory.find("z.hidden.test"), "wrong").verdict
    assert None is directory.find("z.hidden.test").wrong_tries
    directory.close()


def test_an_account_whose_id_is_not_shown_is_a_sentence(openldap):
    directory = LdapDirectory(openldap.config(reader=Credentials(openldap.dn_of(BLIND), openldap.password)))
    with pytest.raises(Turned, match="does not show our account the entryUUID"):
        directory.find(UNSEEN)
    directory.close()


def test_a_change_of_the_account_counts_from_the_next_question(trial, directory, somebody):
    entry = directory.find(somebody)
    assert Verdict.RIGHT is directory.password_is_right(entry, trial.password).verdict
    trial.disable(somebody)
    assert AccountState.DISABLED is directory.look_up(entry.id).state
    assert AccountState.DISABLED is directory.password_is_right(entry, trial.password).state
    trial.enable(somebody)
    trial.set_password(somebody, "Heeltemal-anders-7")
    assert Verdict.WRONG is directory.password_is_right(entry, trial.password).verdict
    assert Verdict.RIGHT is directory.password_is_right(entry, "Heeltemal-anders-7").verdict
    assert directory.look_up(entry.id).password_set_at >= entry.password_set_at


def test_a_name_that_now_belongs_to_another_account_opens_nothing(trial, directory, somebody):
    elsewhere = replace(directory.find("dr.naidoo"), dn=directory.find(somebody).dn)
    assert Verdict.WRONG is directory.password_is_right(elsewhere, trial.password).verdict


@pytest.mark.parametrize("password", NEVER_SENT, ids=lambda text: f"{len(text or '')} characters")
def test_a_blank_or_overlong_password_never_reaches_the_directory(
    samba, samba_directory, password, monkeypatch
):
    entry = samba_directory.find("dr.naidoo")
    monkeypatch.setattr(Wire, "_open", _nobody_may_call)
    assert Verdict.WRONG is samba_directory.password_is_right(entry, password).verdict


@pytest.mark.parametrize("user", ["", " ", None, "\0", "x" * 5_000])
def test_a_blank_or_overlong_user_is_no_anonymous_success(samba, samba_directory, user, monkeypatch):
    # Active Directory answers an unnamed bind with success, whatever the password.
    assert Verdict.WRONG is samba_directory.password_is_right(Entry("", "", "", dn=user), "whatever").verdict
    wire = samba_directory._wire
    with pytest.raises(Refused):
        wire.bind(user, "whatever")
    with pytest.raises(Unfit, match="SORG_DIRECTORY_USER and the file of its password may not be blank"):
        LdapDirectory(samba.config(reader=Credentials(user, samba.password)))


def _nobody_may_call(*args, **named):
    raise AssertionError("The directory was called.")


# Whom there is.


def test_more_people_than_a_server_tells_at_once_are_all_found(trial, directory):
    logins = {entry.login for entry in directory.search_people("", most=5_000)}
    assert {f"p{number:04}" for number in range(CROWD)} | set(PEOPLE) <= logins


def test_openldap_would_have_told_only_some_of_them(openldap, openldap_directory):
    def unpaged(session: Session) -> tuple[int, str]:
        session._connection.search(PEOPLE_DN, "(uid=*)", attributes=["uid"])
        return len(session._connection.entries), session._connection.result["description"]

    assert (500, "sizeLimitExceeded") == openldap_directory._wire.asking(unpaged)


def test_a_search_is_cut_where_asked_and_sorted_by_name(directory):
    found = directory.search_people("adams", most=20)
    assert 20 == len(found)
    assert sorted(entry.name.casefold() for entry in found) == [entry.name.casefold() for entry in found]
    assert ["dr.naidoo"] == [entry.login for entry in directory.search_people("dr.nai")]
    assert ["dr.fouche"] == [entry.login for entry in directory.search_people("müller")]
    assert ["m.venter"] == [entry.login for entry in directory.search_people("m.venter@clinic")]


def test_groups_are_searched_by_the_start_of_a_word(directory):
    found = directory.search_groups("pacs-")
    assert {name for name in GROUPS if name.startswith("PACS")} <= {group.name for group in found}
    assert ["Team-Chest"] == [group.name for group in directory.search_groups("chest")]
    assert {"clinic.test/Roles"} == {group.path for group in found}


def test_a_group_tells_how_many_it_holds(directory):
    [everybody] = ids_of(directory, "Everybody")
    assert CROWD == directory.group(everybody).members


def test_a_list_for_mail_is_no_group_that_could_give_a_role(samba_directory):
    assert () == samba_directory.search_groups("Newsletter")


# Which groups hold somebody.


def test_nested_groups_are_told_by_identity(directory):
    held = ids_of(directory, "Locums", "Team-Chest", "PACS-Radiologists")
    assert held <= directory.find("dr.naidoo").groups
    assert held & directory.find("dr.fouche").groups == ids_of(directory, "PACS-Radiologists")
    assert set() == held & directory.find("t.nel").groups


def test_one_of_a_thousand_is_known_to_be_in_the_group(directory):
    [everybody] = ids_of(directory, "Everybody")
    assert everybody in directory.find("p0999").groups


def test_groups_in_a_circle_come_to_an_end(openldap, openldap_directory):
    circle = ids_of(openldap_directory, *OpenLdapServer.CIRCLE)
    assert (
        circle | ids_of(openldap_directory, "PACS-Transcription") == openldap_directory.find("t.nel").groups
    )


def test_a_group_keeps_its_identity_under_another_name(trial, directory, somebody):
    trial.add_group("Old-Name", somebody)
    [group_id] = ids_of(directory, "Old-Name")
    trial.rename_group("Old-Name", "New-Name")
    assert "New-Name" == directory.group(group_id).name
    assert group_id in directory.find(somebody).groups


# What the delegated account changes.

GOOD_PASSWORD = "Nuwe-Wagwoord-2026"


def created(directory: LdapDirectory, login: str, name: str = "Ñandi Müller-Nel") -> Entry:
    return directory.create(login=login, name=name, email=f"{login}@clinic.test", password=GOOD_PASSWORD)


def test_a_new_account_is_whole_at_once(directory):
    entry = created(directory, "new.one")
    assert entry == directory.find("new.one")
    assert ("Ñandi Müller-Nel", "new.one@clinic.test", AccountState.OK) == (
        entry.name,
        entry.email,
        entry.state,
    )
    assert Verdict.RIGHT is directory.password_is_right(entry, GOOD_PASSWORD).verdict
    with pytest.raises(Refused, match="has an account NEW.one already"):
        created(directory, "NEW.one")


def test_an_account_with_a_refused_password_is_not_half_made(directory):
    with pytest.raises(Refused, match="does not accept this password"):
        directory.create(login="half.made", name="Half Made", email="", password="abc")
    assert directory.find("half.made") is None
    assert (
        Verdict.RIGHT is directory.password_is_right(created(directory, "half.made"), GOOD_PASSWORD).verdict
    )


def test_an_account_that_comes_out_unusable_is_taken_away_again(trial, directory, monkeypatch):
    monkeypatch.setattr(type(directory._kind), "_state", lambda *_: AccountState.DISABLED)
    with pytest.raises(Refused, match="but it is disabled; it was taken away again"):
        created(directory, "half.used")
    monkeypatch.undo()
    assert directory.find("half.used") is None


@pytest.mark.parametrize(
    "login", ["", "a b", "a,b", "x)(uid=*", "cn=admin", "admin*", "аdmin", "x" * 21, "x\0", "-x"]
)
def test_a_login_that_could_be_read_as_something_else_is_not_made(samba_directory, login):
    with pytest.raises(Refused, match="A login is 1 to 20 letters"):
        created(samba_directory, login)


def test_a_name_cannot_end_the_entry_it_stands_in(directory):
    entry = created(directory, "odd.name", name="Odd, OU=Roles + \\ # <Name>")
    assert "Odd, OU=Roles + \\ # <Name>" == directory.find("odd.name").name
    assert entry.dn.lower().endswith(PEOPLE_DN.lower())


def test_an_account_is_switched_off_and_on(trial, directory, somebody):
    entry = directory.find(somebody)
    directory.set_enabled(entry.id, enabled=False)
    assert AccountState.DISABLED is directory.look_up(entry.id).state
    assert Verdict.REFUSED is directory.password_is_right(entry, trial.password).verdict
    directory.set_enabled(entry.id, enabled=True)
    assert Verdict.RIGHT is directory.password_is_right(directory.look_up(entry.id), trial.password).verdict


def test_a_password_is_set_for_somebody_and_need_not_be_changed_again(trial, directory, somebody):
    entry = directory.find(somebody)
    directory.set_password(entry.id, "Nóg-een-Wagwoord-3")
    assert (
        Verdict.RIGHT
        is directory.password_is_right(directory.look_up(entry.id), "Nóg-een-Wagwoord-3").verdict
    )
    assert Verdict.WRONG is directory.password_is_right(entry, trial.password).verdict
    with pytest.raises(Refused, match="does not accept this password"):
        directory.set_password(entry.id, "abc")
    with pytest.raises(Refused, match="A password has 1 to 256 characters"):
        directory.set_password(entry.id, "")


def test_somebody_joins_and_leaves_a_group_however_often_it_is_said(directory, somebody):
    entry = directory.find(somebody)
    [group_id] = ids_of(directory, "PACS-Billing")
    for _ in range(2):
        directory.add_to_group(entry.id, group_id)
        assert group_id in directory.look_up(entry.id).groups
    for _ in range(2):
        directory.remove_from_group(entry.id, group_id)
        assert group_id not in directory.look_up(entry.id).groups


def test_the_last_member_of_an_openldap_group_cannot_leave_it(openldap, openldap_directory):
    openldap.add_group("Lonely", "t.nel")
    [group_id] = ids_of(openldap_directory, "Lonely")
    with pytest.raises(Refused, match="may not be empty"):
        openldap_directory.remove_from_group(openldap_directory.find("t.nel").id, group_id)


def test_what_is_not_there_is_missing(directory):
    [group_id] = ids_of(directory, "Locums")
    nobody = "12345678-1234-4321-8765-123456789abc"
    for change in (
        lambda: directory.set_enabled(nobody, enabled=True),
        lambda: directory.set_password("nonsense", GOOD_PASSWORD),
        lambda: directory.add_to_group(nobody, group_id),
        lambda: directory.add_to_group(directory.find("t.nel").id, nobody),
    ):
        with pytest.raises(Missing, match="no such account or group any more"):
            change()


def changes_of(directory: LdapDirectory, entry_id: str, group_id: str):
    return (
        lambda: created(directory, "by.reader"),
        lambda: directory.set_enabled(entry_id, enabled=False),
        lambda: directory.set_password(entry_id, GOOD_PASSWORD),
        lambda: directory.add_to_group(entry_id, group_id),
    )


def test_without_a_delegated_account_nothing_is_changed(trial, directory):
    reading = LdapDirectory(trial.config(writer=None))
    assert (True, False) == (directory.writes, reading.writes)
    for change in changes_of(reading, directory.find("dr.fouche").id, *ids_of(directory, "PACS-Admins")):
        with pytest.raises(Refused, match="Sorg only reads this directory"):
            change()


def test_the_reading_account_may_change_nothing(trial, directory):
    reader = Credentials(trial.dn_of(READER), trial.password)
    reading = LdapDirectory(trial.config(writer=reader))
    for change in changes_of(reading, directory.find("dr.fouche").id, *ids_of(directory, "PACS-Admins")):
        with pytest.raises(Turned, match="does not let Sorg's account make this change"):
            change()
    assert directory.find("by.reader") is None
    assert AccountState.OK is directory.find("dr.fouche").state


def test_the_delegated_account_may_not_touch_the_domains_own_admins(samba, samba_directory):
    administrator = samba_directory.find("Administrator")
    with pytest.raises(Turned):
        samba_directory.set_password(administrator.id, GOOD_PASSWORD)
    with pytest.raises((Turned, Missing)):
        samba_directory.add_to_group(samba_directory.find("t.nel").id, _domain_admins(administrator))


def _domain_admins(administrator: Entry) -> str:
    [sid] = [sid for sid in administrator.groups if sid.endswith("-512")]
    return sid


# Encrypted and checked, or not at all.


def test_a_certificate_that_does_not_hold_is_refused_and_logged(trial, tmp_path, caplog):
    stranger = Certificates(tmp_path / "stranger")
    other_name = tuple(replace(server, tls_name="dc9.clinic.test") for server in trial.config().servers)
    for changes in ({"ca_file": stranger.ca_file}, {"servers": other_name}):
        caplog.clear()
        directory = LdapDirectory(trial.config(**changes))
        with pytest.raises(Away, match="does not answer just now"):
            directory.find("dr.naidoo")
        assert not directory.answers()
        errors = {record.getMessage() for record in caplog.records if record.levelno == logging.ERROR}
        names = {server.name for server in directory._wire._servers}
        assert {f"TLS with {name} failed: SSLCertVerificationError" for name in names} == errors
        assert trial.password not in caplog.text


def test_an_address_in_the_certificate_serves_as_a_name(trial):
    servers = tuple(Server(server.host, port=server.port) for server in trial.config().servers)
    directory = LdapDirectory(trial.config(servers=servers))
    assert directory.find("dr.naidoo") is not None
    directory.close()


def test_a_certificate_that_has_run_out_is_refused(openldap, tmp_path, caplog):
    server = openldap.only
    kept = {name: (server.folder / name).read_bytes() for name in ("cert.pem", "key.pem")}
    server.stop()
    openldap.certificates.write(server.folder, name=server.name, address=server.address, days=-1)
    server.start()
    try:
        with pytest.raises(Away):
            LdapDirectory(openldap.config()).find("dr.naidoo")
        assert "TLS with ldap.clinic.test failed: SSLCertVerificationError" in caplog.text
    finally:
        server.stop()
        for name, content in kept.items():
            (server.folder / name).write_bytes(content)


def test_old_tls_is_not_spoken(samba):
    assert ssl.TLSVersion.TLSv1_2 == strict_context(samba.ca_file).minimum_version
    assert ssl.CERT_REQUIRED == strict_context(samba.ca_file).verify_mode
    with pytest.raises(TypeError):
        StrictTls()  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("port", [389, 3268])
def test_a_port_where_passwords_travel_in_clear_text_stops_the_start(samba, port):
    server = replace(samba.first.server, port=port)
    with pytest.raises(
        Unfit, match=f"names port {port} of dc1.clinic.test, where passwords travel in clear text"
    ):
        LdapDirectory(samba.config(servers=(server,)))


def test_everything_unsafe_is_said_at_once(samba, tmp_path):
    with pytest.raises(Unfit) as unfit:
        LdapDirectory(
            samba.config(servers=(), base_dn=" ", ca_file=tmp_path / "none", reader=Credentials("", ""))
        )
    for setting in ("SERVERS", "BASE", "CA", "USER"):
        assert f"SORG_DIRECTORY_{setting}" in unfit.value.sentence
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(Unfit, match="cannot be read as PEM certificates"):
        LdapDirectory(samba.config(ca_file=tmp_path / "ca.pem"))


def test_the_wrong_password_of_sorgs_own_account_is_said_and_is_not_away(trial):
    for changes in (
        {"reader": Credentials(trial.dn_of(READER), "wrong")},
        {"writer": Credentials(WRITER, "wrong")},
    ):
        directory = LdapDirectory(trial.config(**changes))
        with pytest.raises(Turned, match="refuses Sorg's own account. Check SORG_DIRECTORY_"):
            directory.find("dr.naidoo")
            directory.set_enabled(directory.find("dr.naidoo").id, enabled=True)
        directory.close()


# From the settings.


def test_a_practice_names_its_directory_in_settings(samba, monkeypatch, tmp_path):
    assert open_directory(read(home=tmp_path)) is None
    (tmp_path / "password").write_text(samba.password + "\n")
    servers = ", ".join(f"{one.name}@{one.address}:{one.port}" for one in samba.processes)
    given = {
        "": "ad",
        "_SERVERS": servers,
        "_BASE": "DC=clinic,DC=test",
        "_CA": samba.ca_file,
        "_USER": f"CLINIC\\{READER}",
        "_PASSWORD_FILE": tmp_path / "password",
        "_WRITER": f"{WRITER}@clinic.test",
        "_WRITER_PASSWORD_FILE": tmp_path / "password",
        "_NEW_PEOPLE": PEOPLE_DN,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"SORG_DIRECTORY{name}", str(value))
    settings = read(home=tmp_path)
    assert samba.config().servers == directory_servers(settings)
    directory = open_directory(settings)
    entry = directory.find("CLINIC\\dr.naidoo")
    assert Verdict.RIGHT is directory.password_is_right(entry, samba.password).verdict
    assert AccountState.OK is created(directory, "by.settings").state
    directory.close()
    monkeypatch.setenv("SORG_DIRECTORY_PASSWORD_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(Unfit, match="The password of SORG_DIRECTORY_USER cannot be read"):
        open_directory(read(home=tmp_path))


def test_servers_are_named_in_three_ways():
    settings = read(
        directory_servers="dc1.practice.local:1636, dc2.practice.local,dc3.practice.local@192.0.2.7"
    )
    assert (
        Server("dc1.practice.local", port=1636),
        Server("dc2.practice.local"),
        Server("192.0.2.7", tls_name="dc3.practice.local"),
    ) == directory_servers(settings)


def test_hours_are_read_as_the_directory_counts_them(samba, samba_directory, somebody_at_work):
    now = datetime.now(UTC)
    states = set()
    for hours in (1, 2, 24, 100):
        later = LdapDirectory(samba.config(), now=lambda at=now + timedelta(hours=hours): at)
        states.add(later.find(somebody_at_work).state)
        later.close()
    assert {AccountState.OUTSIDE_HOURS} == states
    assert AccountState.OK is samba_directory.find(somebody_at_work).state


@pytest.fixture
def somebody_at_work(samba):
    """An account that may sign in during this hour of the week and no other."""
    samba.add_user("at.work")
    now = datetime.now(UTC)
    hour = (now.isoweekday() % 7) * 24 + now.hour
    hours = bytearray(21)
    hours[hour // 8] = 1 << hour % 8
    value = base64.b64encode(hours).decode()
    samba.modify(samba.dn_of("at.work"), "replace: logonHours", f"logonHours:: {value}")
    return "at.work"


def test_the_whole_entry_is_read_with_nothing_but_ours(samba, samba_directory):
    def raw(session: Session):
        return session.only(
            samba.dn_of("dr.naidoo"), "(objectClass=*)", ("unicodePwd", "sAMAccountName"), scope=BASE
        )

    assert {"samaccountname"} == set(samba_directory._wire.asking(raw).values)
