"""What Git has: the staged files, and every version that was ever committed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from jupyter_qsec.cli.scan.examine import Item
from jupyter_qsec.cli.scan.files import MAX_BYTES
from jupyter_qsec.domain.errors import InvalidRequestError, UnavailableError

_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "--no-pager", "--literal-pathspecs")
_FILE_MODES = frozenset({"100644", "100755"})
_DIFF = ("--raw", "-z", "--no-abbrev", "--no-renames", "--diff-filter=AMT", "--ignore-submodules=all")


class Repository:
    """The repository around a folder."""

    def __init__(self, folder: Path) -> None:
        """Raises `UnavailableError` without Git, `InvalidRequestError` outside of a repository."""
        self.folder = folder
        top = _run(folder, "rev-parse", "--show-toplevel").rstrip(b"\n")
        self.top = Path(os.fsdecode(top))

    def staged(self, paths: Sequence[str]) -> Iterator[Item]:
        """The files of the next commit that differ from the last one, as they are staged."""
        head = _head(self.folder)
        raw = _run(self.folder, "diff-index", "--cached", *_DIFF, head, "--", *paths)
        fields = raw.split(b"\0")
        for change, path in zip(fields[::2], fields[1::2], strict=False):
            mode, blob = _changed(change)
            if mode in _FILE_MODES:
                yield Item(os.fsdecode(path), blob)

    def history(self, paths: Sequence[str]) -> Iterator[Item]:
        """Every version of every file on every branch and tag, each once, with the oldest commit that brought it."""
        command = [*_GIT, "log", "--all", "--reverse", "--topo-order", "-m", "--root", *_DIFF]
        command += ["--no-show-signature", "--format=%x00%H", "--", *paths]
        with subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                yield from _versions(_fields(cast(IO[bytes], process.stdout)))
            except GeneratorExit:
                process.kill()
                raise
            problem = cast(IO[bytes], process.stderr).read(4096)
        if process.returncode:
            raise InvalidRequestError(f"git: {_first_line(problem)}")


class BlobReader:
    """Reads blobs through one `git cat-file --batch`. To be closed."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [*_GIT, "cat-file", "--batch"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def read(self, blob: str) -> bytes:
        """The content of a blob; of a larger one so much that it is seen to be too large."""
        asked, told = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        asked.write(blob.encode("ascii") + b"\n")
        asked.flush()
        words = told.readline().split()
        if len(words) != 3:
            raise InvalidRequestError("missing in this repository: fetch the whole history first")
        size = int(words[2])
        content = told.read(min(size, MAX_BYTES + 1))
        if len(content) < min(size, MAX_BYTES + 1):
            raise InvalidRequestError("git ended before it had given all of it")
        left = size + 1 - len(content)
        while left > 0 and (passed := told.read(min(left, 1 << 20))):
            left -= len(passed)
        return content

    def close(self) -> None:
        """End the process."""
        with suppress(OSError):
            cast(IO[bytes], self._process.stdin).close()
        self._process.wait()
        cast(IO[bytes], self._process.stdout).close()


def _run(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run([*_GIT, *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        raise UnavailableError("Git is not installed.") from None
    if done.returncode:
        raise InvalidRequestError(f"git: {_first_line(done.stderr)}")
    return done.stdout


def _head(folder: Path) -> str:
    command = [*_GIT, "rev-parse", "--verify", "--quiet", "HEAD"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return (done.stdout or _run(folder, "hash-object", "-t", "tree", os.devnull)).decode("ascii").strip()


def _fields(stream: IO[bytes]) -> Iterator[bytes]:
    """What stands between zeros."""
    rest = b""
    while block := stream.read(1 << 16):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
    if rest:
        yield rest


def _versions(fields: Iterator[bytes]) -> Iterator[Item]:
    """The output of `git log --raw -z`: an empty field, the commit, then pairs of change and path."""
    seen: set[tuple[str, bytes]] = set()
    commit = ""
    for field in fields:
        change = field.lstrip(b"\n")
        if not change.startswith(b":"):
            commit = change.decode("ascii").strip() or commit
            continue
        path = next(fields, b"")
        mode, blob = _changed(change)
        if mode in _FILE_MODES and (blob, path) not in seen:
            seen.add((blob, path))
            yield Item(os.fsdecode(path), blob, commit)


def _changed(change: bytes) -> tuple[str, str]:
    """Mode and object id after a change, of `:old new oldid newid status`."""
    words = change.decode("ascii").lstrip(":").split(" ")
    return words[1], words[3]


def _first_line(problem: bytes) -> str:
    lines = problem.decode("utf-8", "replace").splitlines()
    return lines[0].removeprefix("fatal: ") if lines else "failed"
