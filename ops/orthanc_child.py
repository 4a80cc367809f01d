"""Orthanc as our child process: configured, confined to this machine, watched, and stopped with us.

Works with Debian 12's 1.10 and Debian 13's 1.12. docs/decisions/030-orthanc-child.md says why it is so.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Literal, Self

import requests

from core.errors import Unfit

GUARD_SOURCE = Path(__file__).resolve().parents[1] / "deploy" / "orthanc" / "loopback_bind.c"
BINARIES = ("/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc", "/usr/local/bin/Orthanc")
PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/local/share/orthanc/plugins")
PLUGINS = ("libOrthancDicomWeb.so", "libOrthancGdcm.so")
LOOPBACK = "127.0.0.1"
BACKOFF_FIRST_S, BACKOFF_MOST_S, HEALTHY_AFTER_S = 1.0, 60.0, 60.0
LOG_MOST_BYTES = 5_000_000
# Orthanc logs no values of images it stores, but those of one that lacks an identifier, as "PatientID=..., ...".
PERSONAL = re.compile(rb"\b(Patient\w*|Accession\w*|Other\w*|Referring\w*|StudyID|Study\w*UID)=[^,\r\n]*")

# PR_SET_PDEATHSIG fires when the thread that forked ends, not only when the process does. So one thread
# of ours forks every child, and it lives as long as the interpreter.
_LAUNCHER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="orthanc-launcher")


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def find_binary() -> Path:
    """Where Orthanc is; Unfit says how to install it."""
    for name in (shutil.which("Orthanc"), *BINARIES):
        if name and os.access(name, os.X_OK):
            return Path(name)
    raise Unfit(
        "Orthanc is not installed on this machine. Install it with: "
        "apt-get install orthanc orthanc-dicomweb orthanc-gdcm"
    )


def find_plugin(name: str) -> Path | None:
    """The full path of a plugin of this machine, None when it is not installed."""
    if "/" in name:
        return Path(name) if Path(name).exists() else None
    return next((p for d in PLUGIN_FOLDERS if (p := Path(d) / name).exists()), None)


def build_guard(folder: Path) -> Path:
    """Compile the guard of deploy/orthanc/ into `folder` unless it is there already; its path."""
    source = GUARD_SOURCE.read_bytes()
    guard = folder / f"loopback_bind-{hashlib.sha256(source).hexdigest()[:12]}.so"
    if guard.exists():
        return guard
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Unfit("A C compiler is needed once, to confine Orthanc to this machine: apt-get install gcc")
    half = guard.with_suffix(f".{os.getpid()}.tmp")
    made = subprocess.run(
        [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(half), str(GUARD_SOURCE), "-ldl"],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise Unfit(f"The guard that confines Orthanc did not compile: {made.stderr.strip()[:300]}")
    half.replace(guard)
    return guard


def listening(pid: int) -> dict[int, set[str]]:
    """Port -> addresses on which this process listens, as the kernel sees it (proc(5), /proc/net/tcp)."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except FileNotFoundError:  # Closed between the listing and the reading.
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found: dict[int, set[str]] = {}
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/{pid}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            local, state, inode = (field := line.split())[1], field[3], field[9]
            if state == "0A" and inode in inodes:
                address, port = local.split(":")
                found.setdefault(int(port, 16), set()).add(_kernel_address(address))
    return found


