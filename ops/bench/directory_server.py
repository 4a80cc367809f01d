"""Real directories to try things on: two Samba domain controllers of one domain, and an OpenLDAP. Root only.

    with SambaDomain(folder) as samba:
        directory = LdapDirectory(samba.config())
        samba.set_state("dr.naidoo", "disabled")
        samba.first.hang()

Both hold the same invented people: `PEOPLE`, all with `password`, one account for each state, and a crowd of a
thousand (p0000 ...). Groups: Locums in Team-Chest in PACS-Radiologists, others beside them, and Everybody, which
holds the crowd. `reader` may read, `writer` may change what lies in the two folders of people and groups.

The second controller is a copy of the first and does not replicate: what is changed through Samba's own methods
here is changed on both, with one identity; what is written over LDAP is written on the one that was asked.
The ports of Active Directory are fixed, so each server has an address of its own in 127.0.0.0/8.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.errors import Unfit
from core.ports.ldap_kind import LdapConfig
from core.ports.ldap_wire import Credentials, Server
from core.ports.openldap import LOCKED_FOR_GOOD

BASE_DN = "DC=clinic,DC=test"
PEOPLE_DN = f"OU=Staff,{BASE_DN}"
GROUPS_DN = f"OU=Roles,{BASE_DN}"
READER, WRITER, BLIND = "sorg.reader", "sorg.writer", "sorg.blind"  # BLIND: reads what a reader must, no more
UNSEEN = "t.petersen"  # whose id BLIND is not shown
CROWD = 1_000
WITH_PASSWORD = 12  # Of the crowd in Samba, where each password costs 20 ms.
AD_LOCKS_AFTER, OPENLDAP_LOCKS_AFTER = 10, 5
LOCKED_AGAIN_AFTER_S = 600

# login -> name
PEOPLE = {
    "dr.naidoo": "Thandeka Naidoo",
    "dr.fouche": "Zoë Fouché-Müller",
    "admin.botha": "Pieter Botha van der Westhuizen",
    "admin.dlamini": "Nomvula Dlamini",
    "t.mokoena": "Lerato Mokoena",
    "t.nel": "Renée Nel",
    "t.petersen": "Aisha Petersen",
    "b.govender": "Priya Govender",
    "r.khumalo": "Sipho Khumalo",
    "m.venter": "Hélène Janse van Rensburg-Venter",
}
# login -> state, as core.ports.directory.AccountState names it
STATES = {
    "u.disabled": "disabled",
    "u.expired": "expired",
    "u.locked": "locked",
    "u.mustchange": "must-change",
    "u.pwexpired": "password-expired",
    "u.hours": "outside-hours",
}
# group -> who is in it; a name without a dot is a group
GROUPS = {
    "Locums": ("dr.naidoo",),
    "Team-Chest": ("Locums",),
    "PACS-Radiologists": ("Team-Chest", "dr.fouche"),
    "PACS-Admins": ("admin.botha", "admin.dlamini"),
    "PACS-Transcription": ("t.mokoena", "t.nel", "t.petersen"),
    "PACS-Billing": ("b.govender",),
    "PACS-Reception": ("r.khumalo",),
    "PACS-Managers": ("m.venter",),
    "PACS-Patients": ("p0000",),
}
FIRST_NAMES = (
    "Amahle",
    "Björn",
    "Chloë",
    "Dineo",
    "Eben",
    "Fatima",
    "Gérard",
    "Hlengiwe",
    "Inês",
    "Jabulani",
)
LAST_NAMES = (
    "Adams",
    "Bester",
    "Cilliers",
    "Du Preez-Smit",
    "Essop",
    "Fërreira",
    "Gumede",
    "Hadebe",
    "Isaacs",
    "Jonker",
)


class Certificates:
    """An authority of our own, and what it signs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"Trial authority {secrets.token_hex(4)}")]
        )
        self.ca_file = folder / "ca.pem"
        certificate = self._signed(self._name, self._key.public_key(), days=30, authority=True)
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def write(self, folder: Path, *, name: str, address: str, days: int = 30) -> None:
        """cert.pem and key.pem for this server; with days below zero they have run out."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key.public_key(), days=days, names=(name, address))
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (folder / "key.pem").touch(mode=0o600)
        (folder / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))

    def _signed(
        self, subject: x509.Name, key: Any, *, days: int, names: tuple[str, ...] = (), authority: bool = False
    ) -> x509.Certificate:
        ends_at = datetime.now(UTC) + timedelta(days=days)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends_at - timedelta(days=60))
            .not_valid_after(ends_at)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            known = [x509.DNSName(names[0]), x509.IPAddress(ipaddress.ip_address(names[1]))]
            made = made.add_extension(x509.SubjectAlternativeName(known), critical=False)
            made = made.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
        return made.sign(self._key, hashes.SHA256())


class Process(ABC):
    """One server that can be stopped, started, made to hang and woken."""

    def __init__(self, folder: Path, *, name: str, port: int = 636) -> None:
        self.folder, self.name, self.port = folder, name, port
        self.address = free_address(port)
        self._process: subprocess.Popen | None = None

    @property
    def server(self) -> Server:
        """As LdapConfig.servers wants it."""
        return Server(self.address, tls_name=self.name, port=self.port)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run.")
        return self._process.pid

    def spawn(self) -> None:
        """Start it without waiting for it."""
        log = (self.folder / "server.log").open("ab")
        # Should this process be killed, the kernel ends the server as well.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *self._command()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def start(self) -> None:
        """Start it and return when it answers."""
        self.spawn()
        self.wait_until_answering()

    def stop(self) -> None:
        """End it at once, hanging or not: what it holds is thrown away in the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Take connections and say nothing, as a machine that swaps itself to death."""
        os.kill(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def mend(self) -> None:
        """Make it answer again, whatever was done to it."""
        if self._process is not None and self._process.poll() is None:
            return self.wake()
        self.stop()
        self.start()

    def wait_until_answering(self) -> None:
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s and self._process is not None and self._process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex((self.address, self.port)) == 0:
                    return
            time.sleep(0.02)
        said = (self.folder / "server.log").read_text(errors="replace")[-1500:]
        self.stop()
        raise Unfit(f"{self.name} did not start: {said}")

    @abstractmethod
    def _command(self) -> list[str]: ...


class Controller(Process):
    """A Samba Active Directory domain controller."""

    def _command(self) -> list[str]:
        settings = f"--configfile={self.folder}/etc/smb.conf"
        return ["samba", "-F", "--no-process-group", "-M", "single", settings]


class Trial(ABC):
    """What the two kinds of directory have in common."""

    kind: str
    locks_after: int

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            raise Unfit(
                "A trial directory needs root: fixed ports below 1024, and files that belong to several users."
            )
        # The paths of unix sockets below it are limited to 107 bytes.
        if len(str(folder)) > 70:
            raise Unfit(f"{folder} is too long a path for Samba's sockets.")
        self.folder = folder
        self.password = f"Goeie-{secrets.token_hex(6)}"
        self.certificates = Certificates(folder)
        self.ca_file = self.certificates.ca_file
        self._locked_at_s = time.monotonic()

    def config(self, **changes: Any) -> LdapConfig:
        """How Sorg reaches it, with reader and writer; `changes` replace fields of LdapConfig."""
        config = LdapConfig(
            kind=self.kind,
            servers=tuple(process.server for process in self.processes),
            base_dn=BASE_DN,
            ca_file=self.ca_file,
            reader=Credentials(self.dn_of(READER), self.password),
            writer=Credentials(self.dn_of(WRITER), self.password),
            users_dn=PEOPLE_DN,
            groups_dn=GROUPS_DN,
            domain="clinic.test",
        )
        return replace(config, **changes)

    @property
    @abstractmethod
    def processes(self) -> tuple[Process, ...]: ...

    @abstractmethod
    def start(self) -> None: ...

    def stop(self) -> None:
        for process in self.processes:
            process.stop()

    def mend(self) -> None:
        """Wake what hangs, start what was stopped, and lock again whose lock of half an hour would soon be over."""
        for process in self.processes:
            process.mend()
        if time.monotonic() - self._locked_at_s > LOCKED_AGAIN_AFTER_S:
            self._locked_at_s = time.monotonic()
            self.set_state("u.locked", "locked")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # What tests change behind Sorg's back.

    @abstractmethod
    def dn_of(self, name: str) -> str:
        """Where an account or group of these lies."""

    @abstractmethod
    def add_user(self, login: str, name: str = "", *, password: str = "") -> None:
        """One person more, with `password` or everybody's."""

    @abstractmethod
    def add_group(self, name: str, *members: str) -> None:
        """One group more; members by login or name of group."""

    @abstractmethod
    def set_state(self, login: str, state: str) -> None:
        """Bring the account into a state of AccountState, "ok" among them."""

    @abstractmethod
    def set_password(self, login: str, password: str) -> None: ...

    @abstractmethod
    def rename_group(self, name: str, new_name: str) -> None:
        """Another name, the same identity."""

    @abstractmethod
    def modify(self, dn: str, *lines: str) -> None:
        """An LDIF change of one entry: "add: member", "member: CN=...", "-" ..."""

    @abstractmethod
    def add_limit(self, name: str, login: str, *, most: int, minutes: int) -> None:
        """A rule of this person's own for when wrong passwords lock them; minutes 0: none is forgotten."""

    @abstractmethod
    def drop_limit(self, name: str, login: str) -> None: ...

    def disable(self, login: str) -> None:
        self.set_state(login, "disabled")

    def enable(self, login: str) -> None:
        self.set_state(login, "ok")

    def add_to_group(self, name: str, *members: str) -> None:
        self.modify(self.dn_of(name), "add: member", *(f"member: {self.dn_of(one)}" for one in members))

    def remove_from_group(self, name: str, *members: str) -> None:
        self.modify(self.dn_of(name), "delete: member", *(f"member: {self.dn_of(one)}" for one in members))


