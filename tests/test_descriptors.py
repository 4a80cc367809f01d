"""A door may hold more connections than a login's own limit lets it."""

import resource
import subprocess
import sys

ASKED = """
import resource
from ops.descriptors import open_as_many_as_allowed
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
open_as_many_as_allowed()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_door_takes_as_many_connections_as_the_machine_allows():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    told = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert f"{most} {hard}\n" == told.stdout
