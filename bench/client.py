"""One client: the same request again and again over one connection.

    python -m bench.client PORT SECONDS METHOD PATH TOKEN BODY ADDRESS

ADDRESS is its own one of 127.0.0.0/8. It warms up, says "ready", waits for a line, and then prints
the seconds that each request took.
"""

import json
import sys
from http.client import HTTPConnection
from time import perf_counter

WARM_UP_SECONDS = 0.4


def main(
    port: str, seconds: str, method: str, path: str, token: str, body: str, address: str
) -> None:
    connection = HTTPConnection("127.0.0.1", int(port), timeout=60, source_address=(address, 0))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def repeat(seconds: float) -> list[float]:
        took = []
        now = perf_counter()
        end = now + seconds
        while now < end:
            started = now
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            answer.read()
            now = perf_counter()
            if answer.status >= 400:
                sys.exit(f"{method} {path}: {answer.status}")
            took.append(now - started)
        return took

    repeat(WARM_UP_SECONDS)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(repeat(float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
