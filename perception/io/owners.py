"""Who made what outlives a process, and whether it is certain that they have ended.

Proof is: same host, same boot, same process namespace, and no process of that number and start
time. What comes from another host, or from before a restart, is never proven.
"""

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

MAX_BYTES = 1 << 16  # of a file that says who
_STAT_STATE, _STAT_START = 0, 19  # fields of /proc/PID/stat after the command's name


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        host: Its name.
        boot: Of the kernel, another after each start; "" where /proc is not Linux's.
        space: Of process numbers: two containers of a host have two.
        pid: Process number.
        start: When the process started, in ticks since boot.
        since: When it took what it has, UTC.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    host: str
    boot: str
    space: str
    pid: Annotated[int, Field(ge=1, lt=1 << 31)]  # 0 and less would be groups of processes
    start: Annotated[int, Field(ge=-1, lt=1 << 63)]
    since: str

    def __str__(self) -> str:
        """Name it to people."""
        return f"process {self.pid} on {self.host}, since {self.since}"


_OWNERS = TypeAdapter(Owner)


def this_process() -> Owner:
    """Return who is asking."""
    boot, space = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Owner(socket.gethostname(), boot, space, os.getpid(), _start(os.getpid()), now)


def to_bytes(owner: Owner) -> bytes:
    """Return an owner as JSON."""
    return (json.dumps(asdict(owner), sort_keys=True, indent=1) + "\n").encode()


def parse(data: bytes) -> Owner | None:
    """Return the owner that JSON names; None if that cannot be understood."""
    try:
        return _OWNERS.validate_json(data, strict=True) if len(data) <= MAX_BYTES else None
    except ValidationError:
        return None


def is_gone(owner: Owner) -> bool:
    """Tell whether it is certain that a process has ended."""
    me = this_process()
    if not me.boot or (owner.host, owner.boot, owner.space) != (me.host, me.boot, me.space):
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's, and alive; /proc may hide it
        return False
    start = _start(owner.pid)
    return start not in {0, owner.start}


def _start(pid: int) -> int:
    """Return when a process started; 0 where that is not known, -1 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return -1 if fields[_STAT_STATE] in {"Z", "X"} else int(fields[_STAT_START])
