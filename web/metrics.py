"""Metrics: what the processes of this machine count and measure, as Prometheus reads it.

docs/operations.md lists them. Their names stay.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from contract.answers import Lag
from web.tally import Key, Tally

#: How old what other processes measure may be.
MEASURE_SECONDS = 1.0
#: The upper ends of the durations that are counted together, in seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REQUEST = ("route", "method", "status")

REQUESTS, DURATION = "chat_requests_total", "chat_request_duration_seconds"
#: Counted: the labels, and a sentence.
COUNTS: dict[str, tuple[Key, str]] = {
    REQUESTS: (REQUEST, "Requests that were answered."),
    "chat_messages_sent_total": ((), "Messages that were stored; retries do not count."),
    "chat_events_delivered_total": ((), "Events that the Pusher server has taken."),
    "chat_events_refused_total": ((), "Times that the Pusher server has refused an event."),
    "chat_pushes_delivered_total": ((), "Pushes that a push service has taken."),
    "chat_pushes_failed_total": ((), "Times that a push service has not taken a push."),
}
#: Measured in each process, and added up.
LEVELS = {
    "chat_delivering": "Processes that deliver events; over all machines there should be one.",
    "chat_connections": "Open connections of the embedded server.",
    "chat_subscriptions": "Subscriptions of the embedded server.",
    "chat_hash_queue": "Requests that wait for a password to be hashed.",
    "chat_pool_connections_used": "Connections to the database that are in use.",
    "chat_pool_connections_kept": "Connections to the database that are kept open at most.",
}
#: The same for all processes: what the database says.
OF_DATABASE = {
    "chat_events_waiting": "Events that wait for the Pusher server.",
    "chat_events_oldest_seconds": "Age of the oldest event that waits.",
    "chat_events_set_aside": "Events that were given up, until an operator says otherwise.",
}
PROCESSES, DATABASE = "chat_processes", "chat_database_up"
DURATION_SENTENCE = "How long requests took, until the last part was handed over."
#: Endpoints that store a message when they answer 201.
SENDING = {"send_message", "send_file"}


class Metrics:
    """What one process counts. `measure` gives the levels of it."""

    def __init__(self, folder: Path, measure: Callable[[], dict[str, float]]) -> None:
        self._tally = Tally(folder, frozenset(LEVELS))
        self._measure = measure
        self._closed = threading.Event()

    def count(self, name: str, amount: float = 1) -> None:
        """Count something of COUNTS that has no labels."""
        if amount:
            self._tally.add((name,), amount)

    def count_request(
        self, endpoint: str, route: str, method: str, status: int, seconds: float
    ) -> None:
        """Count a request that was answered."""
        labels = (route, method, str(status))
        bucket = bisect_left(BUCKETS, seconds)
        self._tally.add((DURATION, str(bucket), *labels))
        self._tally.add((DURATION, "sum", *labels), seconds)
        if status == 201 and endpoint.rpartition(".")[2] in SENDING:
            self.count("chat_messages_sent_total")

    def start(self) -> None:
        """Have the levels of this process told to the others from now on."""
        threading.Thread(target=self._tell_levels, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop it, and leave the counts to another process."""
        self._closed.set()
        self._tally.close()

    def _tell_levels(self) -> None:
        while not self._closed.wait(MEASURE_SECONDS):
            self._tally.put(self._measure())

    def page(self, lag: Lag | None) -> bytes:
        """All of them in the text format of Prometheus; `lag` is what the database says, if it
        answers."""
        self._tally.put(self._measure())
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Page(*self._tally.total(), lag))
        return generate_latest(registry)


@dataclass(eq=False)  # a registry keeps it by its identity
class Page(Collector):
    """What is shown at one time."""

    sums: Counter[Key]
    processes: int
    lag: Lag | None

    def collect(self) -> Iterable[Metric]:
        yield from self._requests()
        for name, (labels, sentence) in COUNTS.items():
            if not labels:
                yield CounterMetricFamily(name, sentence, self.sums[(name,)])
        levels: dict[str, tuple[str, float]]
        levels = {name: (sentence, self.sums[(name,)]) for name, sentence in LEVELS.items()}
        levels[PROCESSES] = ("Processes of this machine that serve.", self.processes)
        levels[DATABASE] = ("Whether the database answers.", self.lag is not None)
        if self.lag:
            values = (self.lag["waiting"], self.lag["oldest_seconds"], self.lag["set_aside"])
            for (name, sentence), value in zip(OF_DATABASE.items(), values, strict=True):
                levels[name] = (sentence, value)
        for name, (sentence, value) in levels.items():
            yield GaugeMetricFamily(name, sentence, value)

    def _requests(self) -> Iterable[Metric]:
        counter = CounterMetricFamily(REQUESTS, COUNTS[REQUESTS][1], labels=REQUEST)
        histogram = HistogramMetricFamily(DURATION, DURATION_SENTENCE, labels=REQUEST)
        by_labels: dict[Key, dict[str, float]] = {}
        for (name, *rest), number in self.sums.items():
            if name == DURATION:
                by_labels.setdefault(tuple(rest[1:]), {})[rest[0]] = number
        for labels, numbers in sorted(by_labels.items()):
            ends = [*map(str, BUCKETS), "+Inf"]
            counts = accumulate(numbers.get(str(each), 0) for each in range(len(ends)))
            buckets = list(zip(ends, counts, strict=True))
            counter.add_metric(labels, buckets[-1][1])
            histogram.add_metric(labels, buckets, numbers.get("sum", 0))
        return counter, histogram


def names() -> set[str]:
    """Of all metrics."""
    return {*COUNTS, DURATION, *LEVELS, *OF_DATABASE, PROCESSES, DATABASE}
