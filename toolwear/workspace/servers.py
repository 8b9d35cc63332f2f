"""Where the servers of a home answer: who starts some here says so in the home while it lives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.workspace.home import Home


@contextmanager
def announced(home: Home, urls: Mapping[str, str]) -> Iterator[None]:
    """Let others find servers of this process, or of its children, while the block runs.

    Args:
        home: the system's folder.
        urls: address by the server's name.
    """
    path = home.servers / f"{os.getpid()}.json"
    jsonfile.write(path, {"started": psutil.Process().create_time(), "urls": dict(urls)})
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find(home: Home) -> dict[str, str]:
    """Return the addresses of the home's servers by name; the newest process wins.

    A file whose process has gone, or whose number is another process's by now, does not count.
    """
    found = []
    for path in home.servers.glob("*.json"):
        try:
            value = jsonfile.read(path)
            alive = psutil.Process(int(path.stem)).create_time() == value["started"]
        except (FileNotFoundError, psutil.NoSuchProcess):
            continue
        if alive:
            found.append((value["started"], value["urls"]))
    return {
        name: url
        for _, urls in sorted(found, key=lambda item: item[0])
        for name, url in urls.items()
    }


def address(home: Home, name: str, given: str, start: str) -> str:
    """Return where a server answers: as given, else that of the home.

    Args:
        home: the system's folder.
        name: of the server.
        given: address that wins; empty for none.
        start: command that starts the server, for the message.

    Raises:
        ToolwearError: none was given, and the home has no such server at work.
    """
    url = given or find(home).get(name, "")
    if not url:
        raise ToolwearError(f"No {name} is at work in {home.root}; start one: {start}.")
    return url.rstrip("/")
