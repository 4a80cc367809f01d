"""Files that a page hands out: each to the sessions whose pages hold it, whoever else knows its address.

Streamlit names a file after its content and gives it to anybody who asks. The address stays in the downloads list of a
computer that the next colleague sits at, and in there are lists of patients, reports and slips.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from uuid import UUID

from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

PREFIX = "/media/"
_MOST = 20_000
_given: OrderedDict[tuple[str, UUID | None], None] = OrderedDict()
_lock = threading.Lock()


def watch(whose: Callable[[], UUID | None]) -> None:
    """Note from now on whose page each file is drawn on. whose: None before anybody is known, as for our own mark."""
    take = MemoryMediaFileStorage.load_and_get_id
    if hasattr(take, "__wrapped__"):
        return  # Of two consoles in one process, as in tests, the first has seen to it.

    @wraps(take)
    def taken(self: MemoryMediaFileStorage, *args, **how) -> str:
        file_id = take(self, *args, **how)
        _note(file_id, whose())
        return file_id

    MemoryMediaFileStorage.load_and_get_id = taken  # type: ignore[method-assign]


def is_for(path: str, session: UUID | None) -> bool:
    """Whether the file of this path was drawn on a page of this session, or on one that is everybody's."""
    file_id = path.removeprefix(PREFIX).split(".")[0]
    with _lock:
        return (file_id, session) in _given or (file_id, None) in _given


def _note(file_id: str, session: UUID | None) -> None:
    with _lock:
        _given[(file_id, session)] = None
        _given.move_to_end((file_id, session))
        while len(_given) > _MOST:
            _given.popitem(last=False)
