"""Let /api/users come in pages, too, with ?limit= and ?after=."""

from urllib.parse import urlsplit

import pytest


def walked(ada, path):
    """The names on all pages, to the end of the links, and how many pages there were."""
    names, count = [], 0
    while path:
        page = ada.get(path)
        assert page.status_code == 200
        names += [user["username"] for user in page.json]
        count += 1
        link = page.headers.get("Link")
        path = link and "{0.path}?{0.query}".format(urlsplit(link[1 : link.index(">")]))
    return names, count


def test_the_links_lead_through_everybody(ada, bob, eve):
    assert walked(ada, "/api/users?limit=2") == (["ada", "bob", "eve"], 2)
    assert walked(ada, "/api/users?limit=1") == (["ada", "bob", "eve"], 3)
    assert walked(ada, "/api/users?limit=3") == (["ada", "bob", "eve"], 1)


def test_a_page_begins_after_an_id(ada, bob, eve):
    assert walked(ada, f"/api/users?after={ada.id}") == (["bob", "eve"], 1)


def test_without_a_question_everybody_comes(ada, bob, eve):
    answer = ada.get("/api/users")

    assert len(answer.json) == 3
    assert "Link" not in answer.headers


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "after=-1"])
def test_an_impossible_page_is_refused(ada, query):
    assert ada.get(f"/api/users?{query}").status_code == 400
