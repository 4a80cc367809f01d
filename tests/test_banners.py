"""What stands above every page never makes anybody wait for somebody else's question."""

import threading
from datetime import timedelta

from console import banners, door
from tests.fixtures.house import TestHouse


def test_while_one_asks_a_silent_directory_the_others_go_on_with_its_last_word(house: TestHouse, monkeypatch):
    monkeypatch.setattr(door, "_door", door.Door(house.house))
    monkeypatch.setattr(banners, "_said", (house.clock.at - timedelta(minutes=1), "answers"))
    heard: list[str] = []
    other = threading.Thread(target=lambda: heard.append(banners._is_there()), daemon=True)
    with banners._lock:
        other.start()
        other.join(10)
        assert ["answers"] == heard
