"""An empty machine, as far as docs/several-processes.md needs one: a folder is its root."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from config import ROOT
from tests.support import stand_in
from tests.support.servers import HOST, Postgres, Redis, Soketi, free_port

DOCUMENT = ROOT / "docs" / "several-processes.md"
NGINX = """
daemon off;
pid {0}/run/nginx.pid;
error_log {0}/log/errors;
events {{ worker_connections 500; }}
http {{
    access_log off;
    client_body_temp_path {0}/run/body;
    proxy_temp_path {0}/run/proxy;
    fastcgi_temp_path {0}/run/fastcgi;
    uwsgi_temp_path {0}/run/uwsgi;
    scgi_temp_path {0}/run/scgi;
    include {0}/etc/nginx/conf.d/*.conf;
}}
"""


def blocks() -> list[str]:
    """What the document says to type."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```", text, re.M | re.DOTALL)


class Programs:
    @classmethod
    def lacks(cls) -> str | None:
        needed = ["nginx", "openssl", "curl", "psql", "redis-cli", "runuser"]
        missing = [name for name in needed if not shutil.which(name)]
        return (
            f"{missing} missing (Debian: nginx-light, openssl, curl, postgresql, redis)"
            * bool(missing)
            or Soketi.lacks()
        )


class Machine:
    """Its paths are in a folder, and its ports are free ones. PostgreSQL and Redis run already."""

    def __init__(self, root: Path, postgres: Postgres, redis: Redis) -> None:
        self.root = root
        self.https = free_port()
        self.api_ports = [free_port() for _ in range(3)]
        ports = dict(zip(["8001", "8002", "8003"], map(str, self.api_ports), strict=True))
        ports |= {"5432": str(postgres.port), "6379": str(redis.port)}
        ports |= {"6001": str(free_port()), "9601": str(free_port())}
        self.soketi_port = int(ports["6001"])
        self._changes = {rf"\b{port}\b": own for port, own in ports.items()} | {
            r"(?<![\w.}])/(srv|etc|var/lib|usr/local/bin)/": rf"{root}/\1/",
            r"listen 80;": f"listen {HOST}:{free_port()};",
            r"listen 443 ssl;": f"listen {HOST}:{self.https} ssl;",
            r"chat\.example:443:": f"chat.example:{self.https}:",
            r"https://chat\.example/": f"https://chat.example:{self.https}/",
        }
        self._env = os.environ | {
            "MACHINE": str(root),
            "PATH": f"{root}/stand-ins:{root}/usr/local/bin:{os.environ['PATH']}",
            "PGHOST": HOST,
            "PGPORT": str(postgres.port),
            "PGUSER": "postgres",
            "FLASK_SKIP_DOTENV": "1",
        }
        self._furnish()

    def _furnish(self) -> None:
        """What the packages of the document bring, and its code."""
        folders = ["etc/nginx/conf.d", "etc/systemd/system", "etc/ssl", "usr/local/bin", "var/lib"]
        for folder in [*folders, "run", "log", "stand-ins", "srv/chat/app"]:
            (self.root / folder).mkdir(parents=True)
        for name in stand_in.NAMES:
            program = self.root / "stand-ins" / name
            program.write_text(
                f"#!{sys.executable}\n" + Path(str(stand_in.__file__)).read_text(encoding="utf-8")
            )
            program.chmod(0o755)
        for each in ROOT.iterdir():
            if each.name not in (".venv", ".git"):
                (self.root / "srv/chat/app" / each.name).symlink_to(each)
        (self.root / "srv/chat/app/.venv").symlink_to(sys.prefix)
        (self.root / "usr/local/bin/soketi").symlink_to(Soketi.program)
        (self.root / "etc/nginx/nginx.conf").write_text(NGINX.format(self.root))

    def type(self, *commands: str) -> str:
        """Type this in one shell, and see that it ends well: what it wrote."""
        script = "\n".join(commands)
        for pattern, own in self._changes.items():
            script = re.sub(pattern, own, script)
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self._env,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert run.returncode == 0, run.stdout + self.logs()
        return run.stdout

    def logs(self) -> str:
        files = sorted((self.root / "log").iterdir())
        return "\n".join(f"--- {file.name}\n{file.read_text()[-2_000:]}" for file in files)

    def close(self) -> None:
        for file in (self.root / "run").iterdir():
            if file.is_file() and file.suffix != ".pid":
                with suppress(ProcessLookupError):
                    os.killpg(int(file.read_text()), signal.SIGKILL)
