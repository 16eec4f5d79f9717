"""nginx in front of the API, as docs/embedded-server.md shows it."""

import re
import shutil
import ssl
import subprocess
from http.client import HTTPSConnection
from pathlib import Path

from config import ROOT
from tests.support.people import OverHttp
from tests.support.servers import HOST, Server, free_port

DOCUMENT = ROOT / "docs" / "embedded-server.md"
#: What /etc/nginx/nginx.conf has around such a site. One process, so that it runs as the tests do.
AROUND = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{ worker_connections 500; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


def documented_site() -> str:
    (site,) = re.findall(r"^```nginx\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    return str(site)


class Nginx(Server):
    """The documented site with a certificate and ports of its own, in front of the API's port."""

    def __init__(self, api_port: int, **changes: str) -> None:
        super().__init__()
        self.plain_port = free_port()
        self.certificate = self.directory / "fullchain.pem"
        own = {
            "/etc/ssl/chat.example": str(self.directory),
            "listen 80;": f"listen {HOST}:{self.plain_port};",
            "listen 443 ssl;": f"listen {HOST}:{self.port} ssl;",
            "http://127.0.0.1:5000;": f"http://{HOST}:{api_port};",
        }
        site = documented_site()
        for old, new in {**own, **changes}.items():
            assert old in site, f"the document has no {old}"
            site = site.replace(old, new)
        (self.directory / "nginx.conf").write_text(AROUND.format(folder=self.directory, site=site))
        self._make_certificate()

    @classmethod
    def lacks(cls) -> str | None:
        missing = [name for name in ("nginx", "openssl") if not shutil.which(name)]
        return f"{missing} missing (Debian: nginx-light, openssl)" if missing else None

    def command(self) -> list[str | Path]:
        return ["nginx", "-p", self.directory, "-c", self.directory / "nginx.conf"]

    def judge_itself(self) -> str:
        """What `nginx -t` says of the configuration."""
        test = subprocess.run([*self.command(), "-t"], capture_output=True, text=True)
        return test.stderr

    @property
    def api(self) -> "OverTls":
        return OverTls(self)

    def _make_certificate(self) -> None:
        names = ["-subj", "/CN=chat.example", "-addext", f"subjectAltName=IP:{HOST}"]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", str(self.directory / "privkey.pem"), "-out", str(self.certificate)]
        command = ["openssl", "req", "-x509", "-days", "2", *key, *names, *files]
        subprocess.run(command, check=True, capture_output=True)


class OverTls(OverHttp):
    """The API as browsers reach it behind nginx."""

    def __init__(self, nginx: Nginx) -> None:
        super().__init__(nginx.port)
        self.context = ssl.create_default_context(cafile=str(nginx.certificate))

    def connection(self) -> HTTPSConnection:
        return HTTPSConnection(HOST, self.port, timeout=120, context=self.context)
