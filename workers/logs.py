"""What a process logs: lines for people, or JSON for machines, both from the same records.

A record that is written while a message is handled says which: its job, run, message, trace and stage, whoever wrote
it. Whoever sent the message chose those, and what errors say: they are cut, and in lines for people a line break or any
other character that is no print is escaped, and only lines of a traceback begin with a space. The password of a URL is
never written, wherever the URL turns up.
"""

import logging
import re
from collections.abc import MutableMapping
from dataclasses import asdict
from typing import Any

from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

from bus.tracing import current_context
from schemas.settings import LogFormat

Record = MutableMapping[str, Any]

_OF_A_LINE = ("timestamp", "level", "logger", "event", "exception")
_LONGEST_VALUE = 200
_PASSWORD = re.compile(
    r"(?<=://)([^\s:/@]*):\S*@"
)  # to the last @: rather too much than too little


def configure(level: str, log_format: LogFormat) -> None:
    """Log to standard error from now on. An unknown level is a ValueError."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(log_format))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def formatter(log_format: LogFormat) -> logging.Formatter:
    """Return what turns a record into text."""
    return ProcessorFormatter(
        foreign_pre_chain=[
            TimeStamper(fmt="iso"),
            add_log_level,
            add_logger_name,
            _with_message_in_hand,
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            format_exc_info,
            _without_passwords,
            JSONRenderer() if log_format == "json" else _line,
        ],
    )


def redacted(text: str) -> str:
    """Return the text with the passwords of its URLs replaced."""
    return _PASSWORD.sub(r"\1:***@", text)


def _with_message_in_hand(_: object, __: str, record: Record) -> Record:
    if context := current_context():
        values = asdict(context).items()
        record.update({name: value[:_LONGEST_VALUE] for name, value in values if value})
    return record


def _without_passwords(_: object, __: str, record: Record) -> Record:
    return {
        name: redacted(value) if isinstance(value, str) else value for name, value in record.items()
    }


def _line(_: object, __: str, record: Record) -> str:
    """Return `time level logger event job=… stage=…`, and the traceback below it."""
    words = [record["timestamp"], record["level"].upper(), record["logger"], record["event"]]
    words += [f"{name}={value}" for name, value in record.items() if name not in _OF_A_LINE]
    traceback = (record.get("exception") or "").splitlines()
    return "\n".join(
        [_printable(" ".join(words)), *(f"  {_printable(line)}" for line in traceback)]
    )


def _printable(text: str) -> str:
    """Return the text with what is no print escaped as Python would."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
