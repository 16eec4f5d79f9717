"""The queue of those who wait for a password to be hashed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from contract.errors import Busy
from tests.support.servers import PATIENCE, eventually
from web import hash_queue
from web.hash_queue import HashQueue


class Crowd:
    """People who wait in a queue while somebody has the turn."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.queue = HashQueue()
        self.served: list[str] = []
        self.left: set[str] = set()
        self._pool = pool
        self._go_on = threading.Event()
        started = threading.Event()
        self._all = [pool.submit(self._take_first_turn, started)]
        assert started.wait(PATIENCE)

    def _take_first_turn(self, started: threading.Event) -> None:
        with self.queue.turn("192.0.2.255", lambda: False):
            started.set()
            assert self._go_on.wait(PATIENCE)

    def joins(self, name: str, address: str) -> Future[None]:
        """Somebody waits, behind those who came before, or is refused."""
        before = self.queue.length
        joined = self.comes(name, address)
        assert eventually(lambda: joined.done() or self.queue.length > before)
        return joined

    def comes(self, name: str, address: str) -> Future[None]:
        joined = self._pool.submit(self._wait, name, address)
        self._all.append(joined)
        return joined

    def _wait(self, name: str, address: str) -> None:
        with self.queue.turn(address, lambda: name in self.left):
            self.served.append(name)

    def goes_on(self) -> list[str]:
        """Those who were served, in order."""
        self._go_on.set()
        wait(self._all, PATIENCE)
        return self.served


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with ThreadPoolExecutor(64) as pool:
        crowd = Crowd(pool)
        yield crowd
        crowd.goes_on()


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    def limits(most: int, of_address: int) -> None:
        monkeypatch.setattr(hash_queue, "MOST", most)
        monkeypatch.setattr(hash_queue, "MOST_OF_ADDRESS", of_address)

    return limits


def test_addresses_take_turns_in_the_queue(crowd: Crowd) -> None:
    for name, address in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b")]:
        crowd.joins(name, address)
    crowd.joins("c1", "c")

    assert crowd.goes_on() == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_one_address_has_so_many_places(crowd: Crowd, limits: Callable[[int, int], None]) -> None:
    limits(100, 2)
    crowd.joins("a1", "a")
    crowd.joins("a2", "a")

    with pytest.raises(Busy, match="Try again in 5 seconds"):
        crowd.joins("a3", "a").result(PATIENCE)

    crowd.joins("b1", "b")
    assert crowd.goes_on() == ["a1", "b1", "a2"]


def test_the_queue_has_so_many_places(crowd: Crowd, limits: Callable[[int, int], None]) -> None:
    limits(2, 10)
    crowd.joins("a1", "a")
    crowd.joins("b1", "b")

    with pytest.raises(Busy):
        crowd.joins("c1", "c").result(PATIENCE)

    assert crowd.goes_on() == ["a1", "b1"]


def test_those_who_left_make_room(crowd: Crowd, limits: Callable[[int, int], None]) -> None:
    limits(100, 2)
    gone = crowd.joins("a1", "a")
    crowd.joins("a2", "a")
    crowd.left.add("a1")

    crowd.comes("a3", "a")

    with pytest.raises(Busy):
        gone.result(PATIENCE)
    assert crowd.goes_on() == ["a2", "a3"]


def test_those_who_left_get_no_turn(crowd: Crowd) -> None:
    gone = crowd.joins("a1", "a")
    crowd.joins("a2", "a")
    crowd.left.add("a1")

    assert crowd.goes_on() == ["a2"]
    with pytest.raises(Busy):
        gone.result(PATIENCE)


def test_a_failure_passes_the_turn_on(crowd: Crowd) -> None:
    crowd.joins("a1", "a")
    assert crowd.goes_on() == ["a1"]

    with pytest.raises(ZeroDivisionError), crowd.queue.turn("a", lambda: False):
        raise ZeroDivisionError

    with crowd.queue.turn("b", lambda: False):
        crowd.served.append("b1")
    assert crowd.served == ["a1", "b1"]
