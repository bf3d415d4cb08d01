"""A web server of a test's own on loopback, and what it answers."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What is said to a request."""

    body: bytes = b""
    status: int = 200
    #: None: the header is not sent.
    headers: dict[str, str | None] = field(default_factory=dict)
    #: How many bytes of the body are really sent before the server hangs up.
    cut: int | None = None


@dataclass
class Server:
    """The server. `pages` maps paths to answers, one after the other; the last of a list stays."""

    address: str
    pages: dict[str, list[Answer] | Callable[[dict[str, str]], Answer]] = field(default_factory=dict)
    #: Path and headers (names in lower case) of each request.
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def serves(self, path: str, *answers: Answer) -> str:
        """Answers requests for a path so; its address."""
        self.pages[path] = list(answers)
        return f"{self.address}{path}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append((self.path, headers))
            page = server.pages.get(self.path.partition("?")[0], [Answer(status=404)])
            content = page(headers) if callable(page) else page[0] if len(page) == 1 else page.pop(0)
            self.send_response(content.status)
            for name, value in ({"Content-Length": str(len(content.body))} | content.headers).items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content.body if content.cut is None else content.body[: content.cut])

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, *said: object) -> None: ...

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
    server = Server(f"{'https' if context else 'http'}://127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join(10)


def packed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)  # Else its header tells the time, and another second makes another file.
