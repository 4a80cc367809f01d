"""The console begins small, and what a password needed is given back. Tried in a process of its own, as it starts."""

import json
import subprocess
import sys

ON_DEMAND = ["duckdb", "pyarrow.parquet", "pydicom", "ldap3", "alembic", "openpyxl"]

STARTED = """
import asyncio, importlib, json, sys
from console import asgi, nav
import ops.opening
for name in (*asgi._HEAVY, *(page.module for page in nav.PAGES if page.key not in asgi._ON_DEMAND)):
    importlib.import_module(name)
print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))
"""

HASHED = """
from concurrent.futures import ThreadPoolExecutor
import psutil
from argon2 import PasswordHasher
from ops.memory import give_back_large_blocks
give_back_large_blocks()
hasher = PasswordHasher(time_cost=1, memory_cost=19_456, parallelism=1)
before = psutil.Process().memory_info().rss
with ThreadPoolExecutor(4) as threads:
    list(threads.map(hasher.hash, ["correct horse battery"] * 24))
print((psutil.Process().memory_info().rss - before) // 1_000_000)
"""


def printed(script: str, *said: str) -> str:
    done = subprocess.run([sys.executable, "-c", script, *said], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_what_not_every_practice_uses_is_not_loaded_at_the_consoles_start():
    assert "[]" == printed(STARTED, json.dumps(ON_DEMAND))


def test_passwords_that_were_checked_hold_no_memory():
    assert 15 > int(printed(HASHED))
