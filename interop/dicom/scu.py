"""Calling others (pynetdicom): one association, plain errors. For echo, testers and the modality emulator."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pynetdicom
from django.conf import settings
from django.utils.translation import gettext as _
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

pynetdicom._config.LOG_HANDLER_LEVEL = "none"
pynetdicom._config.LOG_REQUEST_IDENTIFIERS = False
pynetdicom._config.LOG_RESPONSE_IDENTIFIERS = False
#: A file is sent as it lies there, without being held in memory.
pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True

SECONDS = 20.0
PLAIN = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]


class CallFailed(Exception):
    """The other side cannot be reached, lets us not in, or breaks off; the words can be shown."""


class NotTaken(CallFailed):
    """The other side is there, and takes nothing of what is offered."""


def contexts_for(
    abstract_syntaxes: Iterable[str], transfer_syntaxes: Sequence[str] = PLAIN
) -> list[PresentationContext]:
    return [build_context(abstract, list(transfer_syntaxes)) for abstract in abstract_syntaxes]


@contextlib.contextmanager
def association(
    *,
    host: str,
    port: int,
    called_ae_title: str,
    calling_ae_title: str,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    on_store: Callable[[evt.Event], int] | None = None,
    tls: ssl.SSLContext | None = None,
    seconds: float = SECONDS,
) -> Iterator[Association]:
    """An established association, released at the end. Raises CallFailed.

    ``on_store``: takes what comes back of a C-GET, in the thread that asks for it.
    """
    ae = AE(ae_title=calling_ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = seconds
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, _without_delay)]
    if on_store is not None:
        handlers.append((evt.EVT_C_STORE, on_store))
    try:
        established = ae.associate(
            host,
            port,
            contexts=list(contexts),
            ae_title=called_ae_title,
            max_pdu=131072,
            ext_neg=list(roles),
            evt_handlers=handlers,
            tls_args=(tls, host) if tls else None,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise CallFailed(str(error)) from None
    if not established.is_established:
        is_there = established.rejected_contexts and not established.is_rejected
        words = _("The other side does not take this service.")
        raise NotTaken(words) if is_there else CallFailed(_why_not(established))
    established._reactor_checkpoint = _Checkpoint(established)
    try:
        yield established
    finally:
        if established.is_established:
            established.release()


class _Checkpoint(threading.Event):
    """Where an association's own thread stops while another speaks: ``clear`` returns when it has.

    pynetdicom's thread calls itself paused a moment before it looks whether it has to, and then takes the answer that
    the other waits for.
    """

    def __init__(self, association: Association) -> None:
        super().__init__()
        self._association = association
        self._holds = False
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        while not self.is_set():
            self._holds = True
            super().wait(timeout)
            self._holds = False
        return True

    def clear(self) -> None:
        super().clear()
        thread = self._association
        while thread is not threading.current_thread() and thread.is_alive() and not (self._holds or self.is_set()):
            time.sleep(0.0001)


def _without_delay(event: Any) -> None:
    with contextlib.suppress(AttributeError, OSError):
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _why_not(failed: Association) -> str:
    if failed.is_rejected:
        answer = failed.acceptor.primitive
        result = getattr(answer, "result_str", "") if answer is not None else ""
        reason = getattr(answer, "reason_str", "") if answer is not None else ""
        why = reason or result or _("no reason given")
        return _("The association was rejected: %(why)s.") % {"why": why}
    return _("No association: nobody answers there, or the connection was cut.")


def status_of(answer: Dataset) -> int:
    """The status of a response. Raises CallFailed when none came."""
    if not answer or "Status" not in answer:
        raise CallFailed(_("The connection was cut, or no answer came in time."))
    return int(answer.Status)


def client_tls() -> ssl.SSLContext:
    """TLS 1.2 or above, with our own certificate where there is one; as our HL7 messages go out."""
    context = ssl.create_default_context(cafile=settings.RIS_TLS_CLIENT_CA or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.RIS_TLS_CERTIFICATE:
        context.load_cert_chain(settings.RIS_TLS_CERTIFICATE, settings.RIS_TLS_KEY or None)
    return context


def echo(
    *,
    host: str,
    port: int,
    called_ae_title: str,
    calling_ae_title: str,
    tls: ssl.SSLContext | None = None,
    seconds: float = 5,
) -> int:
    """The status of a C-ECHO. Raises CallFailed."""
    contexts = contexts_for(["1.2.840.10008.1.1"])
    with association(
        host=host,
        port=port,
        called_ae_title=called_ae_title,
        calling_ae_title=calling_ae_title,
        contexts=contexts,
        tls=tls,
        seconds=seconds,
    ) as established:
        return status_of(established.send_c_echo())
