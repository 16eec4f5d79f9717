"""A proxy in front of a server that kills, slows down and cuts off its answers."""

import math
import socket
import threading
import time
from contextlib import suppress
from typing import Self

from tests.support.servers import HOST


class HarmfulProxy:
    """Passes connections on. Of its answers it lets through what the test says."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._closing = threading.Event()
        self.heal()

    def harm(self, *, after: float, hangs: bool = False, times: float = math.inf) -> None:
        """Let so many bytes of each answer through, and then close its connection or say nothing
        more; so many times."""
        self._after, self._hangs, self._times = after, hangs, times
        self._drop_all()

    def slow_down(self, seconds: float) -> None:
        """Wait before each piece of an answer."""
        self._pause = seconds

    def heal(self) -> None:
        """Let everything through again."""
        self._pause = 0.0
        self.harm(after=math.inf)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or it would accept one more
        self._listener.close()
        self._drop_all()
        for each in list(self._open):
            each.close()

    def _drop_all(self) -> None:
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((HOST, self._to))
                except OSError:  # it has stopped
                    client.close()
                    continue
                self._open |= {client, server}
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while some := client.recv(65_536):
                server.sendall(some)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        left = self._after
        with suppress(OSError):
            while some := server.recv(65_536):
                time.sleep(self._pause)
                harms = self._times > 0
                client.sendall(some[: int(min(left, len(some)))] if harms else some)
                left -= len(some)
                if left < 0 and harms:
                    self._times -= 1
                    self._hang(client)
                    break
        for each in (client, server):
            each.close()
            self._open.discard(each)

    def _hang(self, client: socket.socket) -> None:
        while self._hangs and client.fileno() >= 0 and not self._closing.wait(0.05):
            pass
