"""The gateway's log: lines of text or of JSON, with the id of the request that was being served.

What clients sent is not in it. Our own messages name operations, never paths, headers or bodies; of an exception its
type and where it was raised are logged, because its text may quote what was being worked on; and of a message of
another library the template alone, because its arguments may.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from jupyter_qsec.adapters.privatefiles import ensure_private_directory, open_private
from jupyter_qsec.domain.errors import InvalidRequestError
from jupyter_qsec.gateway.exchange import serving

FORMAT_VARIABLE, PLACE_VARIABLE = "JUPYTER_QSEC_LOG_FORMAT", "JUPYTER_QSEC_LOG"
_OWN = "jupyter_qsec"
_BYTES = 5 << 20
_FILES = 3
_CHAIN = 8
_FRAMES = 40


class TextFormatter(logging.Formatter):
    """One line for people, and the places of an exception below it."""

    def format(self, record: logging.LogRecord) -> str:
        message = message_of(record).replace("\r", "\\r").replace("\n", "\\n")  # a message makes one line
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {message}"
        exchange = serving()
        if exchange is not None:
            line += f" [{exchange.id}]"
        return "\n  ".join([line, *(describe(record.exc_info[1]) if record.exc_info else ())])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time level logger message request_id`, fields of the message, and `error` with the types
    and places of an exception. Members may be added, never renamed."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
        }
        exchange = serving()
        if exchange is not None:
            line["request_id"] = exchange.id
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            line |= {name: value for name, value in fields.items() if value != "" and name not in line}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe(record.exc_info[1])
        return json.dumps(line, separators=(",", ":"), default=lambda value: type(value).__name__)


def message_of(record: logging.LogRecord) -> str:
    """Our own messages with their arguments, those of others without."""
    own = record.name == _OWN or record.name.startswith(f"{_OWN}.")
    return record.getMessage() if own else str(record.msg)


def describe(error: BaseException | None) -> list[str]:
    """The types of an exception and of those behind it, and the places that they came through; never their texts."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(seen) < _CHAIN:
        seen.add(id(error))
        lines.append(_name(error))
        frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


def _name(error: BaseException) -> str:
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}"
    return f"{name} errno {error.errno}" if isinstance(error, OSError) and isinstance(error.errno, int) else name


def log_unhandled(_loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """For `loop.set_exception_handler`: asyncio itself would log the text of the exception, and of what held it."""
    error = context.get("exception")
    info = (type(error), error, error.__traceback__) if isinstance(error, BaseException) else None
    logging.getLogger(__name__).error("an exception was left over on the event loop", exc_info=info)


class _PrivateRotatingFileHandler(RotatingFileHandler):
    """A rotating log whose every file has mode 0600, whatever the umask."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base class's type is private to the standard library's stubs
        descriptor = open_private(Path(self.baseFilename), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return os.fdopen(descriptor, self.mode, encoding="utf-8")


def log_to(home: Path, environ: Mapping[str, str], name: str = "gateway") -> None:
    """Set up this process's logging as the environment asks: by default text in `logs/NAME.log`, errors on standard
    error too. Each request is logged in JSON only. `InvalidRequestError` for a value that is not known."""
    formatter = JsonFormatter() if _choice(environ, FORMAT_VARIABLE, ("text", "json")) == "json" else TextFormatter()
    stream = logging.StreamHandler()
    handlers: list[logging.Handler] = [stream]
    if _choice(environ, PLACE_VARIABLE, ("file", "stderr")) == "file":
        ensure_private_directory(home / "logs")
        path = home / "logs" / f"{name}.log"
        handlers.append(_PrivateRotatingFileHandler(path, maxBytes=_BYTES, backupCount=_FILES))
        stream.setLevel(logging.ERROR)
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.raiseExceptions = False  # a log that cannot be written must not print its arguments elsewhere
    access = logging.INFO if isinstance(formatter, JsonFormatter) else logging.WARNING
    logging.getLogger("jupyter_qsec.gateway.access").setLevel(access)
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _choice(environ: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    value = environ.get(name, "") or known[0]
    if value not in known:
        raise InvalidRequestError(f"{name} must be {' or '.join(known)}.")
    return value
