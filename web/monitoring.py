"""Monitoring: what those who watch over this server ask for."""

import hmac
import logging
from typing import Any

from flask import request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as WaitedTooLong

from contract import answers
from contract.errors import Unauthorized, first_line
from migrations import DatabaseError
from realtime import backlog
from web import addresses
from web.runtime import runtime

#: The age of the oldest event from which on something is wrong.
LATE_SECONDS = 60
#: Headers of proxies, as WSGI spells their beginnings: who sends one may be on another machine. The
#: last one is sent by a browser on this machine that shows a page of another site.
FORWARDED = tuple(
    f"HTTP_{name}"
    for name in (
        *("X_FORWARDED", "FORWARDED", "VIA", "X_REAL_IP", "X_CLIENT", "X_CLUSTER", "X_ORIGINAL"),
        *("CLIENT_IP", "TRUE_CLIENT", "CF_", "FASTLY", "X_ENVOY", "X_PROXY", "ORIGIN"),
    )
)

log = logging.getLogger(f"app.{__name__}")


def health() -> answers.Health:
    """Whether all is well, and how far events are behind."""
    given, lag = runtime(), backlog.lag()
    found = reasons(lag)
    answer: answers.Health = {
        "status": "degraded" if found else "ok",
        "reasons": found,
        "delivering": given.outbox.delivers,
        "events": lag,
    }
    if gateway := given.gateway:
        sockets: Any = {"owner": gateway.is_open, **gateway.stats()}
        if not gateway.is_open:
            sockets["message"] = given.why_no_sockets()
        answer["sockets"] = sockets
    return answer


def reasons(lag: answers.Lag) -> list[str]:
    """Why the server is degraded, a sentence each."""
    found = []
    if lag["oldest_seconds"] > LATE_SECONDS:
        found.append(f"The oldest event has waited for {lag['oldest_seconds']:.0f} seconds.")
    if lag["set_aside"]:
        found.append(f"Events were set aside: {lag['set_aside']} (`flask events list`).")
    if not runtime().outbox.sees_delivery:
        found.append("No process is seen that delivers events.")
    return found + backlog.reasons()


def check_scraper() -> None:
    """Raise Unauthorized unless the caller may read the metrics."""
    if token := runtime().settings.metrics_token:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(), token.encode()
        ):
            return
        log.warning("A scrape is refused: address %s.", addresses.of_client())
        raise Unauthorized("Send the METRICS_TOKEN: Authorization: Bearer <token>.")
    is_forwarded = any(name.startswith(FORWARDED) for name in request.environ)
    if is_forwarded or not addresses.is_of_this_machine(request.remote_addr or ""):
        raise Unauthorized("Ask from this machine, past all proxies, or set METRICS_TOKEN.")


def metrics() -> bytes:
    """What was counted, whether the database answers or not."""
    lag = None
    try:
        runtime().start()
        lag = backlog.lag()
    except (DBAPIError, WaitedTooLong) as error:
        reason = first_line(error)
        log.error("The metrics lack what the database says: it failed: %s", reason)
    except DatabaseError as error:
        log.error("The metrics lack what the database says: %s", error.message)
    return runtime().metrics.page(lag)
