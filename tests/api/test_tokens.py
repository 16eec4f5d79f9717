import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from sqlalchemy import text

from config import Settings
from tests.support.people import Api, Person, looking_into, refused
from tests.support.servers import eventually

HOUR = 3600
Claims = dict[str, Any]


def claims_of(person: Person) -> Claims:
    claims: Claims = jwt.decode(person.token, options={"verify_signature": False})
    return claims


def ask(api: Api, token: str) -> Any:
    return api.get("/api/users", headers={"Authorization": f"Bearer {token}"})


def unsigned(claims: Claims, header: dict[str, str], signature: str = "") -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in (header, claims))
    return ".".join([part.decode().rstrip("=") for part in parts] + [signature])


def test_claims_signed_with_the_key_make_a_token(api: Api, ada: Person, settings: Settings) -> None:
    forged_by_ourselves = jwt.encode(claims_of(ada), settings.jwt_key, "HS256")

    assert ask(api, forged_by_ourselves).status == 200


FORGERIES: dict[str, Callable[[Claims, str], str]] = {
    "alg none": lambda claims, key: unsigned(claims, {"alg": "none", "typ": "JWT"}),
    "alg None": lambda claims, key: unsigned(claims, {"alg": "None", "typ": "JWT"}),
    "alg none, once signed": lambda claims, key: unsigned(
        claims, {"alg": "none"}, jwt.encode(claims, key, "HS256").split(".")[2]
    ),
    "no alg": lambda claims, key: unsigned(claims, {"typ": "JWT"}),
    "HS384": lambda claims, key: jwt.encode(claims, key, "HS384"),
    "HS512": lambda claims, key: jwt.encode(claims, key, "HS512"),
    "wrong key": lambda claims, key: jwt.encode(claims, key[::-1] + "!", "HS256"),
    "no signature": lambda claims, key: jwt.encode(claims, key, "HS256").rsplit(".", 1)[0] + ".",
    "cut": lambda claims, key: jwt.encode(claims, key, "HS256")[:-2],
    "two parts": lambda claims, key: jwt.encode(claims, key, "HS256").rsplit(".", 1)[0],
    "critical header": lambda claims, key: jwt.encode(
        claims, key, "HS256", {"crit": ["b64"], "b64": False}
    ),
    "not an object": lambda claims, key: jwt.PyJWS().encode(b"[]", key, "HS256"),
    "not JSON": lambda claims, key: jwt.PyJWS().encode(b"{", key, "HS256"),
    "nothing": lambda claims, key: "..",
}


@pytest.mark.filterwarnings("ignore:The HMAC key")
@pytest.mark.parametrize("kind", FORGERIES)
def test_a_forged_token_is_refused(api: Api, ada: Person, settings: Settings, kind: str) -> None:
    token = FORGERIES[kind](claims_of(ada), settings.jwt_key)

    answer = ask(api, token)

    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_signed_with_an_empty_key_is_refused(api: Api, ada: Person) -> None:
    token = unsigned(claims_of(ada), {"alg": "HS256", "typ": "JWT"}).rstrip(".")
    digest = hmac.new(b"", token.encode(), hashlib.sha256).digest()

    answer = ask(api, f"{token}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}")

    refused(answer, 401, "unauthorized")


WRONG_CLAIMS: dict[str, Callable[[Claims, Person], Claims]] = {
    "no exp": lambda claims, eve: {k: v for k, v in claims.items() if k != "exp"},
    "no sub": lambda claims, eve: {k: v for k, v in claims.items() if k != "sub"},
    "no jti": lambda claims, eve: {k: v for k, v in claims.items() if k != "jti"},
    "exp a word": lambda claims, eve: claims | {"exp": "tomorrow"},
    "exp null": lambda claims, eve: claims | {"exp": None},
    "sub a number": lambda claims, eve: claims | {"sub": int(claims["sub"])},
    "sub null": lambda claims, eve: claims | {"sub": None},
    "sub in other digits": lambda claims, eve: claims | {"sub": f"0{claims['sub']}"},
    "sub of nobody": lambda claims, eve: claims | {"sub": str(10**15)},
    "sub of somebody else": lambda claims, eve: claims | {"sub": str(eve.id)},
    "jti of somebody else": lambda claims, eve: claims | {"jti": claims_of(eve)["jti"]},
    "jti of nobody": lambda claims, eve: claims | {"jti": "0" * 32},
    "jti empty": lambda claims, eve: claims | {"jti": ""},
    "jti a number": lambda claims, eve: claims | {"jti": 7},
    "jti null": lambda claims, eve: claims | {"jti": None},
    "jti with NUL": lambda claims, eve: claims | {"jti": "\0"},
    "not yet": lambda claims, eve: claims | {"nbf": time.time() + HOUR},
}


