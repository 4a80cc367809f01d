"""Opening the practice: settings and keys in, a House out. Every process begins here."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import uuid6
from sqlalchemy import Engine

from core.errors import Unfit
from core.ports import Ports
from core.ports.directory import Directory, LocalAccounts
from core.ports.oidc import IdentityProvider, OidcProvider
from core.ports.orthanc import OrthancRest
from core.ports.switch import FolderSwitch, Switch
from core.ports.switch_simulator import SwitchSimulator
from core.rules.za_time import local_day
from core.store import db, keys, migrate
from core.store.blobs import Blobs
from core.store.work import House
from ops.settings import Settings, rules

# A practice without a directory needs no LDAP library in memory: it is imported where a directory is opened.
if TYPE_CHECKING:
    from core.ports.ldap_wire import Credentials, Server


def found(settings: Settings) -> None:
    """Set up an empty practice in SORG_HOME: folder, keys, database. Does nothing where there is one already."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chmod(settings.home, 0o700)
    if not (settings.home / "keys" / "keyring.json").exists():
        keys.create(settings.home / "keys", dice=secrets.token_bytes, passphrase=_passphrase(settings))


def open_house(settings: Settings, *, ports: Ports | None = None, upgrade: bool = False) -> House:
    """The practice of SORG_HOME. `upgrade` brings the database to this version; otherwise an old one is refused."""
    keyring = keys.open_keyring(settings.home / "keys", passphrase=_passphrase(settings))
    engine = _engine(settings, keyring)
    if upgrade:
        migrate.upgrade(engine)
    else:
        migrate.require_current(engine)
    return House(
        engine=engine,
        keys=keyring,
        blobs=Blobs(settings.home / "blobs", keyring["blobs"], dice=secrets.token_bytes),
        clock=lambda: datetime.now(UTC),
        new_id=uuid6.uuid7,
        dice=secrets.token_bytes,
        origin=settings.origin,
        ports=ports or open_ports(settings),
        rules=rules(settings),
    )


def open_ports(settings: Settings) -> Ports:
    """The outside world as the settings describe it. Nothing is contacted yet."""
    return Ports(
        orthanc=OrthancRest(orthanc_address(settings), orthanc_auth(settings)),
        switch=open_switch(settings),
        accounts=LocalAccounts(),
        directory=open_directory(settings),
        identity=open_identity_provider(settings),
    )


def open_switch(settings: Settings) -> Switch:
    """The built-in simulator, or the two folders that a switch's own client watches."""
    if settings.switch == "simulator":
        return SwitchSimulator(settings.home / "switch", today=lambda: local_day(datetime.now(UTC)))
    if settings.switch_folder is None:
        raise Unfit(
            "SORG_SWITCH=folder needs SORG_SWITCH_FOLDER: the folder that the switch's client watches."
        )
    outbox, inbox = settings.switch_folder / "outbox", settings.switch_folder / "inbox"
    return FolderSwitch(outbox, inbox, home=settings.home)


def open_directory(settings: Settings) -> Directory | None:
    """Active Directory or OpenLDAP as the settings describe it, None without. No server is asked yet."""
    if settings.directory == "none":
        return None
    from core.ports.directory_ldap import LdapDirectory
    from core.ports.ldap_kind import LdapConfig

    reader = _credentials("DIRECTORY_USER", settings.directory_user, settings.directory_password_file)
    writer = None
    if settings.directory_writer or settings.directory_writer_password_file:
        writer = _credentials(
            "DIRECTORY_WRITER", settings.directory_writer, settings.directory_writer_password_file
        )
    return LdapDirectory(
        LdapConfig(
            kind=settings.directory,
            servers=directory_servers(settings),
            base_dn=settings.directory_base,
            ca_file=settings.directory_ca or Path(""),
            reader=reader,
            writer=writer,
            users_dn=settings.directory_new_people,
            groups_dn=settings.directory_groups,
            domain=settings.directory_domain,
        )
    )


