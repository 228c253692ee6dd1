"""As which operating-system user does PostgreSQL run, and how does it end when Interlock is killed?

PostgreSQL refuses to run as root, and inside containers Interlock usually *is* root. So a root Interlock starts it as
the owner of the cluster, which is `nobody` unless somebody else made it (`nobody` has an entry in /etc/passwd
everywhere, which initdb insists on; no account is created). An ordinary user's PostgreSQL runs as that user.

A child is started through a dozen lines of Python that drop the user, ask the kernel for a signal when the parent dies,
and exec the program. Why not `Popen(user=…, preexec_fn=…)`: PR_SET_PDEATHSIG is cleared whenever credentials change, so
it must be set after the change of user, which is where no hook of `Popen` runs; and a `preexec_fn` runs Python between
fork and exec of a process with threads. The lines run in our own interpreter while still root: `nobody` may be unable
to read it.

PDEATHSIG follows the parent *thread* (prctl(2)): whoever starts a child here must do it on a thread that lives as long
as the child should. `store/embedded.py` keeps one for that. Outside Linux there is no such signal; an orphan is then
adopted by the next start.

Source: DESIGN.md section 5; prctl(2); PostgreSQL's "The PostgreSQL User Account".
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import IO

from interlock.model.errors import Refused

UNPRIVILEGED = "nobody"

# Started as: python -I -S -c … uid|-1 gid signal|0 our_pid program arguments…
# A parent that died before prctl was called sends nothing; the second look at getppid() catches that.
_BECOME = """
import ctypes, os, sys
uid, gid, signum, parent = map(int, sys.argv[1:5])
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if signum and sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signum)
    if os.getppid() != parent:
        os._exit(1)
os.umask(0o077)
try:
    os.execv(sys.argv[5], sys.argv[5:])
except OSError as error:
    print(f"{sys.argv[5]}: {error.strerror}", file=sys.stderr)
    os._exit(126)
"""


@dataclass(frozen=True, slots=True)
class OsUser:
    """An account of this machine."""

    uid: int
    gid: int
    name: str

    @property
    def is_us(self) -> bool:
        """True if no change of user is needed."""
        return self.uid == os.geteuid()


def current_user() -> OsUser:
    """Gives the account this process runs as, with its number for a name where /etc/passwd does not know it."""
    return _user(os.geteuid(), os.getegid())


def owner_of(path: Path) -> OsUser:
    """Gives the account that owns a file or folder."""
    found = path.stat()
    return _user(found.st_uid, found.st_gid)


def user_for_new_cluster() -> OsUser:
    """Gives who shall own a cluster that is made now: `nobody` under root, else ourselves.

    Fails: `Refused` where initdb would fail for want of an account.
    """
    uid = os.geteuid()
    try:
        found = pwd.getpwnam(UNPRIVILEGED) if uid == 0 else pwd.getpwuid(uid)
    except KeyError:
        who = f"the user {UNPRIVILEGED}" if uid == 0 else f"user id {uid}"
        raise Refused(
            f"The embedded PostgreSQL cannot be set up: {who} has no entry in /etc/passwd, which initdb requires. "
            "Add one, or give the address of a PostgreSQL in INTERLOCK_DATABASE_URL.",
            code="NO_OS_USER",
        ) from None
    return OsUser(found.pw_uid, found.pw_gid, found.pw_name)


def start_as(
    user: OsUser,
    argv: Sequence[str | Path],
    *,
    signal_when_we_die: Signals | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    output: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program as `user`, in a session of its own, with nothing of our environment.

    Why:  a session of its own, because Ctrl-C at the terminal is for us: it would stop PostgreSQL under the step in
          hand.
    Takes: `argv[0]` as an absolute path; `output` gets standard output and error.
    """
    become = [str(user.uid), str(user.gid)] if not user.is_us else ["-1", "-1"]
    signum = int(signal_when_we_die) if signal_when_we_die else 0
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _BECOME, *become, str(signum), str(os.getpid()), *map(str, argv)],
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
        start_new_session=True,
    )


def run_as(
    user: OsUser, argv: Sequence[str | Path], *, stdin: bytes = b"", timeout_s: float = 120.0
) -> tuple[int, str]:
    """Run a program as `user` to its end; it is killed when we are.

    Gives: exit code and what it said, output and errors together.
    """
    with start_as(
        user, argv, signal_when_we_die=Signals.SIGKILL, stdin=subprocess.PIPE, output=subprocess.PIPE
    ) as child:
        try:
            said, _ = child.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()
            return 124, f"{said.decode(errors='replace')}\nno end within {timeout_s:g} s"
    return child.returncode, said.decode(errors="replace")


def can_enter(user: OsUser, folder: Path) -> bool:
    """True if `user` can pass into `folder`.

    Why: tried for real, as that user, because mode bits do not tell of access lists, mounts and security modules.
    """
    code, _ = run_as(user, ["/bin/sh", "-c", 'cd "$1"', "sh", folder], timeout_s=30)
    return code == 0


def _user(uid: int, gid: int) -> OsUser:
    try:
        return OsUser(uid, gid, pwd.getpwuid(uid).pw_name)
    except KeyError:
        return OsUser(uid, gid, str(uid))
