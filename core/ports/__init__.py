"""The outside world, one file each: a Protocol, a real body, and where possible one that needs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ports:
    """What a Work may reach outside. Made by the edge that opens the practice."""

    orthanc: Any = None  # core.ports.orthanc.Orthanc
    switch: Any = None  # core.ports.switch.Switch
    accounts: Any = None  # core.ports.directory.LocalAccounts
    directory: Any = None  # core.ports.directory.Directory; None in a practice without one
    identity: Any = None  # core.ports.oidc.IdentityProvider; None without single sign-on