def directory_servers(settings: Settings) -> tuple[Server, ...]:
    """The servers as they are asked: name@address:port, where name@ and :port may be missing."""
    from core.ports.ldap_wire import Server

    found = []
    for one in filter(None, (part.strip() for part in settings.directory_servers.split(","))):
        name, _, place = one.rpartition("@")
        host, _, port = place.partition(":")
        found.append(Server(host, tls_name=name, port=int(port or 636)))
    return tuple(found)


def _credentials(setting: str, user: str, file: Path | None) -> Credentials:
    from core.ports.ldap_wire import Credentials

    if file is None or not user:
        raise Unfit(f"SORG_DIRECTORY needs SORG_{setting} and the file of that account's password.")
    try:
        return Credentials(user, file.read_text().rstrip("\n"))
    except OSError as error:
        raise Unfit(
            f"The password of SORG_{setting} cannot be read from its file: {error.strerror}."
        ) from None


def open_identity_provider(settings: Settings) -> IdentityProvider | None:
    """Single sign-on as the settings describe it, or None. The provider is not asked yet: it may be away."""
    if not settings.oidc_issuer:
        return None
    if not settings.oidc_client_id:
        raise Unfit("SORG_OIDC_ISSUER needs SORG_OIDC_CLIENT_ID: the name under which the provider knows us.")
    if settings.oidc_ca_file is not None and not os.access(settings.oidc_ca_file, os.R_OK):
        raise Unfit("SORG_OIDC_CA_FILE cannot be read.")
    secret = ""
    if settings.oidc_client_secret_file is not None:
        try:
            secret = settings.oidc_client_secret_file.read_text().strip()
        except OSError as error:
            raise Unfit(f"SORG_OIDC_CLIENT_SECRET_FILE cannot be read: {error.strerror}.") from None
        if not secret:
            raise Unfit("SORG_OIDC_CLIENT_SECRET_FILE is empty.")
    accepted = (value.strip() for value in settings.oidc_second_factor.split(","))
    return OidcProvider(
        settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=secret,
        now=lambda: datetime.now(UTC),
        dice=secrets.token_bytes,
        groups_claim=settings.oidc_groups_claim,
        directory_claim=settings.oidc_directory_id,
        second_factor=tuple(filter(None, accepted)),
        ca_file=settings.oidc_ca_file,
    )


def orthanc_address(settings: Settings) -> str:
    """Where Orthanc answers: the one that is given, or our child."""
    return settings.orthanc_url or f"http://127.0.0.1:{settings.orthanc_http_port}"


def orthanc_auth(settings: Settings) -> tuple[str, str] | None:
    """User and password at Orthanc; None for a given one that was named without a password."""
    if settings.orthanc_url and settings.orthanc_password_file is None:
        return None
    return settings.orthanc_user, orthanc_password(settings)


def orthanc_password(settings: Settings) -> str:
    """The password at Orthanc: from the file that is named, or the child's own, made at its first use."""
    if settings.orthanc_password_file is not None:
        try:
            return settings.orthanc_password_file.read_text().strip()
        except OSError as error:
            raise Unfit(f"SORG_ORTHANC_PASSWORD_FILE cannot be read: {error.strerror}.") from None
    path = settings.home / "keys" / "orthanc.password"
    with (
        suppress(FileExistsError),
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file,
    ):
        file.write(secrets.token_urlsafe(24))
    return path.read_text()


def _engine(settings: Settings, keyring: keys.Keyring) -> Engine:
    if settings.database_url:
        url = settings.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        return db.open_postgresql(url)
    return db.open_sqlcipher(settings.home / "sorg.db", keyring["database"])


def _passphrase(settings: Settings) -> str | None:
    if settings.passphrase_file is None:
        return None
    try:
        return Path(settings.passphrase_file).read_text().rstrip("\n")
    except OSError as error:
        raise Unfit(f"SORG_PASSPHRASE_FILE cannot be read: {error.strerror}.") from None
