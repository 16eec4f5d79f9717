"""Build the site of docs/ into site/: `make docs`. A warning is an error.

Pages link to files outside of docs/, as they do in the repository. So the README and its kin become
pages of the site, and so does each file of code that a page links to.
"""

import posixpath
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PROJECT = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "bench/README.md",
    "static/README.md",
)
#: The pages by what they are for. Those of a folder with a README are named by it; what is not
#: named at all comes under More.
SECTIONS = {
    "Learn": "learn/README.md rest.md glossary.md",
    "Use": "project/README.md tour.md front-end.md front-ends.md channels.md api.md",
    "How it works": "architecture.md message.md tokens.md files.md notifications.md"
    " embedded-server.md failures.md project/static/README.md",
    "Run": "settings.md growing.md operations.md several-processes.md moving.md upgrading.md"
    " scale.md project/bench/README.md",
    "Change": "project/CONTRIBUTING.md add-an-endpoint.md decisions/README.md project/SECURITY.md"
    " project/CHANGELOG.md",
}
LINK = re.compile(r"(?<=\]\()([^)\s:]+)(?=\))")
CODE = re.compile(r"^(`{3,}).*?^\1|`[^`\n]+`", re.M | re.S)
LINKED_PICTURE = re.compile(r"\[(!\[[^\]]*\]\([^)]*\))\]\([^)]*\)")
LANGUAGES = {".py": "python", ".js": "js", ".css": "css", ".yml": "yaml", ".html": "html"}


def pages() -> dict[str, Path]:
    """Where each page stands in the repository, by its place on the site."""
    inside = {path.relative_to(DOCS).as_posix(): path for path in DOCS.rglob("*.md")}
    return inside | {f"project/{name}": ROOT / name for name in PROJECT}


def links(markdown: str) -> Iterator[re.Match[str]]:
    """The links to files, but for those inside of code."""
    code = [range(*part.span()) for part in CODE.finditer(markdown)]
    for link in LINK.finditer(markdown):
        if not link[0].startswith("#") and not any(link.start() in each for each in code):
            yield link


def place_of(target: Path) -> str:
    """Where the site has what a link means: a page, a picture, or a page about a file of code."""
    name = target.relative_to(ROOT).as_posix()
    if name in PROJECT:
        return f"project/{name}"
    if target.is_relative_to(DOCS) and target.suffix in (".md", ".svg", ".png"):
        return target.relative_to(DOCS).as_posix()
    if target.is_relative_to(DOCS) and (target / "README.md").exists():
        return (target.relative_to(DOCS) / "README.md").as_posix()
    return f"code/{name}.md"


def about(target: Path) -> str:
    """A page about a file of code, or about what is in a folder."""
    if target.is_dir():
        names = [f"{each.name}{'/' * each.is_dir()}" for each in sorted(target.iterdir())]
        shown = "\n".join(name for name in names if not name.startswith(("__", ".")))
        language = "text"
    else:
        shown, language = target.read_text("utf-8"), LANGUAGES.get(target.suffix, "text")
    name = target.relative_to(ROOT).as_posix()
    return (
        f"---\norphan: true\nnosearch: true\n---\n# {name}\n\n``````{language}\n{shown}\n``````\n"
    )


def contents(names: list[str], caption: str = "") -> str:
    """A table of contents, which the theme shows at the side."""
    lines = [":hidden:", *([f":caption: {caption}"] if caption else []), "", *names]
    return "\n".join(("", "", "```{toctree}", *lines, "```", ""))


def sections(places: set[str]) -> str:
    """The contents of the whole site, for its first page."""
    named = {caption: names.split() for caption, names in SECTIONS.items()}
    below = {place for place in places if place.partition("/")[0] in ("learn", "decisions")}
    rest = places - below - {"README.md"} - {each for names in named.values() for each in names}
    named["More"] = sorted(rest)
    return "".join(contents(names, caption) for caption, names in named.items() if names)


def prepare(source: Path) -> None:
    """Write into a folder what Sphinx is to read."""
    coded = set()
    for place, path in pages().items():
        markdown, parts, end = path.read_text(encoding="utf-8"), [], 0
        markdown = LINKED_PICTURE.sub(r"\1", markdown)
        for link in links(markdown):
            file, _, heading = link[0].partition("#")
            target = (path.parent / file).resolve()
            if place_of(target).startswith("code/") and target.exists():
                coded.add(target)
            where = posixpath.relpath(place_of(target), posixpath.dirname(place))
            parts += [markdown[end : link.start()], f"{where}#{heading}" if heading else where]
            end = link.end()
        markdown = "".join([*parts, markdown[end:]])
        if place == "README.md":
            markdown += sections(set(pages()))
        elif place in ("learn/README.md", "decisions/README.md"):
            folder = sorted(each for each in pages() if each.startswith(place[:-9]))
            markdown += contents([each[len(place) - 9 :] for each in folder if each != place])
        write(source / place, markdown)
    for target in coded:
        write(source / place_of(target), about(target))
    for picture in (*DOCS.rglob("*.svg"), *DOCS.rglob("*.png")):
        there = source / picture.relative_to(DOCS)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, there)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def build(site: Path) -> int:
    """Build the site into a folder; 0 if all went well."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "source")
        prepare(source)
        shutil.rmtree(site, ignore_errors=True)
        options = ["-q", "-W", "--keep-going", "-b", "html"]
        options += ["-c", str(DOCS), "-d", str(Path(folder, "doctrees")), "-D", "root_doc=README"]
        status = sphinx([*options, str(source), str(site)])
        write(site / "index.html", '<meta http-equiv="refresh" content="0; url=README.html">\n')
        return status


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"))
