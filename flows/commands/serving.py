"""`modelyard serve`."""

from __future__ import annotations

import stat
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators
from rich.markup import escape

from flows.commands.options import DEFAULT, Common
from tasks import config
from tasks.errors import ConfigError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.registry.serving.following import Champion

SECRET = 16
"""Fewest characters of a password that other machines may try."""


def serve(
    project: str,
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))] = 5001,
    host: str = "127.0.0.1",
    model_version: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    expose: Annotated[bool, Parameter(negative="")] = False,
    credentials: Path | None = None,
    common: Common = DEFAULT,
) -> None:
    """Answer over HTTP with a project's champion, until Ctrl-C; a new champion takes over by itself.

    The protocol is that of `mlflow models serve`: POST rows to /invocations.

    Parameters
    ----------
    project
        Folder name below data/.
    port
        Port to listen on; 0 takes any free one.
    host
        Address to listen on; one that other machines reach asks for --expose and --credentials.
    model_version
        Version of the model, instead of whoever is champion.
    expose
        Let other machines in. What goes over the network is not encrypted.
    credentials
        A file of mode 0600 that holds one line, user:password, which every request then needs.
    """
    import torch  # noqa: PLC0415

    from flows.servers import address, answering  # noqa: PLC0415
    from flows.servers.door import Door  # noqa: PLC0415
    from tasks.registry.serving.app import OPEN_PATHS, application  # noqa: PLC0415

    root, out = common.place, common.console()
    name = config.load(root, project).config.register_as.name
    credential = _credential(credentials)
    if not address.is_loopback(host) and not (expose and credential):
        raise ConfigError(
            f"--host {quoted(host)} lets other machines in", fix="add --expose, and give --credentials FILE"
        )

    def say(line: str) -> None:
        out.print(escape(line), soft_wrap=True)

    torch.set_num_threads(1)  # requests share the cores
    stop = threading.Event()
    with address.listen(host, port, port) as listener:
        where = address.of(listener, config.root_settings(root).names)
        champion = _champion(root, name, model_version, say)
        app = Door(
            application(champion, say), hosts=where.hosts, origins=where.origins, credential=credential,
            open_paths=OPEN_PATHS,
        )  # fmt: skip

        def ready() -> None:
            known = champion.current.known
            say(f"{where.url}  answers with {known.name} version {known.version}; Ctrl-C ends it")
            model = {"name": known.name, "version": known.version}
            common.answer({"project": project, "url": where.url, "model": model})
            sys.stdout.flush()
            if model_version is None:
                threading.Thread(target=champion.follow, args=(stop,), daemon=True).start()

        answering.run(app, listener, ready)
        stop.set()
        say("stopped")


def _champion(root: Path, name: str, number: int | None, say: Callable[[str], None]) -> Champion:
    """Who answers at the beginning, ready to give way to the next one."""
    from flows.scoring.chosen import choose  # noqa: PLC0415
    from tasks.registry import tracking, versions  # noqa: PLC0415
    from tasks.registry.serving import following, model  # noqa: PLC0415

    uri, first = tracking.connect(root), choose(name, root, number).model

    def load(version: int) -> Any:
        return model.load(uri, name, version, root / ".state" / "models")

    return following.Champion(
        load(first.version), lambda: versions.alias(uri, name, versions.CHAMPION), load, say
    )


def _credential(path: Path | None) -> str | None:
    """The line `user:password` of a file that only its owner reads.

    Raises:
        ConfigError: There is no such file, others can read it, or it holds something else.
    """
    if path is None:
        return None
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"--credentials {quoted(str(path))}: no file that can be read") from None
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise ConfigError(f"--credentials {quoted(str(path))}: others can read it", fix="chmod 600 it")
    user, colon, password = text.partition(":")
    if not (user and colon and text.isprintable() and len(password) >= SECRET):
        raise ConfigError(
            f"--credentials {quoted(str(path))}: expected one line user:password, "
            f"the password of at least {SECRET} characters"
        )
    return text
