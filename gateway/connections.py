"""One client's WebSocket: bytes in, messages out of them, and a bounded queue of frames to send.

Nothing here blocks, and nothing raises for what a client or the network does. A connection in
trouble sets `gone`. The loop looks after every connection that was touched, and removes such ones.
"""

import logging
import socket
import time
from collections.abc import Iterable, Iterator

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from gateway.frames import PING, error_frame
from gateway.limits import Limits

READ_BYTES = 4096
"""Bytes read of one connection in one turn of the loop, so that a flood waits for its neighbours.
They hold some 700 of the smallest frames, a few milliseconds of work."""

WRITE_BYTES = 64 * 1024
"""Frames are joined up to this size, so that a burst costs one system call and not hundreds."""

NEVER = float("inf")

# The framing library logs every connection at INFO, and we pass on its errors only. This is not
# getLogger(), because its level would change for everyone in the process.
_framing_log = logging.Logger("gateway.framing", logging.ERROR)
_framing_log.parent = logging.getLogger("gateway")


class Bucket:
    """A token bucket: `rate` a second over time, `size` at once."""

    __slots__ = ("rate", "size", "tokens", "when")

    def __init__(self, rate: float, size: float, now: float) -> None:
        self.rate, self.size, self.tokens, self.when = rate, size, size, now

    def take(self, count: int, now: float) -> float:
        """Take tokens, going into debt if need be; return the seconds until the debt is paid."""
        self._refill(now)
        self.tokens -= count
        return max(0.0, -self.tokens / self.rate)

    def charge(self, count: float) -> None:
        """Take tokens; the debt is noticed with the next take()."""
        self.tokens -= count

    def try_take(self, now: float) -> bool:
        """Take one token if there is one."""
        self._refill(now)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def _refill(self, now: float) -> None:
        self.tokens = min(self.size, self.tokens + (now - self.when) * self.rate)
        self.when = now


