"""How long a reason is that somebody gives. One that nobody can read later on is none.

`WHY` is what the second admin reads of a change; `REASON` what is reviewed of access to one patient.
"""

from __future__ import annotations

SHORTEST_WHY, LONGEST_WHY = 5, 300
SHORTEST_REASON, LONGEST_REASON = 10, 1000
