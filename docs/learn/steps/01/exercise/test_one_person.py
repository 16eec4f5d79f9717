"""Let GET /people/<id> show one person."""


def test_one_person_has_an_address(client):
    ada = client.post("/people", json={"name": "ada"})

    answer = client.get(ada.headers["Location"])

    assert answer.status_code == 200
    assert answer.json == ada.json


def test_a_missing_person_is_a_404(client):
    assert client.get("/people/999").status_code == 404


def test_asking_for_one_changes_nothing(client):
    ada = client.post("/people", json={"name": "ada"})
    before = client.get("/people").json

    client.get(ada.headers["Location"])

    assert client.get("/people").json == before
