"""Every setting: a SORG_* variable, or a line in the file that SORG_SETTINGS names. docs/settings.md lists them."""

from __future__ import annotations

import os
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import Unfit


class Settings(BaseSettings):
    """Read once by the edge that opens the practice; nothing in core reads the environment."""

    model_config = SettingsConfigDict(env_prefix="SORG_", extra="ignore", env_file_encoding="utf-8")

    home: Path = Field(
        Path("var"),
        description="Where the practice's state lives: database, keys, documents, Orthanc. Mode 0700.",
    )
    database_url: str = Field(
        "",
        description="PostgreSQL, as postgresql://user:password@host/name. Empty: the encrypted file in SORG_HOME.",
    )
    passphrase_file: Path | None = Field(
        None, description="File with the passphrase that wraps the keys. Unset: a key file in SORG_HOME/keys."
    )
    origin: str = Field(
        "01",
        pattern=r"^[0-9A-Z]{2}$",
        description="Two letters or digits that begin this site's file and accession numbers.",
    )
    orthanc_url: str = Field(
        "", description="An Orthanc that runs already. Empty: Debian's Orthanc is started as a child."
    )
    orthanc_user: str = Field("sorg", description="User name at Orthanc.")
    orthanc_password_file: Path | None = Field(
        None, description="File with the password at an existing Orthanc. The child's is generated."
    )
    orthanc_http_port: int = Field(8042, description="HTTP port of the child Orthanc (loopback).")
    orthanc_dicom_port: int = Field(
        4242,
        description="DICOM port of the child Orthanc (loopback; docs/roles/admin.md says how scanners reach it).",
    )
    orthanc_aet: str = Field("SORG", max_length=16, description="AE title of the child Orthanc.")
    dicom_address: str = Field(
        "127.0.0.1",
        description="Address on which the child Orthanc takes images. Another one needs SORG_SCANNERS and a firewall.",
    )
    scanners: str = Field(
        "",
        pattern=r"^\s*([\w-]+=[\w -]{1,16}@[\w.-]+:\d{1,5}\s*(,\s*|$))*$",
        description="The scanners that may send, with commas: name=AETITLE@host:port.",
    )
    console_host: str = Field("127.0.0.1", description="Address the console listens on.")
    console_port: int = Field(8501, description="Port of the console.")
    console_names: str = Field(
        "",
        description=(
            "Host names, with commas, by which staff reach the console through a proxy; others are refused. With SORG_HTTPS "
            "keys answer at https://name alone: write name:8443 where browsers show a port."
        ),
    )
    gateway_host: str = Field("127.0.0.1", description="Address the patients' gateway listens on.")
    gateway_port: int = Field(8600, description="Port of the patients' gateway.")
    gateway_url: str = Field(
        "", description="How patients reach the gateway, as in links. Empty: http://host:port of the gateway."
    )
    https: bool = Field(
        False,
        description="Set when a proxy in front speaks HTTPS (docs/https.md): cookies become Secure, browsers stay with it.",
    )
    proxies: str = Field(
        "127.0.0.1",
        description=(
            "Addresses or networks of the proxies in front, with commas. Only theirs is believed when they name the "
            "browser's address; every other X-Forwarded-For is not."
        ),
    )
    session_idle_minutes: int = Field(
        15, ge=1, description="A staff session ends after this long without use."
    )
    session_hours: int = Field(12, ge=1, description="A staff session ends after this long in any case.")
    sign_in_tries: int = Field(
        4,
        ge=1,
        le=20,
        description=(
            "Wrong passwords before an account rests for 15 minutes (of the directory: 31). The directory's own limit is "
            "kept to where Sorg can read it (Groups and roles shows it); keep this below it (docs/decisions/085-directory.md)."
        ),
    )
    away_hours: int = Field(
        72,
        ge=0,
        le=72,
        description="How long after the last sign-in somebody may still come in while the directory is away. 0: never.",
    )
    slip_days: int = Field(7, ge=1, le=30, description="How long a sign-in slip works.")
    single_admin: bool = Field(
        False,
        description="A practice with one admin: what they change alone is applied after a delay (docs/roles/admin.md).",
    )
    single_admin_hours: int = Field(
        24, ge=1, le=168, description="The delay of SORG_SINGLE_ADMIN, during which a change can be stopped."
    )
    admins_need_keys: str = Field(
        "auto",
        pattern="^(auto|yes|no)$",
        description=(
            "Whether what admins do is opened and approved with a passkey or security key alone: yes, no, or auto, which is "
            "yes where keys work for everybody: with SORG_HTTPS and a host name in SORG_CONSOLE_NAMES."
        ),
    )
    glass_hours: int = Field(
        4, ge=1, le=24, description="How long a patient stays open to whoever broke the glass."
    )
    lease_minutes: int = Field(
        15, ge=1, description="How long a transcriptionist or radiologist holds a report unseen."
    )
    quiet_seconds: int = Field(10, ge=0, description="A study has arrived when no image came for this long.")
    poll_seconds: float = Field(1.0, gt=0, description="How often the worker asks Orthanc for changes.")
    share_days: int = Field(
        7, ge=1, le=90, description="How long a patient's link works unless reception chooses otherwise."
    )
    share_wrong_answers: int = Field(
        5, ge=1, description="Wrong dates of birth before a link closes for good."
    )
    switch: str = Field(
        "simulator",
        pattern="^(simulator|folder)$",
        description="Where claims go: the built-in simulator, or a switch's folder.",
    )
    switch_folder: Path | None = Field(
        None, description="For SORG_SWITCH=folder: the folder that the switch's own client watches."
    )
    directory: str = Field(
        "none",
        pattern="^(none|ad|openldap)$",
        description="Who keeps the staff's passwords: none (Sorg itself), ad (Active Directory) or openldap.",
    )
    directory_servers: str = Field(
        "",
        pattern=r"^\s*(([\w.-]+@)?[\w.-]+(:\d{1,5})?\s*(,\s*|$))*$",
        description=(
            "The directory's servers, with commas, asked in this order: dc1.practice.local:636, or "
            "name@address:port, which needs no name server."
        ),
    )
    directory_base: str = Field("", description="Below which entry staff are searched: DC=practice,DC=local.")
    directory_domain: str = Field(
        "", description="What follows the @ of a directory login. Empty: from the DC= parts of the base."
    )
    directory_ca: Path | None = Field(
        None,
        description="File with the certificates (PEM) of the authority that the directory's servers have.",
    )
    directory_user: str = Field(
        "", description="The account with which Sorg reads the directory; it needs no other right."
    )
    directory_password_file: Path | None = Field(None, description="File with that account's password.")
    directory_writer: str = Field(
        "",
        description=(
            "The account to which the changing of staff is delegated in the directory. Empty: Sorg changes "
            "nothing there."
        ),
    )
    directory_writer_password_file: Path | None = Field(
        None, description="File with that account's password."
    )
    directory_new_people: str = Field(
        "", description="Where new accounts are made: OU=Staff,DC=practice,DC=local. Empty: at the base."
    )
    directory_groups: str = Field(
        "", description="Below which entry groups are searched. Empty: below the base."
    )
    oidc_issuer: str = Field(
        "",
        description="Single sign-on: the issuer of an OpenID Connect provider (Keycloak, Entra, ADFS). Empty: none.",
    )
    oidc_client_id: str = Field("", description="Single sign-on: our client id at the provider.")
    oidc_client_secret_file: Path | None = Field(
        None,
        description="Single sign-on: file with our secret there. Unset: a public client, with PKCE alone.",
    )
    oidc_ca_file: Path | None = Field(
        None, description="Single sign-on: certificates (PEM) to trust instead of the public authorities'."
    )
    oidc_name: str = Field(
        "single sign-on",
        max_length=40,
        description="Single sign-on: what its button says after “Continue with”.",
    )
    oidc_groups_claim: str = Field(
        "groups", description="Single sign-on: the claim that lists a person's groups. Empty: none is read."
    )
    oidc_directory_id: str = Field(
        "",
        description="Single sign-on: the claim with a person's own id in our directory (objectGUID, entryUUID or SID). Who "
        "comes with it is that person of the directory. Only a claim that people cannot change themselves. Empty: none.",
    )
    oidc_second_factor: str = Field(
        "",
        description="Single sign-on: values of acr or amr, with commas, that count as a second factor. "
        "Empty: ours is always asked.",
    )

    @field_validator("admins_need_keys", mode="before")
    @classmethod
    def _as_it_was_said(cls, said: Any) -> Any:
        """What was a switch before keeps its meaning."""
        return {"true": "yes", "1": "yes", "false": "no", "0": "no"}.get(str(said).strip().lower(), said)

    @field_validator("gateway_url")
    @classmethod
    def _as_a_browser_writes_it(cls, said: str) -> str:
        """Links are put together with it, and it is held against what browsers say: no slash behind, no port that is usual."""
        if not said.strip():
            return ""
        try:
            parts = urlsplit(said.strip())
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port, parts = "", None, urlsplit("")
        usual = {"http": 80, "https": 443}
        if (
            parts.scheme not in usual
            or not host
            or parts.username
            or parts.path.strip("/")
            or parts.query
            or parts.fragment
        ):
            raise ValueError(
                f"“{said}” is no address such as https://images.practice.example, with nothing behind it."
            )
        there = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{there}" + (f":{port}" if port and port != usual[parts.scheme] else "")

    @field_validator("proxies")
    @classmethod
    def _are_addresses(cls, said: str) -> str:
        """A name or a star would be taken in silence, and believe nobody or everybody."""
        for one in filter(None, (part.strip() for part in said.split(","))):
            try:
                ip_network(one)
            except ValueError:
                raise ValueError(
                    f"“{one}” is neither an address nor a network such as 10.1.0.0/24."
                ) from None
        return said


