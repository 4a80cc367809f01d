"""A directory's server that has a good certificate and speaks nonsense, drips, or never stops: it is away, in time."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from core.errors import Away
from core.ports import ldap_wire
from core.ports.directory_ldap import LdapDirectory
from core.ports.ldap_kind import LdapConfig
from core.ports.ldap_wire import Credentials, Server

BIND, SEARCH = 0x60, 0x63  # of RFC 4511
THANDO = "6f1ed002-ab5f-11dd-8d1c-0017f2c5b1a0"
NONSENSE: dict[str, Callable[[int], Iterator[bytes]]] = {
    "an answer that comes letter by letter": lambda n: drips(said(n, entry(uid=b"x" * 2000))),
    "entries without an end": lambda n: repeat(said(n, entry(uid=b"x" * 60_000))),
    "a result that is no number": lambda n: iter([said(n, part(0x6B, part(4, b"\xff")))]),
}


def part(tag: int, inside: bytes) -> bytes:
    """BER with a length of four bytes."""
    return bytes([tag, 0x84]) + len(inside).to_bytes(4, "big") + inside


def said(number: int, inside: bytes) -> bytes:
    return part(0x30, part(2, number.to_bytes(5, "big")) + inside)


def asked_for(message: bytes) -> tuple[int, int]:
    """Its number and its kind. ldap3 counts on through all connections of a process: past 127 a number has two bytes."""
    at = 2 + (message[1] & 0x7F if message[1] & 0x80 else 0)
    until = at + 2 + message[at + 1]
    return int.from_bytes(message[at + 2 : until], "big"), message[until]


def result(tag: int) -> bytes:
    return part(tag, part(10, b"\0") + part(4, b"") + part(4, b""))


def entry(**values: bytes) -> bytes:
    told = b"".join(part(0x30, part(4, k.encode()) + part(0x31, part(4, v))) for k, v in values.items())
    return part(0x64, part(4, b"uid=thando,dc=practice") + part(0x30, told))


def drips(answer: bytes) -> Iterator[bytes]:
    for letter in answer:
        time.sleep(0.02)
        yield bytes([letter])


def sense(number: int) -> Iterator[bytes]:
    yield said(number, entry(uid=b"thando", entryUUID=THANDO.encode(), cn=b"Thando"))
    yield said(number, result(0x65))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for localhost, with its key, that vouches for itself."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]),
    )
    now, day = datetime.now(UTC), timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("babble") / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return path


@pytest.fixture
def listener(certificate: Path) -> Iterator[Callable[[Callable[[int], Iterator[bytes]]], Server]]:
    """Servers that say yes to every name, and this to every question."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    open_ones: list[socket.socket] = []

    def serve(there: socket.socket, answer: Callable[[int], Iterator[bytes]]) -> None:
        with suppress(OSError):
            while True:
                plain, _ = there.accept()
                threading.Thread(target=talk, args=(plain, answer), daemon=True).start()

    def talk(plain: socket.socket, answer: Callable[[int], Iterator[bytes]]) -> None:
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as them:
            while asked := them.recv(65_536):
                number, kind = asked_for(asked)
                for piece in (
                    [said(number, result(0x61))] if kind == BIND else answer(number) if kind == SEARCH else ()
                ):
                    them.sendall(piece)

    def listen(answer: Callable[[int], Iterator[bytes]]) -> Server:
        there = socket.create_server(("127.0.0.1", 0))
        open_ones.append(there)
        threading.Thread(target=serve, args=(there, answer), daemon=True).start()
        return Server("127.0.0.1", "localhost", there.getsockname()[1])

    yield listen
    for there in open_ones:
        there.close()


def directory(certificate: Path, *servers: Server, pace: float = 1) -> LdapDirectory:
    """pace: how much faster its clock runs than ours, so that nobody waits for the time that everybody may wait."""
    reader = Credentials("cn=reader", "secret")
    config = LdapConfig("openldap", servers, "dc=practice", certificate, reader)
    return LdapDirectory(config, clock=lambda: time.monotonic() * pace)


@pytest.mark.parametrize("what", NONSENSE)
def test_a_server_that_talks_without_an_end_or_sense_is_away(certificate, listener, monkeypatch, what):
    monkeypatch.setattr(ldap_wire, "MOST_BYTES", 2_000_000)
    with closing(directory(certificate, listener(NONSENSE[what]), pace=10)) as there, pytest.raises(Away):
        there.find("thando")


@pytest.mark.parametrize("counted", [1, 200, 70_000])
def test_the_next_server_is_asked_where_the_first_speaks_nonsense(
    certificate, listener, monkeypatch, counted
):
    monkeypatch.setattr(ldap_wire.ldap3.Server, "_message_counter", counted)
    babbles, speaks = listener(NONSENSE["a result that is no number"]), listener(sense)
    with closing(directory(certificate, babbles, speaks)) as there:
        found = there.find("thando")
    assert (THANDO, "thando") == (found.id, found.login)
