"""Who may talk to the server: requests to its own names, from its own page or from no page at all."""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr.server.refusal import Refusal, refuse

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses what a web page elsewhere may have made a browser send, and puts headers on every response.

    A page can name this machine in two ways: by a name of its own that it lets point here (DNS rebinding), which the
    Host header gives away, or by address, in which case the browser says in Origin whose page it is.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1") -> None:
        """
        Args:
            host: What the server was told to listen at; its name, if it is one.
        """
        self.app = app
        self.names = LOOPBACK | {host.lower()}
        self.anywhere = is_anywhere(host)
        if self.anywhere:
            self.names |= {socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        app = self.app if refusal is None else await refuse(Request(scope), refusal)
        await app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> Refusal | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        name = _hostname(f"//{host}")
        if not (name in self.names or (self.anywhere and _is_address(name))):
            return Refusal(
                403, f"host {host!r} is not served here; 'asr serve --host NAME' serves another", code="host"
            )
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return Refusal(403, f"pages of {origin!r} may not use this server", code="origin")
        return None


def is_loopback(host: str) -> bool:
    return host in LOOPBACK or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_anywhere(host: str) -> bool:
    """Whether it stands for all addresses of the machine, such as 0.0.0.0."""
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