def read(**overrides: Any) -> Settings:
    """The settings of this process. Raises Unfit with every problem in words."""
    named = os.environ.get("SORG_SETTINGS")
    if named and not os.access(named, os.R_OK):
        raise Unfit(f"SORG_SETTINGS names {named}, which cannot be read.")
    try:
        return Settings(_env_file=named, **overrides)  # type: ignore[call-arg]
    except ValidationError as error:
        lines = "; ".join(_told(str(e["loc"][0]), e["type"], e["msg"]) for e in error.errors())
        raise Unfit(f"A setting is wrong. {lines}") from None


def _told(name: str, kind: str, said: str) -> str:
    if kind == "string_pattern_mismatch":
        said = (
            Settings.model_fields[name].description or said
        )  # A pattern helps nobody; what it stands for does.
    return f"SORG_{name.upper()}: {said.removeprefix('Value error, ')}"


def proxies(settings: Settings) -> list[str]:
    """The addresses whose word about the browser's address is taken."""
    return [one.strip() for one in settings.proxies.split(",") if one.strip()]


def console_origins(settings: Settings) -> tuple[str, ...]:
    """Where browsers have the console, as keys are bound to it (WebAuthn level 2, §5.1.2): each name, over HTTPS, with its port."""
    if not settings.https:
        return ()
    names = (name.strip().lower() for name in settings.console_names.split(","))
    return tuple(
        f"https://{name.removesuffix(':443')}" for name in names if name and not _is_address(host_of(name))
    )