class SambaDomain(Trial):
    """An Active Directory of two controllers, `first` and `second`."""

    kind = "ad"
    locks_after = AD_LOCKS_AFTER

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.first = Controller(folder / "dc1", name="dc1.clinic.test")
        self.second = Controller(folder / "dc2", name="dc2.clinic.test")
        self._pen: Pen | None = None

    @property
    def processes(self) -> tuple[Process, ...]:
        return self.first, self.second

    def start(self) -> None:
        self._provision()
        with Pen(self.first.folder) as pen:
            pen.write(_ldif(self._contents()))
            for dn in (PEOPLE_DN, GROUPS_DN):
                pen.grant(dn, WRITER)
            for login, state in STATES.items():
                pen.write(*self._state(login, state))
        self._copy()
        for process in self.processes:
            process.spawn()
        for process in self.processes:
            process.wait_until_answering()

    def stop(self) -> None:
        super().stop()
        if self._pen is not None:
            self._pen.close()

    def dn_of(self, name: str) -> str:
        return f"CN={name},{PEOPLE_DN if _is_person(name) else GROUPS_DN}"

    def add_user(self, login: str, name: str = "", *, password: str = "") -> None:
        record = self._person(login, name or login, password or self.password)
        self.pen.write(_ldif([record]), dn=self.dn_of(login))

    def add_group(self, name: str, *members: str) -> None:
        self.pen.write(_ldif([self._group(name, members)]), dn=self.dn_of(name))

    def set_state(self, login: str, state: str) -> None:
        self.pen.write(*self._state(login, "ok"))
        if state != "ok":
            self.pen.write(*self._state(login, state))

    def set_password(self, login: str, password: str) -> None:
        self.modify(self.dn_of(login), "replace: unicodePwd", f"unicodePwd:: {_quoted64(password)}")

    def rename_group(self, name: str, new_name: str) -> None:
        self.pen.rename(self.dn_of(name), self.dn_of(new_name))
        self.modify(self.dn_of(new_name), "replace: sAMAccountName", f"sAMAccountName: {new_name}")

    def modify(self, dn: str, *lines: str) -> None:
        self.pen.write(_ldif([[f"dn: {dn}", "changetype: modify", *lines]]))

    def add_limit(self, name: str, login: str, *, most: int, minutes: int) -> None:
        interval = -minutes * 600_000_000 or -(2**63)
        values = {
            "PasswordSettingsPrecedence": 10,
            "PasswordReversibleEncryptionEnabled": "FALSE",
            "PasswordHistoryLength": 0,
            "PasswordComplexityEnabled": "FALSE",
            "MinimumPasswordLength": 7,
            "MinimumPasswordAge": 0,
            "MaximumPasswordAge": -(2**63),
            "LockoutThreshold": most,
            "LockoutObservationWindow": interval,
            "LockoutDuration": interval,
            "PSOAppliesTo": self.dn_of(login),
        }
        lines = [f"dn: {self._limit_dn(name)}", "changetype: add", "objectClass: msDS-PasswordSettings"]
        self.pen.write(_ldif([lines + [f"msDS-{key}: {value}" for key, value in values.items()]]))

    def drop_limit(self, name: str, login: str) -> None:
        self.pen.delete(self._limit_dn(name))

    def show_limit(self, name: str) -> None:
        """Let the reading account see this rule, which it does not without being told to."""
        self.pen.grant(self._limit_dn(name), READER)

    def _limit_dn(self, name: str) -> str:
        return f"CN={name},CN=Password Settings Container,CN=System,{BASE_DN}"

    @property
    def pen(self) -> Pen:
        """Changes both controllers, running or not."""
        if self._pen is None:
            self._pen = Pen(self.first.folder, self.second.folder)
        return self._pen

    def _provision(self) -> None:
        home = self.first.folder
        tls = home / "private" / "tls"
        (home / "run").mkdir(parents=True)
        # Otherwise the machine's own smb.conf leaks into the new one.
        (home / "base.conf").write_text("[global]\n")
        settings = {
            # With /32 Samba finds no interface at all, and listens on nothing.
            "interfaces": f"{self.first.address}/8",
            "bind interfaces only": "yes",
            "server services": "ldap",
            "posix:eadb": f"{home}/private/eadb.tdb",
            "pid directory": f"{home}/run",
            "ncalrpc dir": f"{home}/run/ncalrpc",
            "ntp signd socket directory": f"{home}/run/ntp",
            "winbindd socket directory": f"{home}/run/winbindd",
            "log file": f"{home}/log.samba",
            "logging": "file",
            "disable spoolss": "yes",
            "tls enabled": "yes",
            "tls keyfile": f"{tls}/key.pem",
            "tls certfile": f"{tls}/cert.pem",
            "tls cafile": str(self.ca_file),
            "ldap server require strong auth": "yes",
        }
        done = subprocess.run(
            ["samba-tool", "domain", "provision", f"--configfile={home}/base.conf", f"--targetdir={home}"]
            + ["--realm=CLINIC.TEST", "--domain=CLINIC", "--server-role=dc", "--host-name=dc1"]
            + [f"--host-ip={self.first.address}", "--dns-backend=NONE"]
            + [
                f"--adminpass={self.password}",
                *(f"--option={name}={value}" for name, value in settings.items()),
            ],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Unfit(f"Samba could not make a domain: {done.stderr[-800:]}")
        # Provisioning drops this one: without it an old password opens for an hour more.
        conf = home / "etc" / "smb.conf"
        conf.write_text(
            conf.read_text().replace("[global]", "[global]\n\told password allowed period = 0", 1)
        )
        self.certificates.write(tls, name=self.first.name, address=self.first.address)

    def _copy(self) -> None:
        there = self.second.folder
        shutil.copytree(self.first.folder, there, symlinks=True)
        conf = there / "etc" / "smb.conf"
        text = conf.read_text().replace(str(self.first.folder), str(there))
        conf.write_text(text.replace(f"{self.first.address}/8", f"{self.second.address}/8"))
        self.certificates.write(there / "private" / "tls", name=self.second.name, address=self.second.address)

    def _contents(self) -> Iterable[list[str]]:
        policy = {"minPwdAge": 0, "lockoutThreshold": AD_LOCKS_AFTER}
        # Negative intervals of 100 ns: half an hour.
        policy |= {"lockoutDuration": -18_000_000_000, "lockOutObservationWindow": -18_000_000_000}
        changes = [
            line for name, value in policy.items() for line in (f"replace: {name}", f"{name}: {value}", "-")
        ]
        yield [f"dn: {BASE_DN}", "changetype: modify", *changes[:-1]]
        for dn in (PEOPLE_DN, GROUPS_DN):
            yield [f"dn: {dn}", "changetype: add", "objectClass: organizationalUnit"]
        for login, name in {READER: "Sorg reads", WRITER: "Sorg writes", **PEOPLE}.items():
            yield self._person(login, name, self.password)
        for login, state in STATES.items():
            yield self._person(login, f"Account that is {state}", self.password)
        for number in range(CROWD):
            yield self._person(*_crowd(number), self.password if number < WITH_PASSWORD else "")
        for name, members in GROUPS.items():
            yield self._group(name, members)
        yield self._group("Everybody", [_crowd(number)[0] for number in range(CROWD)])
        yield [*self._group("Newsletter", ()), "groupType: 2"]

    def _person(self, login: str, name: str, password: str) -> list[str]:
        first, last = _first_and_last(name)
        lines = [
            f"dn: {self.dn_of(login)}",
            "changetype: add",
            "objectClass: user",
            f"sAMAccountName: {login}",
        ]
        lines += [
            f"userPrincipalName: {login}@clinic.test",
            _utf8("displayName", name),
            _utf8("givenName", first),
        ]
        lines += [_utf8("sn", last), f"mail: {login}@clinic.test", "userAccountControl: 512"]
        return [*lines, f"unicodePwd:: {_quoted64(password)}"] if password else lines

    def _group(self, name: str, members: Iterable[str]) -> list[str]:
        lines = [
            f"dn: {self.dn_of(name)}",
            "changetype: add",
            "objectClass: group",
            f"sAMAccountName: {name}",
        ]
        return lines + [f"member: {self.dn_of(one)}" for one in members]

    def _state(self, login: str, state: str) -> tuple[str, list[str]]:
        now = datetime.now(UTC)
        never = base64.b64encode(bytes(21)).decode()
        values: dict[str, str] = {
            "ok": "userAccountControl: 512|accountExpires: 0|lockoutTime: 0|pwdLastSet: -1|logonHours",
            "disabled": "userAccountControl: 514",
            "expired": f"accountExpires: {_filetime(now - timedelta(days=1))}",
            "locked": f"lockoutTime: {_filetime(now)}",
            "must-change": "pwdLastSet: 0",
            "password-expired": f"pwdLastSet: {_filetime(now - timedelta(days=100))}",
            "outside-hours": f"logonHours:: {never}",
        }
        lines = [f"dn: {self.dn_of(login)}", "changetype: modify"]
        for value in values[state].split("|"):
            lines += [f"replace: {value.split(':')[0]}", *([value] if ":" in value else []), "-"]
        # Samba lets nobody write a date into pwdLastSet, unless this control says that an upgrade is under way.
        return _ldif([lines]), ["local_oid:1.3.6.1.4.1.7165.4.3.12:0"] if state == "password-expired" else []


class OpenLdapServer(Trial):
    """A slapd with password policy and a limit of 500 entries an answer. Groups also turn in a circle there."""

    kind = "openldap"
    locks_after = OPENLDAP_LOCKS_AFTER
    # PACS-Circle holds PACS-Circle-Back, which holds PACS-Circle and t.nel.
    CIRCLE = {"PACS-Circle": ("PACS-Circle-Back",), "PACS-Circle-Back": ("PACS-Circle", "t.nel")}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.joinpath("slapd").mkdir()
        self.only = Slapd(folder / "slapd", name="ldap.clinic.test")

    @property
    def processes(self) -> tuple[Process, ...]:
        return (self.only,)

    def start(self) -> None:
        home = self.only.folder
        self.certificates.write(home, name=self.only.name, address=self.only.address)
        for part in ("slapd.d", "db"):
            home.joinpath(part).mkdir()
        for number, records in ((0, self._settings(home)), (1, self._contents())):
            done = subprocess.run(
                ["slapadd", "-q", "-n", str(number), "-F", home / "slapd.d"],
                input=_ldif(records),
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise Unfit(f"OpenLDAP could not be filled: {done.stderr[-800:]}")
        self.only.start()

    def dn_of(self, name: str) -> str:
        return f"uid={name},{PEOPLE_DN}" if _is_person(name) else f"cn={name},{GROUPS_DN}"

    def add_user(self, login: str, name: str = "", *, password: str = "") -> None:
        self._write([_new(self._person(login, name or login, _salted(password or self.password)))])

    def add_group(self, name: str, *members: str) -> None:
        self._write([_new(self._group(name, members))])

    def set_state(self, login: str, state: str) -> None:
        lines = self._state("ok") if state == "ok" else [*self._state("ok"), "-", *self._state(state)]
        self.modify(self.dn_of(login), *lines)

    def set_password(self, login: str, password: str) -> None:
        # Without a new password of their own: pwdMustChange would ask for it.
        change = ["replace: userPassword", f"userPassword: {password}", "-", "replace: pwdReset"]
        self.modify(self.dn_of(login), *change)

    def rename_group(self, name: str, new_name: str) -> None:
        self._rename(name, f"cn={new_name}")

    def rename_user(self, login: str, new_login: str) -> None:
        self._rename(login, f"uid={new_login}")

    def _rename(self, name: str, new: str) -> None:
        self._write([[f"dn: {self.dn_of(name)}", "changetype: modrdn", f"newrdn: {new}", "deleteoldrdn: 1"]])

    def modify(self, dn: str, *lines: str) -> None:
        self._write([[f"dn: {dn}", "changetype: modify", *lines]])

    def add_limit(self, name: str, login: str, *, most: int, minutes: int) -> None:
        dn = f"cn={name},{BASE_DN}"
        policy = [
            f"dn: {dn}",
            "changetype: add",
            "objectClass: pwdPolicy",
            "objectClass: person",
            f"cn: {name}",
            f"sn: {name}",
        ]
        policy += [
            "pwdAttribute: userPassword",
            "pwdLockout: TRUE",
            f"pwdMaxFailure: {most}",
            "pwdLockoutDuration: 1800",
        ]
        self._write([[*policy, f"pwdFailureCountInterval: {minutes * 60}"]])
        self.modify(self.dn_of(login), "replace: pwdPolicySubentry", f"pwdPolicySubentry: {dn}")

    def drop_limit(self, name: str, login: str) -> None:
        self.modify(self.dn_of(login), "replace: pwdPolicySubentry")
        self._write([[f"dn: cn={name},{BASE_DN}", "changetype: delete"]])

    def _write(self, records: Iterable[list[str]]) -> None:
        # With "relax" the administrator may write what the server otherwise keeps for itself, such as dates.
        done = subprocess.run(
            [
                "ldapmodify",
                "-x",
                "-H",
                f"ldaps://{self.only.address}:{self.only.port}",
                "-D",
                f"cn=admin,{BASE_DN}",
            ]
            + ["-w", self.password, "-e", "!relax"],
            input=_ldif(records),
            capture_output=True,
            text=True,
            env={**os.environ, "LDAPTLS_CACERT": str(self.ca_file)},
        )
        if done.returncode:
            raise RuntimeError(f"OpenLDAP did not take it: {done.stderr}")

    def _settings(self, home: Path) -> Iterable[list[str]]:
        schema = Path("/etc/ldap/schema")
        modules = ("back_mdb", "ppolicy")
        yield [
            "dn: cn=config",
            "objectClass: olcGlobal",
            "cn: config",
            f"olcPidFile: {home}/slapd.pid",
            f"olcTLSCACertificateFile: {self.ca_file}",
            f"olcTLSCertificateFile: {home}/cert.pem",
            f"olcTLSCertificateKeyFile: {home}/key.pem",
            "olcDisallows: bind_anon",
            "olcRequires: authc",
            "olcSizeLimit: size.soft=500 size.hard=500 size.prtotal=unlimited",
        ]
        yield [
            "dn: cn=module{0},cn=config",
            "objectClass: olcModuleList",
            "cn: module{0}",
            "olcModulePath: /usr/lib/ldap",
            *(f"olcModuleLoad: {name}" for name in modules),
        ]
        yield ["dn: cn=schema,cn=config", "objectClass: olcSchemaConfig", "cn: schema"]
        for name in ("core", "cosine", "inetorgperson"):
            yield [f"include: file://{schema}/{name}.ldif"]
        admin = [f"olcRootDN: cn=admin,{BASE_DN}", f"olcRootPW: {_salted(self.password)}"]
        rights = [
            f'to attrs=userPassword by dn.exact="{self.dn_of(WRITER)}" write by self write by anonymous auth by * none',
            f'to attrs=pwdFailureTime by dn.exact="{self.dn_of(BLIND)}" none by users read by * none',
            f'to dn.exact="{self.dn_of(UNSEEN)}" attrs=entryUUID by dn.exact="{self.dn_of(BLIND)}" none by users read',
            f'to dn.subtree="{PEOPLE_DN}" by dn.exact="{self.dn_of(WRITER)}" write by users read by * none',
            f'to dn.subtree="{GROUPS_DN}" by dn.exact="{self.dn_of(WRITER)}" write by users read by * none',
            "to * by users read by * none",
        ]
        indices = ("objectClass eq", "uid,mail,cn,sn,displayName eq,sub", "member eq", "entryUUID eq")
        yield [
            "dn: olcDatabase={1}mdb,cn=config",
            "objectClass: olcDatabaseConfig",
            "objectClass: olcMdbConfig",
            "olcDatabase: {1}mdb",
            f"olcDbDirectory: {home}/db",
            "olcDbNoSync: TRUE",
            f"olcSuffix: {BASE_DN}",
            *admin,
            *(f"olcDbIndex: {index}" for index in indices),
            *(f"olcAccess: {right}" for right in rights),
        ]
        yield [
            "dn: olcOverlay={0}ppolicy,olcDatabase={1}mdb,cn=config",
            "objectClass: olcOverlayConfig",
            "objectClass: olcPPolicyConfig",
            "olcOverlay: {0}ppolicy",
            f"olcPPolicyDefault: cn=default,{BASE_DN}",
            "olcPPolicyHashCleartext: TRUE",
        ]

    def _contents(self) -> Iterable[list[str]]:
        salted = _salted(self.password)
        yield [
            f"dn: {BASE_DN}",
            "objectClass: dcObject",
            "objectClass: organization",
            "o: clinic",
            "dc: clinic",
        ]
        for dn in (PEOPLE_DN, GROUPS_DN):
            yield [f"dn: {dn}", "objectClass: organizationalUnit"]
        yield [
            f"dn: cn=default,{BASE_DN}",
            "objectClass: pwdPolicy",
            "objectClass: person",
            "cn: default",
            "sn: default",
            "pwdAttribute: userPassword",
            "pwdLockout: TRUE",
            f"pwdMaxFailure: {OPENLDAP_LOCKS_AFTER}",
            "pwdLockoutDuration: 1800",
            "pwdMinLength: 12",
            "pwdCheckQuality: 1",
            "pwdMustChange: TRUE",
            "pwdMaxAge: 7776000",
        ]
        for login, name in {
            READER: "Sorg reads",
            WRITER: "Sorg writes",
            BLIND: "Sorg sees less",
            **PEOPLE,
        }.items():
            yield self._person(login, name, salted)
        for login, state in STATES.items():
            if state != "outside-hours":  # OpenLDAP knows none.
                changes = [line for line in self._state(state) if not line.startswith(("replace:", "-"))]
                yield [*self._person(login, f"Account that is {state}", salted, dated=False), *changes]
        for number in range(CROWD):
            yield self._person(*_crowd(number), salted)
        for name, members in {**GROUPS, **self.CIRCLE}.items():
            yield self._group(name, members)
        yield self._group("Everybody", [_crowd(number)[0] for number in range(CROWD)])

    def _person(self, login: str, name: str, salted: str, *, dated: bool = True) -> list[str]:
        lines = [f"dn: {self.dn_of(login)}", "objectClass: inetOrgPerson", f"uid: {login}", _utf8("cn", name)]
        lines += [
            _utf8("displayName", name),
            _utf8("sn", _first_and_last(name)[1]),
            f"mail: {login}@clinic.test",
        ]
        lines += [f"userPassword: {salted}"]
        return [*lines, f"pwdChangedTime: {_generalized(datetime.now(UTC))}"] if dated else lines

    def _group(self, name: str, members: Iterable[str]) -> list[str]:
        lines = [f"dn: {self.dn_of(name)}", "objectClass: groupOfNames", f"cn: {name}"]
        return lines + [f"member: {self.dn_of(one)}" for one in members]

    def _state(self, state: str) -> list[str]:
        now = datetime.now(UTC)
        fresh = f"pwdChangedTime: {_generalized(now)}"
        stale = f"pwdChangedTime: {_generalized(now - timedelta(days=100))}"
        changes = {
            "ok": ["pwdAccountLockedTime", "pwdReset", "pwdEndTime", "pwdFailureTime", fresh],
            "disabled": [f"pwdAccountLockedTime: {LOCKED_FOR_GOOD}", fresh],
            "locked": [f"pwdAccountLockedTime: {_generalized(now)}", fresh],
            "expired": [f"pwdEndTime: {_generalized(now - timedelta(days=1))}", fresh],
            "must-change": ["pwdReset: TRUE", fresh],
            "password-expired": [stale],
        }
        lines: list[str] = []
        for change in changes[state]:
            name, _, value = change.partition(": ")
            lines += [*(["-"] if lines else []), f"replace: {name}", *([change] if value else [])]
        return lines


def _new(record: list[str]) -> list[str]:
    # slapadd takes records without a verb, ldapmodify only with one.
    return [record[0], "changetype: add", *record[1:]]


class Slapd(Process):
    """OpenLDAP's server."""

    def _command(self) -> list[str]:
        return [
            "slapd",
            "-F",
            f"{self.folder}/slapd.d",
            "-h",
            f"ldaps://{self.address}:{self.port}",
            "-d",
            "0",
        ]


def _salted(password: str) -> str:
    # SSHA, the one that every OpenLDAP reads without a module.
    salt = secrets.token_bytes(8)
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def _generalized(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S}Z"


class Pen:
    """samba_pen.py as a process: the system's Python has Samba's own library, ours has not."""

    def __init__(self, *folders: Path) -> None:
        self._process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "--",
                "/usr/bin/python3",
                "-I",
                Path(__file__).with_name("samba_pen.py"),
            ]
            + [str(folder) for folder in folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def write(self, ldif: str, controls: Iterable[str] = (), *, dn: str = "") -> None:
        """Make these changes. dn: of the one entry that is new."""
        self._order({"ldif": ldif, "controls": list(controls), "dn": dn})

    def rename(self, dn: str, new_dn: str) -> None:
        self._order({"rename": dn, "dn": new_dn})

    def delete(self, dn: str) -> None:
        self._order({"delete": dn, "dn": dn})

    def grant(self, dn: str, login: str) -> None:
        """Let the account change everything below the entry."""
        self._order({"grant": login, "dn": dn})

    def close(self) -> None:
        if self._process.stdin and self._process.stdout:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _order(self, order: dict[str, object]) -> None:
        assert self._process.stdin and self._process.stdout
        print(json.dumps(order), file=self._process.stdin, flush=True)
        said = self._process.stdout.readline()
        if said != "\n":
            raise RuntimeError(f"Samba did not take it: {said}")


def free_address(port: int) -> str:
    """An address of this machine's own where nobody listens on the port, nor on those that Samba takes with it."""
    while True:
        address = f"127.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) != 0:
                return address


def _crowd(number: int) -> tuple[str, str]:
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    return f"p{number:04}", f"{first} {LAST_NAMES[number // 10 % len(LAST_NAMES)]}"


def _is_person(name: str) -> bool:
    return "." in name or name[1:].isdigit()


def _first_and_last(name: str) -> tuple[str, str]:
    first, _, last = name.partition(" ")
    return first, last or first


def _utf8(attribute: str, text: str) -> str:
    # LDIF wants base64 for whatever is not ASCII (RFC 2849).
    return f"{attribute}:: {base64.b64encode(text.encode()).decode()}"


def _quoted64(password: str) -> str:
    return base64.b64encode(f'"{password}"'.encode("utf-16-le")).decode()


def _filetime(moment: datetime) -> int:
    return (moment - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10


def _ldif(records: Iterable[list[str]]) -> str:
    return "\n".join("\n".join(lines) + "\n" for lines in records)
