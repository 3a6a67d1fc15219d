#!/usr/bin/env python3
"""The one command line. Makes its own virtual environment on first use, then hands over to Django.

``venv`` does no more than that; ``demo`` and ``clean`` belong to ris.demo and ris.supervisor, ``test`` to pytest;
everything else is a management command.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent
#: Commands that make or change tables and facilities: they connect as the database's owner.
OWNER_COMMANDS = frozenset({"migrate", "migrate_all", "migrate_schemas", "create_facility"})


def bootstrap() -> None:
    """Run on inside ``.venv``, made and filled from the hash-locked requirements when they are not there yet."""
    if os.environ.get("RIS_BOOTSTRAP") == "0":
        return
    if sys.version_info < (3, 11):  # noqa: UP036  for whoever starts us with an older one
        sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    venv = Path(os.environ.get("RIS_VENV") or ROOT / ".venv").absolute()
    python = venv / "bin" / "python"
    lock = ROOT / "requirements.txt"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = venv / ".requirements.sha256"
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.mkdir(parents=True, exist_ok=True)
        with (venv / ".bootstrap.lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            if not stamp.exists() or stamp.read_text() != wanted:
                install(venv, python, lock)
                stamp.write_text(wanted)
    if Path(sys.prefix).resolve() != venv.resolve():
        os.execv(python, [str(python), str(ROOT / "manage.py"), *sys.argv[1:]])
    keep_bytecode(venv)


def keep_bytecode(venv: Path) -> None:
    """Where Python is told to leave no compiled files beside the sources, keep them in ``.venv``, for all we start.

    A process loads some 1,700 modules; compiling them anew took each start 3 s of its 5.
    """
    if sys.dont_write_bytecode:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(venv / "bytecode")
        sys.dont_write_bytecode = False


def interpreter() -> str:
    """The Python of the environment: ours, or the distribution's of the same version where ours was compiled in haste.

    pyenv leaves the compiler's optimisation out unless it is told otherwise: everything takes a third longer.
    """
    system = "/usr/bin/python3"
    if sys.base_prefix == "/usr" or "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
        return sys.executable
    wanted = f"import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    try:
        fits = subprocess.run([system, "-c", wanted], capture_output=True).returncode == 0
    except OSError:
        fits = False
    return system if fits else sys.executable


def install(venv: Path, python: Path, lock: Path) -> None:
    """uv takes 4 s where pip takes 40; where uv cannot be had, pip does it. Every file is checked by its hash."""
    print(f"==> installing the locked requirements into {venv}", file=sys.stderr, flush=True)
    if not python.exists():
        subprocess.check_call([interpreter(), "-m", "venv", str(venv)])
    pip = [str(python), "-m", "pip", "-q", "--disable-pip-version-check", "install"]
    locked = ["--require-hashes", "-r", str(lock)]
    try:
        if not (venv / "bin" / "uv").exists():
            subprocess.check_call([*pip, "uv>=0.9"])
        subprocess.check_call([str(venv / "bin" / "uv"), "pip", "install", "-q", "--python", str(python), *locked])
    except (subprocess.CalledProcessError, OSError):
        print("==> uv did not do it; installing with pip", file=sys.stderr, flush=True)
        subprocess.check_call([*pip, *locked])


def run_tests(arguments: list[str]) -> int:
    import pytest

    os.environ["DJANGO_SETTINGS_MODULE"] = "ris.settings_test"
    # The whole suite on all cores, a file at a time, the slow ones first; what is asked for by name in one process.
    # One process more than there are cores: those with browsers and sockets wait for half of their time.
    everything = ["-n", str(min(os.cpu_count() or 1, 4) + 1), "--dist", "loadfile", "--no-loadscope-reorder"]
    spread = [] if arguments else everything
    # Plugins that our packages bring along and no test asks for: each process would load them.
    without = ["-p", "no:anyio", "-p", "no:faker", "-p", "no:valkey"]
    return int(pytest.main(["--rootdir", str(ROOT), *without, *spread, *arguments]))


def main() -> None:
    command, arguments = (sys.argv[1] if len(sys.argv) > 1 else "help"), sys.argv[2:]
    if command == "clean":
        from ris.supervisor import clean

        sys.exit(clean(ROOT))
    bootstrap()
    os.chdir(ROOT)
    if command == "venv":
        return
    if command == "test":
        sys.exit(run_tests(arguments))
    if command == "demo":
        from ris.demo import main as demo

        sys.exit(demo(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ris.settings")
    if command in OWNER_COMMANDS:
        os.environ["RIS_DATABASE_ROLE"] = "owner"
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.INSTALLED_APPS  # noqa: B018  reads the environment
    except ImproperlyConfigured as wrong:
        sys.exit(str(wrong))
    import ris.celery  # noqa: F401  whoever sends a task sends it through our application

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
