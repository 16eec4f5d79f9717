"""Let POST /api/logout end a login: its token is void from then on, and no other one is."""


def test_a_token_is_void_after_its_logout(ada):
    assert ada.get("/api/users").status_code == 200

    answer = ada.post("/api/logout", {})

    assert answer.status_code == 204
    assert ada.get("/api/users").status_code == 401
    assert ada.post("/api/logout", {}).status_code == 401


def test_other_logins_go_on(ada, bob):
    account = {"username": "ada", "password": "correct horse"}
    token = ada.client.post("/api/login", json=account).json["data"]["token"]

    ada.post("/api/logout", {})

    on_the_phone = {"Authorization": f"Bearer {token}"}
    assert ada.client.get("/api/users", headers=on_the_phone).status_code == 200
    assert bob.get("/api/users").status_code == 200
