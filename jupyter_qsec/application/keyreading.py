"""Questions to a key store, which may wait for a network or a person: on threads that nobody has to wait for."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from jupyter_qsec.application.ports import KeyStore
from jupyter_qsec.domain.errors import KeyStoreError, StateDirectoryError

KEY_BYTES = 32
ANSWER_SECONDS = 10.0
_ENDED = b"This secret was ended. It is not used any more."

Answer = TypeVar("Answer")


class KeyReading:
    """Every method raises `KeyStoreError` when the store cannot be used or does not answer in time."""

    def __init__(self, keys: KeyStore, *, seconds: float = ANSWER_SECONDS) -> None:
        self._keys = keys
        self._seconds = seconds
        self._reading: dict[str, Future[bytes | None]] = {}
        self.place = keys.description

    async def read(self, entry: str) -> bytes | None:
        """The secret, or `None`. A store that hangs is not asked for it again until it answers."""
        reading = self._reading.get(entry)
        if reading is None:
            reading = self._reading[entry] = _asked(lambda: self._keys.read(entry))
            reading.add_done_callback(lambda _: self._reading.pop(entry, None))
        return await self._answer(reading)

    async def store(self, stem: str, secret: bytes | None) -> tuple[str, bytes]:
        """A new entry whose name begins with `stem`, and what lies there: `secret`, or 32 random bytes. What an
        interrupted change or a restored database left behind is never used."""
        entry = f"{stem}-{secrets.token_hex(4)}"
        made = secrets.token_bytes(KEY_BYTES) if secret is None else secret
        if await self._answer(_asked(lambda: self._keys.create(entry, made))) != made:
            raise KeyStoreError(f"Another secret lies under {entry!r} in the key store.")
        return entry, made

    async def end(self, entry: str) -> None:
        """Remember beside the secret that it counts no more, whatever a database says."""
        await self._answer(_asked(lambda: self._keys.create(_mark(entry), _ENDED)))

    async def has_ended(self, entry: str) -> bool:
        return await self.read(_mark(entry)) is not None

    async def _answer(self, asked: Future[Answer]) -> Answer:
        """Waits as long as is reasonable; the question itself goes on."""
        answer = asyncio.wrap_future(asked)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), self._seconds)
        except TimeoutError:
            answer.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise KeyStoreError(f"The key store does not answer ({self.place}).") from None


def _asked(question: Callable[[], Answer]) -> Future[Answer]:
    """On a daemon thread of its own: a store that hangs keeps nobody from asking, and no process from ending."""
    answer: Future[Answer] = Future()

    def work() -> None:
        try:
            answer.set_result(question())
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answer.set_exception(_told(error))

    threading.Thread(target=work, name="qsec-key-store", daemon=True).start()
    return answer


def _mark(entry: str) -> str:
    return f"{entry}-ended"


def _told(error: Exception) -> KeyStoreError:
    if isinstance(error, StateDirectoryError):
        return error if isinstance(error, KeyStoreError) else KeyStoreError(error.message, remedy=error.remedy)
    detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return KeyStoreError(f"The key store cannot be used ({detail}).")
