"""Published checkpoints: an append-only file of signed notes, and a witness copy elsewhere.

Each note is followed by an empty line. A checkpoint counts as published when it is durable in the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_qsec.adapters.privatefiles import (
    create_private,
    directory_lock,
    ensure_private_directory,
    open_private,
    sync_directory,
)
from jupyter_qsec.application.ports import CheckpointSigner
from jupyter_qsec.domain.audit import Checkpoint
from jupyter_qsec.domain.errors import InvalidRequestError, RecordingError, StateDirectoryError
from jupyter_qsec.domain.notes import MAX_NOTE_BYTES, checkpoint_text, format_note, parse_checkpoint, split_notes

LOG_NAME = "log"
PUBLIC_KEY_NAME = "log.pub"


class PublishedCheckpoints:
    """The checkpoint log of one audit log. Safe between processes; blocking."""

    def __init__(self, directory: Path, signer: CheckpointSigner, witness: Path | None = None) -> None:
        self._directory = directory
        self._signer = signer
        self._files = [directory / LOG_NAME] + ([witness] if witness else [])

    @property
    def verifier_key(self) -> str:
        return self._signer.verifier_key

    def open(self) -> None:
        """Make the directory and publish the public key. `StateDirectoryError` when another key was published: who
        holds the old public key could not verify the log any more."""
        ensure_private_directory(self._directory)
        key = f"{self.verifier_key}\n".encode()
        published = create_private(self._directory / PUBLIC_KEY_NAME, key)
        if published != key:
            raise StateDirectoryError(
                f"The key of the audit log is not the one published in {self._directory / PUBLIC_KEY_NAME}.",
                remedy="Bring back the key store that the log was started with.",
            )

    def newest(self) -> list[Checkpoint]:
        """The newest checkpoint of each file. `StateDirectoryError` for one that this log's key did not sign."""
        found = []
        for file in self._files:
            checkpoint = self._last(file)
            if checkpoint is not None:
                found.append(checkpoint)
        return found

    def publish(self, size: int, root: bytes) -> Checkpoint:
        """Sign and append the head, durably; files that have a checkpoint of this size already are left alone."""
        text = checkpoint_text(self._signer.origin, size, root)
        checkpoint = parse_checkpoint(format_note(text, self._signer.sign(text)))
        with directory_lock(self._directory):
            for file in self._files:
                last = self._last(file)
                if last is None or last.size < size:
                    _append(file, checkpoint.note)
                elif last.size == size:
                    checkpoint = last
        return checkpoint

    def _last(self, file: Path) -> Checkpoint | None:
        note = _last_note(file)
        if note is None:
            return None
        try:
            checkpoint = parse_checkpoint(note)
        except InvalidRequestError as error:
            raise StateDirectoryError(f"The newest checkpoint in {file} cannot be read: {error}") from error
        if not self._signer.verify(note):
            raise StateDirectoryError(
                f"The newest checkpoint in {file} is not signed by the key of this audit log.",
                remedy="See what `jupyter qsec audit verify` says.",
            )
        return checkpoint


def _tail(file: Path) -> tuple[str, int] | None:
    """The end of the file, long enough for a whole note, and where it starts."""
    try:
        descriptor = open_private(file, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as handle:  # noqa: PTH123  # a descriptor, not a path
        start = max(0, os.fstat(handle.fileno()).st_size - 2 * MAX_NOTE_BYTES)
        handle.seek(start)
        return handle.read().decode("utf-8", "replace"), start


def _last_note(file: Path) -> str | None:
    """The last complete note; an interrupted write behind it was never published."""
    tail = _tail(file)
    if tail is None:
        return None
    notes, _ = split_notes(_aligned(*tail))
    return notes[-1] if notes else None


def _aligned(text: str, start: int) -> str:
    """Cut a tail so that it begins with a note: signature lines begin with a dash, texts do not."""
    if start == 0:
        return text
    _, _, text = text.partition("\n\n")
    if text.startswith("—"):
        _, _, text = text.partition("\n\n")
    return text


def _append(file: Path, note: str) -> None:
    """Append durably, over what an interrupted write left."""
    try:
        is_new = not file.exists()
        descriptor = open_private(file, os.O_RDWR | os.O_CREAT)
        with open(descriptor, "r+b") as handle:  # noqa: PTH123  # a descriptor, not a path
            tail = _tail(file)
            text, start = tail if tail is not None else ("", 0)
            _, rest = split_notes(_aligned(text, start))
            handle.truncate(handle.seek(0, os.SEEK_END) - len(rest.encode()))
            handle.seek(0, os.SEEK_END)
            handle.write(note.encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        if is_new:
            sync_directory(file.parent)
    except OSError as error:
        raise RecordingError(f"The checkpoint cannot be written to {file} ({error.strerror}).") from error
