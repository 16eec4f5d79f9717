"""Stands in for programs that would change the machine, under whose names it is linked.

The folder in MACHINE is the root of a machine that is empty but for what the test has put there.
Programs that change nothing outside of it are the real ones.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

NAMES = ["apt-get", "useradd", "chown", "npm", "git", "python3", "install", "runuser"]
NAMES += ["nginx", "systemctl"]
#: Programs that need nothing to be done: what they would bring is there.
DONE = {"apt-get", "useradd", "chown", "npm", "git", "python3"}
RUNNING_ALREADY = {"postgresql", "redis-server"}
STOP_SECONDS = 60


def main(name: str, *arguments: str) -> int:
    machine = Path(os.environ["MACHINE"])
    if name in DONE:
        return 0
    if name == "install":  # there is no user chat
        line = re.sub(r" -[og] \w+", "", " ".join(arguments))
        return subprocess.run(["/usr/bin/install", *line.split()]).returncode
    if name == "runuser":  # runuser -u NAME -- PROGRAM ...
        return subprocess.run(arguments[3:]).returncode
    if name == "nginx":
        return subprocess.run([*nginx(machine), *arguments]).returncode
    verb, *units = (each for each in arguments if not each.startswith("--"))
    for unit in units:
        if unit not in RUNNING_ALREADY:
            act(machine, verb, unit)
    return 0


def nginx(machine: Path) -> list[str]:
    return ["/usr/sbin/nginx", "-p", str(machine), "-c", str(machine / "etc/nginx/nginx.conf")]


def act(machine: Path, verb: str, unit: str) -> None:
    """What systemctl does to a unit."""
    pid_file = machine / "run" / unit
    pid = int(pid_file.read_text()) if pid_file.exists() else 0
    if verb == "reload" and pid:
        os.kill(pid, signal.SIGHUP)
        return
    if verb in ("stop", "restart") and pid:
        stop(pid)
    if verb != "stop":
        pid_file.write_text(str(start(machine, unit)))


def start(machine: Path, unit: str) -> int:
    """Start what the unit's file says: the id of the process."""
    command, settings, folder = nginx(machine), dict(os.environ), machine
    if unit != "nginx":
        name, at, instance = unit.partition("@")
        text = (machine / f"etc/systemd/system/{name}{at}.service").read_text()
        said = dict(re.findall(r"^(\w+)=(.*)$", text.replace("%i", instance), re.M))
        command, folder = said["ExecStart"].split(), Path(said["WorkingDirectory"])
        given = Path(said["EnvironmentFile"]).read_text()
        settings |= dict(re.findall(r"^(\w+)=(.*)$", given, re.M))
    with (machine / "log" / unit).open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=settings, stdout=log, stderr=log, start_new_session=True
        )
    return process.pid


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    while time.monotonic() < until and is_alive(pid):
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, *sys.argv[1:]))
