"""What the chat page loads: as a bundle or as modules, for how long, and compressed."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest

from tests.support.conversations import sqlite_only
from tests.support.people import InProcess, Person, refused
from web import assets
from web.page import loaded


@pytest.fixture
def static(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a page of one module and one style sheet, which has been bundled."""
    for name, text in {
        "app.js": "// the module",
        "app.css": "/* the style sheet */",
        "worker.js": "",
        "opening.js": "",
        "bundle/app.js": "// the bundle",
        "bundle/app.css": "/* the bundled style sheet */",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr("web.assets.STATIC", tmp_path)
    monkeypatch.setattr("web.assets.BUNDLE", tmp_path / "bundle")
    return tmp_path


def edit(path: Path, text: str) -> None:
    """As somebody does in a minute."""
    later = path.stat().st_mtime + 60
    path.write_text(text, encoding="utf-8")
    os.utime(path, (later, later))


def test_modules_are_served_once_one_is_newer(static: Path) -> None:
    bundled = assets.current({})

    edit(static / "app.css", "/* another style sheet */")

    modules = assets.current({})
    assert (bundled.files["app.js"], bundled.bundled) == (b"// the bundle", True)
    assert (modules.files["app.js"], modules.bundled) == (b"// the module", False)
    assert bundled.version != modules.version


def test_half_a_bundle_is_none(static: Path) -> None:
    (static / "bundle/app.css").unlink()

    assert assets.current({}).files["app.js"] == b"// the module"


@sqlite_only
def test_a_version_is_kept_and_another_is_not(static: Path, api: InProcess) -> None:
    version = loaded().version
    address = f"/static/{version}/app.js"

    kept = api.get(address)
    edit(static / "bundle/app.js", "// the next bundle")
    later = api.get(address)

    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (later.body, later.headers["cache-control"]) == (b"// the next bundle", "no-cache")
    assert refused(api.get(f"/static/{version}/nothing.js"), 404, "not_found")


@sqlite_only
def test_each_version_has_a_worker_of_its_own(static: Path, api: InProcess) -> None:
    first = api.get("/worker.js")
    kept = f'"/static/{loaded().version}/app.js", '

    edit(static / "app.css", "/* another style sheet */")
    second = api.get("/worker.js")

    assert kept.encode() in first.body
    assert kept.encode() not in second.body
    assert first.headers["cache-control"] == "no-cache"


@sqlite_only
def test_answers_are_compressed_for_those_who_can_read_it(api: InProcess, ada: Person) -> None:
    for number in range(20):
        api.sign_up(f"friend {number}")
    ways: dict[str, Callable[[bytes], bytes]] = {"br": brotli.decompress, "gzip": gzip.decompress}
    client, token = api.app.test_client(), {"Authorization": f"Bearer {ada.token}"}

    plain = client.get("/api/users?limit=20", headers=token)
    for name, unpack in ways.items():
        packed = client.get("/api/users?limit=20", headers=token | {"Accept-Encoding": name})
        assert packed.headers["Content-Encoding"] == name
        assert unpack(packed.data) == plain.data
        assert len(packed.data) < len(plain.data) / 2
    assert "Content-Encoding" not in plain.headers


@sqlite_only
def test_an_unchanged_page_is_not_sent_again(api: InProcess) -> None:
    page = api.get("/", headers={"Accept-Encoding": "gzip"})

    again = api.get("/", headers={"Accept-Encoding": "gzip", "If-None-Match": page.headers["etag"]})

    assert (again.status, again.body) == (304, b"")
    assert "content-security-policy" in again.headers
