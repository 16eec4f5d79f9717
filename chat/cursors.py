"""Cursors: places in a list, opaque to clients."""

import base64

from contract.errors import Invalid
from contract.names import MAX_ID


def encode(name: str, first: int, second: int) -> str:
    """The list's name and two numbers, and an end, so that what was cut short is no other place."""
    return base64.urlsafe_b64encode(f"{name}.{first}.{second}.".encode()).decode().rstrip("=")


def decode(name: str, cursor: str, *, member: str) -> tuple[int, int]:
    """The two numbers. Raises Invalid, naming the member, for what encode() has not made for this
    list."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        _, first, second, _ = base64.urlsafe_b64decode(padded).rsplit(b".", 3)
        numbers = int(first), int(second)
    except ValueError:
        numbers = -1, -1
    ours = min(numbers) >= 0 and max(numbers) <= MAX_ID
    if not ours or cursor != encode(name, *numbers):
        raise Invalid(f"{member} is not a cursor of this database. Load the list anew.")
    return numbers
