"""The bell: processes of one machine tell the one that delivers that they have committed events.

SQLite tells other processes nothing; the one that delivers has to ask it again and again. So there
is a socket file in the instance folder, and a datagram to it means "look now". If one is lost, the
events are seen with the next look all the same, a little later.
"""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.handover import Unsupported, listen

CLOSING_SECONDS = 1.0  # after which a bell that is no longer answered goes away

log = logging.getLogger(f"app.{__name__}")


class Bell:
    """The bell of one database. One process answers it; the others ring."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answered = threading.Event()  # by this process

    def answer(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever another process rings, until close()."""
        try:
            ear = listen(self._path)
        except Unsupported:
            return
        except OSError as error:
            log.warning("Events of other processes are seen a little later: %s", error)
            return
        ear.settimeout(CLOSING_SECONDS)
        self._answered = answered = threading.Event()
        answered.set()
        arguments = (ear, answered, wake)
        threading.Thread(target=_listen, args=arguments, name="bell", daemon=True).start()

    def close(self) -> None:
        """Answer no more. The next process that delivers puts its bell in the place of this one."""
        self._answered.clear()

    def ring(self, *_: object) -> None:
        """Tell the process that delivers, if it is another one. Never waits, and never fails."""
        if self._answered.is_set() or not hasattr(socket, "AF_UNIX"):
            return
        # Nobody may be there; and if it has not read what was sent before, it is about to look.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(b"!", str(self._path))


def _listen(ear: socket.socket, answered: threading.Event, wake: Callable[[], None]) -> None:
    with ear:
        while answered.is_set():
            with suppress(TimeoutError):
                ear.recv(1)
                wake()
