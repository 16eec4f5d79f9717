"""The site for nginx that the documentation shows, in a real nginx."""

import os
import time
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.client import connect

from gateway import Limits
from tests.support.gateway_client import KEY, make_gateway, serving
from tests.support.nginx import Nginx
from tests.support.people import ChatServer, OverHttp
from tests.support.servers import HOST, require

TOLD = {"Host": "chat.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "4444"}


@pytest.fixture
def nginx(start: Callable[..., ChatServer]) -> Iterator[Nginx]:
    require(Nginx)
    server = start("gunicorn", TRUSTED_PROXIES="1")
    with Nginx(server.port) as nginx:
        yield nginx


@pytest.mark.slow
def test_nginx_accepts_the_site_of_the_documentation(nginx: Nginx) -> None:
    said = nginx.judge_itself()

    assert "test is successful" in said
    assert "warn" not in said


@pytest.mark.slow
def test_the_api_answers_through_nginx(nginx: Nginx) -> None:
    ada, bob = nginx.api.sign_up("ada"), nginx.api.sign_up("bob")

    answer = ada.says(ada.asks(bob).json, "Hello, Bob!")

    assert answer.status == 201
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["cache-control"] == "no-store"
    assert nginx.api.get("/api/me").headers["strict-transport-security"]  # also where refused


@pytest.mark.slow
def test_a_large_file_comes_through_nginx(nginx: Nginx) -> None:
    ada, bob = nginx.api.sign_up("ada"), nginx.api.sign_up("bob")
    content = os.urandom(3 << 20)

    sent = ada.sends(ada.asks(bob).json, "large", content)

    assert sent.status == 201, sent
    assert bob.get(f"/api/files/{sent.json['file']['id']}").body == content


@pytest.mark.slow
def test_a_browser_learns_the_address_of_nginx(nginx: Nginx) -> None:
    config = nginx.api.get("/api/config", headers=TOLD).json
    named = f"{HOST}:{nginx.port}"
    own = nginx.api.get("/api/config").json

    assert (config["wsHost"], config["wssPort"], config["forceTLS"]) == ("chat.example", 443, True)
    assert f"{own['wsHost']}:{own['wssPort']}" == named
    url = f"wss://{named}/app/{own['key']}?protocol=7"
    with connect(url, ssl=nginx.api.context, proxy=None) as socket:
        assert "pusher:connection_established" in str(socket.recv(60))


@pytest.mark.slow
def test_plain_http_is_sent_to_https(nginx: Nginx) -> None:
    answer = OverHttp(nginx.plain_port).get("/api/users?limit=1", headers={"Host": "chat.example"})

    assert answer.status == 308
    assert answer.headers["location"] == "https://chat.example/api/users?limit=1"


@pytest.mark.slow
def test_a_quiet_websocket_outlives_nginx_as_it_comes() -> None:
    """Fifteen times as fast: nginx gives up after 4 seconds instead of 60."""
    require(Nginx)
    quick = {"ping_after": Limits().ping_after / 15}
    with (
        serving(make_gateway(limits=quick)) as gateway,
        Nginx(gateway.port, **{"proxy_read_timeout 120s;": "proxy_read_timeout 4s;"}) as nginx,
        connect(
            f"wss://{HOST}:{nginx.port}/app/{KEY}?protocol=7",
            ssl=nginx.api.context,
            proxy=None,
            ping_interval=None,
        ) as socket,
    ):
        assert "pusher:connection_established" in str(socket.recv(60))
        time.sleep(9)

        socket.send('{"event": "pusher:ping", "data": {}}')

        assert "pusher:pong" in str(socket.recv(60))
