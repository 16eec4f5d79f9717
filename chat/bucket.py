"""A bucket of S3, or of a server that speaks like it, as storage.

boto3 is Amazon's own client and the one that such servers are tested with. It signs and tries
again. Where the bucket is and who asks is said by the usual AWS variables.
"""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chat.storage import NO_BYTES
from contract.errors import NotFound, Unavailable

AWAY = "The storage of files does not answer. Try again later."

#: Seconds for a connection to the bucket, and for each of its answers.
CONNECT_SECONDS, ANSWER_SECONDS = 5, 20
#: How often a request is tried, and the rest of an answer that was cut off.
TRIES = 3
READ_BYTES = 256 * 1024


class Bucket:
    """Objects in a bucket of S3 or of a server that speaks like it, all below one prefix."""

    def __init__(self, name: str, prefix: str) -> None:
        self._name, self._prefix = name, f"{prefix}/" if prefix else ""
        # Servers other than Amazon's do not know its newer checksums.
        needed = {
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=ANSWER_SECONDS,
            retries={"max_attempts": TRIES, "mode": "standard"},
            **needed,
        )
        self._client: Any = boto3.client("s3", config=config)

    def put(self, key: str, path: Path) -> None:
        # In one request: an upload in parts that a kill cuts off would leave parts that no listing
        # of the bucket shows.
        with _answers(), path.open("rb") as file:
            self._client.put_object(Bucket=self._name, Key=self._prefix + key, Body=file)

    def open(self, key: str) -> io.BufferedReader:
        where = {"Bucket": self._name, "Key": self._prefix + key}
        with _answers():
            size = self._client.head_object(**where)["ContentLength"]
        return io.BufferedReader(_Object(self._client, where, size), READ_BYTES)

    def remove(self, key: str) -> None:
        with _answers():
            self._client.delete_object(Bucket=self._name, Key=self._prefix + key)

    def old_keys(self, seconds: float) -> Iterator[str]:
        until = time.time() - seconds
        listing = self._client.get_paginator("list_objects_v2")
        with _answers():
            for page in listing.paginate(Bucket=self._name, Prefix=self._prefix):
                for item in page.get("Contents", []):
                    if item["LastModified"].timestamp() < until:
                        yield item["Key"].removeprefix(self._prefix)

    def close(self) -> None:
        self._client.close()


@contextmanager
def _answers() -> Iterator[None]:
    """What boto3 raises inside becomes what the API answers."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey"):
            raise NotFound(NO_BYTES) from None
        raise Unavailable(AWAY) from error
    except BotoCoreError as error:
        raise Unavailable(AWAY) from error


class _Object(io.RawIOBase):
    """An object of a bucket to read from, at any place; an answer that is cut off is asked for
    again from there."""

    def __init__(self, client: Any, where: dict[str, str], size: int) -> None:
        self._client, self._where, self._size = client, where, size
        self._place = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if base + offset != self._place:
            self._drop()
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        if self._place >= self._size:
            return 0
        for trial in range(TRIES):
            try:
                with _answers():
                    received = self._received(len(buffer))
            except Exception:
                self._drop()
                if trial == TRIES - 1:
                    raise
                continue
            buffer[: len(received)] = received
            self._place += len(received)
            return len(received)
        return 0

    def _received(self, most: int) -> bytes:
        if self._body is None:
            span = f"bytes={self._place}-"
            self._body = self._client.get_object(**self._where, Range=span)["Body"]
        received: bytes = self._body.read(most)
        if not received:
            raise Unavailable(AWAY)  # less than the object has
        return received

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        self._drop()
        super().close()
