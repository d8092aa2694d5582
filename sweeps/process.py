"""This process: recognisable to others on the same machine (has it certainly ended?), and how it
ends."""

import os
import signal
import socket
import sys
import threading
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """Names this machine's process table: the same text, the same pids."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not (boot.exists() and space.exists()):
        return socket.gethostname()
    return f"{boot.read_text().strip()}/{space.stat().st_ino}"


def birth(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty if there is none (or no /proc)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def holder() -> str:
    """This process, for others to recognise: machine, pid and birth (pids are used again)."""
    return f"{machine()} {os.getpid()} {birth(os.getpid())}"


def is_gone(name: str) -> bool:
    """True only if `name` was a process of this machine and has certainly ended."""
    parts = name.split()
    if len(parts) != 3 or parts[0] != machine() or parts[2] == "":
        return False
    return birth(int(parts[1])) != parts[2]


def end_on_sigterm() -> None:
    """Have SIGTERM unwind this process, so that what it started is ended and removed too.

    Call it again after Ray has started: Ray's own handler aborts with a stack trace.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