class Connection:
    """One client. Once the loop has it, no other thread may touch it. Slots keep it small."""

    __slots__ = (
        "_fragments",
        "_limits",
        "_protocol",
        "_touched",
        "address",
        "allowance",
        "blocked",
        "client_events",
        "close_by",
        "closing",
        "expires",
        "finishing",
        "gone",
        "heard",
        "interest",
        "is_touched",
        "left",
        "pinged",
        "rest_until",
        "rights",
        "scheduled",
        "serial",
        "sign_by",
        "sock",
        "socket_id",
        "subscriptions",
        "unsent",
        "unsent_bytes",
        "user_id",
    )

    def __init__(
        self,
        sock: socket.socket,
        socket_id: str,
        address: str,
        limits: Limits,
        touched: "list[Connection]",
    ) -> None:
        now = time.monotonic()
        self.sock, self.socket_id, self.address = sock, socket_id, address
        self.subscriptions: dict[str, str | None] = {}  # channel: the user's id if presence
        self.user_id: str | None = None  # once signed in
        self.rights: dict[str, float] = {}  # what it was signed by, and until when
        self.expires = NEVER  # the first of them
        self.sign_by = now + limits.sign_within if limits.sign_within else NEVER
        self.client_events: Bucket | None = None  # most connections never send one
        self.allowance = Bucket(limits.frames_per_second, limits.frames_at_once, now)
        self.unsent: list[bytes] = []
        self.unsent_bytes = 0
        self.blocked = False  # the system's send buffer is full
        self.finishing = False  # half-close once everything is sent
        self.closing = False  # the conversation is over: a close frame was sent or received
        self.gone = False  # nothing more can be done: close the socket
        self.left = False  # out of all channels
        self.heard = now
        self.pinged = 0.0
        self.rest_until = 0.0
        self.close_by = NEVER
        self.scheduled = NEVER  # when the loop will look at the deadline; set by the loop
        self.serial = 0  # its place in the loop's table
        self.interest = 0  # what the selector waits for; set by the loop
        self.is_touched = False
        self._touched = touched
        self._limits = limits
        self._fragments: bytearray | None = None
        # The handshake is over: this parses frames only, without extensions.
        self._protocol = ServerProtocol(
            state=OPEN, max_size=limits.frame_bytes, logger=_framing_log
        )

    # Sending

    def send_raw(self, data: bytes) -> None:
        """Queue bytes, whatever the state; they go out at the end of the loop's turn."""
        self.unsent.append(data)
        self.unsent_bytes += len(data)
        if not self.is_touched:
            self.touch()

    def send(self, frame: bytes) -> None:
        """Queue a frame. If the reader is too slow for its buffer, close the connection instead."""
        if not self.closing:
            self.send_raw(frame)
            self._bound_buffer()

    def close(self, code: int, reason: str) -> None:
        """Say why, in a pusher:error and in the close frame, and wait for the client's answer."""
        if not self.closing:
            self.send(error_frame(reason, code))
            self._start_closing(code, reason)

    def flush(self) -> None:
        """Send what the system takes. The rest waits until the socket is writable again."""
        while self.unsent and not self.blocked and not self.gone:
            chunk = self.unsent.pop() if len(self.unsent) == 1 else self._next_chunk()
            try:
                sent = self.sock.send(chunk)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self.cut()
                return
            self.unsent_bytes -= sent
            if sent < len(chunk):
                self.unsent.insert(0, chunk[sent:])
                self.blocked = True
        if self.finishing and not self.unsent:
            self._half_close()

    def cut(self) -> None:
        """Give up: the loop will close the socket."""
        self.closing = self.gone = True
        self.touch()

    def touch(self) -> None:
        """Have the loop look after this connection before its turn ends."""
        if not self.is_touched:
            self.is_touched = True
            self._touched.append(self)

    # Receiving

    def receive(self, now: float) -> Iterable[str]:
        """Read once; return the messages that are now complete."""
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return ()
        except OSError:
            data = b""
        if not data:
            self.cut()
            return ()
        return self.feed(data, now)

    def feed(self, data: bytes, now: float) -> list[str]:
        """Take bytes from the client. Pings and closing handshakes are answered on the way."""
        self.heard = now
        self._protocol.receive_data(data)
        frames = [f for f in self._protocol.events_received() if isinstance(f, Frame)]
        if debt := self.allowance.take(len(frames), now):
            self.rest_until = now + debt
        messages = list(self._messages(frames))
        self._send_protocol_output()
        self._bound_buffer()  # a client may send pings and read no pong
        self.touch()
        return messages

    # The clock

    @property
    def deadline(self) -> float:
        """When to call overdue() next, unless something happens before."""
        if self.closing:
            return min(self.close_by, self.rest_until or NEVER)
        return min(self.sign_by, self.expires, self._next_look)

    @property
    def _next_look(self) -> float:
        if self.rest_until:
            return self.rest_until
        if self.pinged > self.heard:
            return self.pinged + self._limits.pong_within
        return self.heard + self._limits.ping_after

    def overdue(self, now: float) -> None:
        """Do what the deadline was for: give up, close, read again, or ping."""
        if self.closing:
            self.rest_until = 0.0
            if self.close_by <= now:
                self.cut()
        elif self.expires <= now:
            self.close(4009, "What this connection was signed by has expired")
        elif self.sign_by <= now:
            self.close(4009, "Neither a signed subscription nor a sign-in came in time")
        elif self.rest_until:
            self.rest_until = 0.0
        elif self.pinged > self.heard:
            self.close(4201, "Pong not received in time")
        else:
            self.pinged = now
            self.send(PING)
        self.touch()

    def _messages(self, frames: Iterable[Frame]) -> Iterator[str]:
        """Put fragments together. The library has checked their order and their total size."""
        for frame in frames:
            if frame.opcode is Opcode.BINARY:
                self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "Only text frames are supported")
                return
            if frame.opcode is Opcode.TEXT:
                self._fragments = bytearray(frame.data)
            elif frame.opcode is Opcode.CONT and self._fragments is not None:
                self._fragments += frame.data
            else:
                continue
            if frame.fin:
                whole, self._fragments = self._fragments, None
                try:
                    yield whole.decode()
                except UnicodeDecodeError:
                    self._protocol.fail(CloseCode.INVALID_DATA, "Text is not UTF-8")
                    return

    def _next_chunk(self) -> bytes:
        """Take whole frames off the queue, up to WRITE_BYTES unless the first is larger."""
        count, size = 1, len(self.unsent[0])
        while count < len(self.unsent) and size + len(self.unsent[count]) <= WRITE_BYTES:
            size += len(self.unsent[count])
            count += 1
        chunk = b"".join(self.unsent[:count])
        del self.unsent[:count]
        return chunk

    def _bound_buffer(self) -> None:
        if self.unsent_bytes > WRITE_BYTES and not self.closing:
            self.flush()
            if self.blocked and self.unsent_bytes > self._limits.send_buffer_bytes:
                self._overflow()

    def _overflow(self) -> None:
        # The first piece may be half sent: dropping it would break the framing of the close frame.
        del self.unsent[1:]
        self.unsent_bytes = len(self.unsent[0])
        self._start_closing(4100, "Too slow in reading; reconnect and catch up")

    def _start_closing(self, code: int, reason: str) -> None:
        if not self.closing:
            # A close frame has room for 123 bytes of reason (RFC 6455, 5.5).
            self._protocol.send_close(code, reason.encode()[:123].decode(errors="ignore"))
            self._send_protocol_output()

    def _send_protocol_output(self) -> None:
        for data in self._protocol.data_to_send():
            if not data:
                self.finishing = True
            elif not self.closing:  # after our close frame, pongs would wait for nobody
                self.send_raw(data)
        if self._protocol.state is not OPEN and not self.closing:
            self.closing = True
            self.close_by = time.monotonic() + self._limits.close_within
            self.touch()

    def _half_close(self) -> None:
        # Not close(): unread data would make the system reset the connection, and the client might
        # lose the close frame. The client's end of stream, or the deadline, comes next.
        self.finishing = False
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut()