def _kernel_address(text: str) -> str:
    # The kernel prints an address as 32-bit words in the byte order of the machine.
    words = (int(text[i : i + 8], 16).to_bytes(4, "little") for i in range(0, len(text), 8))
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class OrthancChild:
    """One Orthanc that lives in `home` and answers on this machine only.

    Ports of 0 are chosen at the first start and kept for later ones. Scanners reach it when `dicom_address`
    names an address of this machine; then `modalities` must say which ones (name -> (AET, host, port)),
    because DICOM has no password.
    """

    def __init__(
        self,
        home: Path,
        *,
        http_port: int = 0,
        dicom_port: int = 0,
        user: str = "sorg",
        password: str,
        aet: str = "SORG",
        extra_plugins: Sequence[str] = (),
        dicom_address: str = LOOPBACK,
        modalities: Mapping[str, tuple[str, str, int]] | None = None,
        stable_age_s: int = 5,
        extra_settings: Mapping[str, object] | None = None,
        start_timeout_s: float = 30.0,
    ) -> None:
        self.home = Path(home).resolve()
        self.http_port = http_port
        self.dicom_port = dicom_port
        self.auth = (user, password)
        self.aet = aet
        self.extra_plugins = tuple(extra_plugins)
        self.dicom_address = dicom_address
        self.modalities = dict(modalities or {})
        self.stable_age_s = stable_age_s
        self.extra_settings = dict(extra_settings or {})
        self.start_timeout_s = start_timeout_s
        self._process: subprocess.Popen | None = None
        self._clerk: threading.Thread | None = None
        self._wanted = False
        self._started_at_s = 0.0
        self._wait_s = BACKOFF_FIRST_S
        self._next_try_s = 0.0

    # What others need to reach it.

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def config_path(self) -> Path:
        return self.home / "orthanc.json"

    @property
    def log_path(self) -> Path:
        return self.home / "orthanc.log"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.alive() and self._process else None

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # Its life.

    def start(self) -> Self:
        """Start it and return when it answers; Unfit says what stands in the way."""
        if self.alive():
            return self
        binary = find_binary()
        self._check_exposure()
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        self.http_port = self.http_port or free_port()
        self.dicom_port = self.dicom_port or free_port()
        self._check_ports()
        guard = build_guard(self.home)
        self._write_config()
        self._wanted = True
        self._process = _LAUNCHER.submit(self._spawn, binary, guard).result()
        self._started_at_s = time.monotonic()
        try:
            self._wait_until_answering()
            self._check_confined()
        except BaseException:
            self._end(polite=False)
            raise
        return self

    def stop(self) -> None:
        """Ask it to finish and wait for the process: its ports stay bound for seconds meanwhile."""
        self._wanted = False
        self._end(polite=True)

    def kill(self) -> None:
        """End it as a power cut would; `watch_once` will start it again."""
        self._end(polite=False)

    def watch_once(self) -> Literal["up", "restarted", "waiting", "stopped"]:
        """One look by the supervisor: start it again when it fell, with pauses that double up to a minute."""
        now_s = time.monotonic()
        if not self._wanted:
            return "stopped"
        if self.alive():
            if now_s - self._started_at_s > HEALTHY_AFTER_S:
                self._wait_s = BACKOFF_FIRST_S
            return "up"
        if now_s < self._next_try_s:
            return "waiting"
        self._next_try_s = now_s + self._wait_s
        self._wait_s = min(self._wait_s * 2, BACKOFF_MOST_S)
        self.start()
        return "restarted"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # How.

    def settings(self) -> dict[str, object]:
        """Orthanc's own configuration; deploy/orthanc/README.md explains each line that is not obvious."""
        plugins = [find_plugin(name) for name in (*PLUGINS, *self.extra_plugins)]
        user, password = self.auth
        return {
            "Name": "Ubuntu Patient Sorg",
            "StorageDirectory": str(self.home / "storage"),
            "IndexDirectory": str(self.home / "index"),
            "HttpPort": self.http_port,
            "HttpBindAddresses": [LOOPBACK],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {user: password},
            "DicomAet": self.aet,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": False,
            "DicomCheckModalityHost": bool(self.modalities),
            "DicomAlwaysAllowStore": not self.modalities,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowFind": False,
            "DicomAlwaysAllowGet": False,
            "DicomAlwaysAllowMove": False,
            "DicomModalities": {name: list(where) for name, where in self.modalities.items()},
            "StableAge": self.stable_age_s,
            "OverwriteInstances": False,
            "DefaultEncoding": "Latin1",
            "ConcurrentJobs": 2,
            "HttpThreadsCount": 50,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "LimitFindResults": 200,
            "LimitFindInstances": 200,
            "ExecuteLuaEnabled": False,
            "WebDavEnabled": False,
            "StorageCompression": False,
            "Plugins": [str(p) for p in plugins if p],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
            "Gdcm": {"Enable": True},
            **self.extra_settings,
        }

    def _write_config(self) -> None:
        half = self.config_path.with_suffix(".tmp")
        half.unlink(missing_ok=True)
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            json.dump(self.settings(), f, indent=2)
        half.replace(self.config_path)

    def _spawn(self, binary: Path, guard: Path) -> subprocess.Popen:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            # Without it DCMTK waits for delayed ACKs: 11 instead of 350 instances a second.
            "TCP_NODELAY": "1",
            "LD_PRELOAD": str(guard),
            "SORG_PARENT_PID": str(os.getpid()),
        }
        if self.dicom_address != LOOPBACK:
            environment["SORG_DICOM_BIND"] = f"{self.dicom_port} {self.dicom_address}"
        process = subprocess.Popen(
            [str(binary), str(self.config_path)],
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            umask=0o077,
            start_new_session=True,  # Ctrl-C is for us; we then stop it in our own order.
        )
        self._clerk = threading.Thread(target=self._keep_log, args=(process.stdout,), daemon=True)
        self._clerk.start()
        return process

    def _keep_log(self, told: IO[bytes]) -> None:
        """Write down what Orthanc says, without the patients it names when it refuses their images."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_MOST_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with told, os.fdopen(log, "wb", buffering=0) as file:
            for line in told:
                file.write(PERSONAL.sub(rb"\1=(left out)", line))

    def _wait_until_answering(self) -> None:
        deadline_s = time.monotonic() + self.start_timeout_s
        while time.monotonic() < deadline_s:
            if not self.alive():
                raise Unfit(f"Orthanc ended while it was starting: {self._last_error()}")
            try:
                answer = requests.get(f"{self.url}/system", auth=self.auth, timeout=2)
                if answer.status_code == 200:
                    return
                raise Unfit(f"Something else answers on port {self.http_port} in Orthanc's place.")
            except requests.RequestException:
                time.sleep(0.03)
        raise Unfit(f"Orthanc did not answer within {self.start_timeout_s:.0f} s: {self._last_error()}")

    def _check_ports(self) -> None:
        for port, what in ((self.http_port, "HTTP"), (self.dicom_port, "DICOM")):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.dicom_address if what == "DICOM" else LOOPBACK, port))
                except OSError:
                    raise Unfit(
                        f"Port {port}, meant for Orthanc's {what}, is in use. Stop the program that uses it "
                        "(on Debian perhaps the packaged service: systemctl disable --now orthanc) "
                        "or choose another port."
                    ) from None

    def _check_exposure(self) -> None:
        if not ipaddress.ip_address(self.dicom_address).is_loopback and not self.modalities:
            raise Unfit(
                "Orthanc's DICOM port may be opened to the network only together with the list of scanners "
                "that may send to it."
            )

    def _check_confined(self) -> None:
        pid = self.pid
        meant = {self.http_port: {LOOPBACK}, self.dicom_port: {self.dicom_address}}
        found = listening(pid) if pid else {}
        if found != meant:
            seen = ", ".join(f"{a}:{port}" for port, where in found.items() for a in sorted(where))
            raise Unfit(
                f"Orthanc could not be confined to this machine and was stopped: it listens on {seen}."
            )

    def _last_error(self) -> str:
        if self._clerk and not self.alive():
            self._clerk.join(timeout=2)
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        told = [line for line in lines if line.startswith("E")] or lines
        return told[-1].split("] ", 1)[-1][:200] if told else "it wrote nothing to its log."

    def _end(self, *, polite: bool) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            if polite:
                process.terminate()
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    process.kill()
            else:
                process.kill()
        process.wait()
