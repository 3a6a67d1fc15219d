"""Structured logs without patient data: one JSON object a line, for structlog and the standard library alike."""

from __future__ import annotations

import logging
import logging.config
import re
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

#: Fields that may name a person or hold what somebody wrote. Whoever logs one of them logs its absence.
WITHHELD = frozenset(
    {
        *("name", "family_name", "given_name", "middle_name", "patient_name", "birth_date", "phone", "email"),
        *("patient_id", "identifier", "identifiers", "mrn", "address_lines"),
        *("body", "payload", "text", "message_text", "dataset", "query", "query_string", "params"),
        *("password", "token", "cookie", "authorization"),
    }
)
_DATABASE_DETAIL = re.compile(r"^\s*(DETAIL|CONTEXT|HINT|QUERY):.*$", re.MULTILINE)
_QUERY_STRING = re.compile(r"(/[^\s?\"']*)\?[^\s\"']+")


def withhold_patient_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank what may identify a patient: fields by name, query strings, and the values in database errors."""
    for key, value in event.items():
        if key.lower() in WITHHELD:
            event[key] = "[withheld]"
        elif isinstance(value, str):
            event[key] = _QUERY_STRING.sub(r"\1?[withheld]", _DATABASE_DETAIL.sub("", value))
    return event


SHARED_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    withhold_patient_data,
]


def logging_config(level: str, form: str) -> dict[str, Any]:
    """The standard library's logging, as dictConfig takes it."""
    renderer: Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    quiet = {"level": "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [structlog.stdlib.ExtraAdder(allow=()), *SHARED_PROCESSORS],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.db.backends": quiet,
            "django.template": quiet,
            "pynetdicom": quiet,
            "pydicom": {"level": "ERROR"},
            "httpx": quiet,
            "axes": quiet,
            "asyncio": quiet,
            "amqp": quiet,
            "kombu": quiet,
        },
    }


def configure_logging(level: str, form: str) -> None:
    logging.config.dictConfig(logging_config(level, form))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED_PROCESSORS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
