"""How fast somebody may try answers: a bucket of tries that fills slowly, one for each address and one for all."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Buckets:
    """size tries at once, then one every `seconds_each`. The addresses longest unseen are forgotten first."""

    size: float
    seconds_each: float
    clock: Callable[[], float]  # seconds, monotonic
    most: int = 10_000
    _levels: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str) -> bool:
        """True when there was a try left. Threads take turns: of two at once, the second would find a full bucket."""
        with self._lock:
            now = self.clock()
            level, since = self._levels.pop(key, (self.size, now))
            level = min(self.size, level + (now - since) / self.seconds_each)
            allowed = level >= 1
            self._levels[key] = (level - 1 if allowed else level, now)
            if len(self._levels) > self.most:
                self._levels.popitem(last=False)
            return allowed
