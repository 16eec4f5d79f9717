"""The version before this one, as a server: for tests of upgrades while both run.

It is kept as an archive, because the history of git may be cut off where the tests run. It was made
from the last commit before revision 0005, and the next version takes its place there:

    git archive COMMIT '*.py' migrations templates static ':!tests' ':!bench' ':!docs' |
        xz -9e > tests/support/last_version.tar.xz
"""

import tarfile
from pathlib import Path

from tests.support.people import ROOT, ChatServer

ARCHIVE = Path(__file__).with_name("last_version.tar.xz")
#: Its newest revision.
REVISION = "0004"


class LastVersion(ChatServer):
    """That version in a process of its own, with the libraries of this one."""

    def __init__(self, program: str = "flask", **settings: str) -> None:
        super().__init__(program, **settings)
        self.root = self.directory / "version"
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(self.root, filter="data")

    def command(self) -> list[str | Path]:
        python, *arguments = super().command()
        return [python, *(str(each).replace(str(ROOT), str(self.root)) for each in arguments)]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(self.root)}
