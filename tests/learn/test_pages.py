"""What the pages of the course show is what stands in the files that they speak of."""

import re
import runpy
from pathlib import Path

import pytest

from tests.support.lessons import LEARN, LESSONS, Lesson
from tests.test_readme import mapped

PICTURES = runpy.run_path(str(LEARN / "pictures" / "draw.py"))["PICTURES"]

lessons = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
pages = pytest.mark.parametrize("path", sorted(LEARN.glob("*.md")), ids=lambda path: path.stem)

#: Lines that only say where one is in a file.
HEADING = re.compile(r'"""Step \d+: |# .* -----')

PARTS = [
    *("The idea", "The code", "Try it", "What this step cannot do", "Three questions"),
    *("Exercise", "In the real thing"),
]


@lessons
def test_each_lesson_has_all_its_parts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.M)

    assert text.startswith(f"# {int(path.name[:2])}. ")
    assert "\n**You will understand**" in text
    assert [each for each in headings if each in PARTS] == PARTS
    assert len(re.findall(r"<details>\n<summary>\d\. .*</summary>\n\n", text)) == 3
    assert len(re.findall(r"^!\[.+\]\(pictures/.+\.svg\)$", text, re.M)) == 1
    assert f"]({path.name})" in (LEARN / "README.md").read_text(encoding="utf-8")


def sources(step: Path) -> dict[str, list[str]]:
    """The lines of a step's programs."""
    files = sorted(step.glob("*.py")) + sorted(step.glob("tests/*.py"))
    return {file.name: file.read_text(encoding="utf-8").splitlines() for file in files}


@lessons
def test_a_lesson_shows_all_that_is_new(path: Path) -> None:
    lesson = Lesson(path)
    shown = [block.text for block in lesson.blocks if block.language == "python"]
    before = LEARN / "steps" / f"{int(lesson.step.name) - 1:02}"
    known = {line for lines in sources(before).values() for line in lines}
    known |= {line for block in shown for line in block.splitlines()}

    new = [line for lines in sources(lesson.step).values() for line in lines]
    assert [line for line in new if line not in known and not HEADING.match(line)] == []
    for block in shown:
        assert any(block in "\n".join([*lines, ""]) for lines in sources(lesson.step).values()), (
            block
        )


@pages
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    """Where the words of a link are a name, the file of Python that it leads to has that name."""
    links = re.findall(r"\[([^\]]+)\]\(([^)#\s]+)[^)\s]*\)", path.read_text(encoding="utf-8"))
    assert links

    for words, target in links:
        if target.startswith("https://"):
            continue
        file = path.parent / target
        assert file.exists(), target
        if file.suffix == ".py" and (name := re.fullmatch(r"`(\w+)`", words)):
            defined = rf"^\s*(?:class|def) {name[1]}\b|^{name[1]}(?::| =)"
            assert re.search(defined, file.read_text(encoding="utf-8"), re.M), (words, target)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_as_the_script_draws_them(name: str) -> None:
    drawn = (LEARN / "pictures" / f"{name}.svg").read_text(encoding="utf-8")

    assert drawn == PICTURES[name]().svg()


def test_the_last_page_names_every_module() -> None:
    page = (LEARN / "what-the-real-one-adds.md").read_text(encoding="utf-8")
    links = set(re.findall(r"\]\(\.\./\.\./([\w./]+)\)", page)) | {"docs/"}
    links |= {f"{Path(each).parts[0]}/" for each in links}
    modules = {each for each in mapped() if not each.startswith("static/")}

    assert len(modules) > 80, "the map is not where it was"
    assert modules - links == set()