def gateway_origins(settings: Settings) -> tuple[str, ...]:
    """The same of the patients' gateway; empty while it has no address by name."""
    url = settings.gateway_url.lower()
    return (url,) if url and not _is_address(urlsplit(url).hostname or "") else ()


def host_of(name: str) -> str:
    """A host name or address without its port."""
    name = name.strip()
    return name.rpartition(":")[0] if name.count(":") == 1 or "]:" in name else name


def needs_keys(settings: Settings) -> bool:
    """Whether admins need keys here. auto: where staff reach the console over HTTPS by a name, else keys do not work."""
    works = bool(console_origins(settings))
    return {"yes": True, "no": False}.get(settings.admins_need_keys, works)


def unencrypted(settings: Settings) -> tuple[str, ...]:
    """A sentence for each door that other machines reach without HTTPS; it is said, and nothing is refused."""
    if settings.https:
        return ()
    doors = (("console", settings.console_host), ("patients' gateway", settings.gateway_host))
    return tuple(
        f"The {door} listens on {host} without HTTPS: whoever shares the network can read passwords and patients' data. "
        "docs/https.md says how to mend that."
        for door, host in doors
        if not _is_loopback(host)
    )


def _is_loopback(host: str) -> bool:
    return ip_address(host.strip("[]")).is_loopback if _is_address(host) else host.lower() == "localhost"


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def modalities(settings: Settings) -> dict[str, tuple[str, str, int]]:
    """The scanners as Orthanc wants them: name to (AE title, host, port)."""
    found = {}
    for one in filter(None, (part.strip() for part in settings.scanners.split(","))):
        name, address = one.split("=", 1)
        title, place = address.split("@", 1)
        host, port = place.rsplit(":", 1)
        found[name] = (title.strip(), host, int(port))
    return found


def rules(settings: Settings) -> dict[str, Any]:
    """What verbs obey, by the names they ask for."""
    return {
        "session_idle": timedelta(minutes=settings.session_idle_minutes),
        "session_lasts": timedelta(hours=settings.session_hours),
        "sign_in_tries": settings.sign_in_tries,
        "away_lasts": timedelta(hours=settings.away_hours),
        "slip_lasts": timedelta(days=settings.slip_days),
        "single_admin": settings.single_admin,
        "single_admin_delay": timedelta(hours=settings.single_admin_hours),
        "admins_need_keys": needs_keys(settings),
        "glass_lasts": timedelta(hours=settings.glass_hours),
        "lease_lasts": timedelta(minutes=settings.lease_minutes),
        "quiet": timedelta(seconds=settings.quiet_seconds),
        "share_lasts": timedelta(days=settings.share_days),
        "share_wrong_answers": settings.share_wrong_answers,
        "gateway_url": settings.gateway_url or f"http://{settings.gateway_host}:{settings.gateway_port}",
    }