@pytest.mark.parametrize("kind", WRONG_CLAIMS)
def test_wrong_claims_are_refused_though_signed(
    api: Api, ada: Person, eve: Person, settings: Settings, kind: str
) -> None:
    claims = WRONG_CLAIMS[kind](claims_of(ada), eve)

    answer = ask(api, jwt.encode(claims, settings.jwt_key, "HS256"))

    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_holds_though_the_clock_was_set_back(
    api: Api, ada: Person, settings: Settings
) -> None:
    claims = claims_of(ada) | {"iat": int(time.time()) + 60}

    assert ask(api, jwt.encode(claims, settings.jwt_key, "HS256")).status == 200


def test_an_expired_token_says_so(api: Api, ada: Person, settings: Settings) -> None:
    claims = claims_of(ada) | {"exp": int(time.time()) - 1}

    answer = ask(api, jwt.encode(claims, settings.jwt_key, "HS256"))

    refused(answer, 401, "token_expired")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.slow
def test_a_good_token_expires_in_time(api: Api, ada: Person, settings: Settings) -> None:
    claims = claims_of(ada) | {"exp": int(time.time()) + 5}
    token = jwt.encode(claims, settings.jwt_key, "HS256")
    assert ask(api, token).status == 200

    assert eventually(lambda: ask(api, token).status == 401)
    refused(ask(api, token), 401, "token_expired")


def test_a_forged_token_is_not_told_that_it_expired(api: Api, ada: Person) -> None:
    claims = claims_of(ada) | {"exp": int(time.time()) - 1}

    refused(ask(api, jwt.encode(claims, "x" * 32, "HS256")), 401, "unauthorized")


@pytest.mark.parametrize(
    "end",
    ["DELETE FROM sessions", "UPDATE sessions SET expires_at = '2020-01-01 00:00:00.000000'"],
)
def test_a_token_ends_with_its_login(api: Api, ada: Person, settings: Settings, end: str) -> None:
    assert ask(api, ada.token).status == 200

    with looking_into(settings) as connection:
        connection.execute(text(end))
        connection.commit()

    refused(ask(api, ada.token), 401, "unauthorized")


def test_tokens_hold_after_a_restart(ada: Person, make_api: Callable[..., Api]) -> None:
    restarted = make_api()

    assert ask(restarted, ada.token).status == 200


def test_tokens_of_another_key_do_not_hold(ada: Person, make_api: Callable[..., Api]) -> None:
    other = make_api(jwt_secret_key="0123456789abcdef0123456789abcdef")

    refused(ask(other, ada.token), 401, "unauthorized")


@pytest.mark.parametrize(
    "header",
    [
        *("", " ", "Bearer", "Bearer ", "{token}", "Basic {token}", "Token {token}"),
        *("Bearer{token}", "Bearer: {token}", "Bearer {token}, Bearer {token}", "Bearer {token} x"),
        *('Bearer "{token}"', "Bearer {token}.", "Bearer .{token}", "Bearer\t{token}"),
        *(
            "Bearer \xe9",
            "Bearer a.b.c",
            "Bearer null",
            "Bearer e30.e30.e30",
            "Bearer " + "." * 9999,
        ),
    ],
)
def test_a_malformed_header_is_refused(api: Api, ada: Person, header: str) -> None:
    answer = api.get("/api/users", headers={"Authorization": header.format(token=ada.token)})

    refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_without_regard_to_case(api: Api, ada: Person, scheme: str) -> None:
    answer = api.get("/api/users", headers={"Authorization": f"{scheme} {ada.token}"})

    assert answer.status == 200


@pytest.mark.parametrize("name", ["token", "access_token", "Authorization", "jwt"])
def test_a_token_is_read_from_its_header_only(api: Api, ada: Person, name: str) -> None:
    in_query = api.get("/api/users", **{name: ada.token})
    in_cookie = api.get("/api/users", headers={"Cookie": f"{name}={ada.token}"})
    body = {name: ada.token, "to_user": ada.id + 1}
    in_body = api.post("/api/request_chat", body)

    for answer in (in_query, in_cookie, in_body):
        refused(answer, 401, "unauthorized")
