"""Another machine that takes part in a training: it waits for groups of a project and runs its share of each.

`python -m tasks.learning.loop.joining data/NAME/work`, in the same environment, until Ctrl-C

The folder is one that all machines see at the same place, and locks of files have to bind all of them, for by
a lock a machine learns that the run which it works for has ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks import lease
from tasks.config import Training
from tasks.config.project import look_in
from tasks.learning.loop import group
from tasks.learning.loop.member import OWNER

LOOK_SECONDS = 1.0
"""Between two looks for a group."""


def groups(work: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folders of groups of several machines whose run is alive, and what they say."""
    for file in sorted(work.glob(f"checkpoints/*/group/{group.NODES}")):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it ended meanwhile
            continue
        if told["nodes"] > 1 and lease.is_held(file.parent / OWNER):
            yield file.parent, told


def join(folder: Path, told: dict[str, Any]) -> int:
    """Runs this machine's share of a group to its end; the exit status of torchrun."""
    over = Training(nodes=told["nodes"], rendezvous=told["rendezvous"])
    words, env = group.launch(folder, over, told["processes"], told["threads"])
    # Output of the members lies in the group's folder, which goes when it ends.
    done = subprocess.run(words, stdin=subprocess.DEVNULL, env=env, check=False)  # noqa: S603 - our own words
    return done.returncode


def main(work: Path, times: int | None = None) -> None:
    """Joins one group after the other, each once; `times` of them, or for ever."""
    look_in(work.parents[2])
    known = set[tuple[Path, int]]()
    while times is None or len(known) < times:
        for folder, told in groups(work):
            mark = (folder, (folder / group.NODES).stat().st_mtime_ns)
            if mark not in known:
                known.add(mark)
                print(f"joins {folder.parent.name}", file=sys.stderr, flush=True)  # noqa: T201 - a program
                status = join(folder, told)
                print(f"left {folder.parent.name}: {status}", file=sys.stderr, flush=True)  # noqa: T201
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
