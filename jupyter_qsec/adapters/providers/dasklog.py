"""Keeps programs and results out of the log, where Dask would write them, and the log as it was set up.

Dask logs arguments, messages and pickles when something fails, and on import gives its own handlers to its loggers and
to Tornado's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)
_TORNADO = ("tornado", "tornado.application")
_TOUCHED = (*_TORNADO, "bokeh", "distributed", "distributed.client", "distributed.gc")
_CALLBACK = "Exception in callback"


@contextmanager
def logging_kept() -> Iterator[None]:
    """For the import of `distributed`: afterwards loggers are as before, and what Dask logs is withheld."""
    root = logging.getLogger()
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in (root, *_named(_TOUCHED))]
    try:
        yield
    finally:
        for logger, level, handlers, propagate in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers
            logger.propagate = propagate
        _withhold()


def _named(names: tuple[str, ...]) -> list[logging.Logger]:
    return [logging.getLogger(name) for name in names]


def _withhold() -> None:
    dask = logging.getLogger("distributed")
    dask.setLevel(logging.WARNING)
    dask.propagate = False
    dask.handlers[:] = [_OnlyWhere()]
    for logger in _named(_TORNADO):
        # A call that Dask left to the event loop is logged with its arguments, such as the message that it was to send.
        if not any(isinstance(present, _NoArguments) for present in logger.filters):
            logger.addFilter(_NoArguments())


class _OnlyWhere(logging.Handler):
    """Says in our log that Dask logged something and where in its source: a maintainer finds the message there."""

    def emit(self, record: logging.LogRecord) -> None:
        _log.log(record.levelno, "Dask logged a problem at %s:%d (text withheld)", record.name, record.lineno)


class _NoArguments(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith(_CALLBACK):
            record.msg, record.args = f"{_CALLBACK} (arguments withheld)", ()
            if record.exc_info and record.exc_info[0] is not None:
                record.msg += f": {record.exc_info[0].__name__}"
            record.exc_info = record.exc_text = None
        return True
