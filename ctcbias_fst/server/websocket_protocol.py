"""Websockets as uvicorn has them, quiet about clients that send what is no text."""

from __future__ import annotations

import logging

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

_NO_TEXT = "Invalid UTF-8"


class WebsocketProtocol(WebSocketsSansIOProtocol):
    """Closes where text is not UTF-8, whatever else has come behind it."""

    def data_received(self, data: bytes) -> None:
        """Take what a client sends."""
        try:
            super().data_received(data)
        except InvalidState:  # closed already, for what came before
            self.transport.close()
        if self.close_sent and self.transport.is_closing():
            self.disconnected = True  # what is sent from now on is too late, and no fault


def told(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's log is about the server: a client's mistake has a stack there."""
    return not record.getMessage().startswith(_NO_TEXT)
