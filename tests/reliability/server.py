"""A small file server whose faults are chosen: what a fetch has to survive."""

from __future__ import annotations

import re
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Behaviour:
    """How one file is served.

    Attributes:
        content: the bytes.
        ranges: whether byte ranges are known.
        statuses: answered one after the other before the file is given.
        cut_after: bytes after which the connection is closed; consumed one an answer.
        cut_at: an offset of the file at which an answer that crosses it is cut, once.
        stall_at: as ``cut_at``, but the server falls silent instead.
        delay: seconds before every kilobyte.
        length: whether the size is announced.
        page: an HTML page that is sent instead, with status 200.
        etag: the name of this version of the content.
        shift: bytes by which the announced range is wrong, after the probe of the beginning.
    """

    content: bytes
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    cut_at: int | None = None
    stall_at: int | None = None
    delay: float = 0.0
    length: bool = True
    page: str = ""
    etag: str = '"one"'
    shift: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that were killed."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class FileServer:
    """Serves ``files`` on a free port of this machine; counts what it sent.

    Args:
        certificate: a PEM file with key and certificate, to serve by https.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.files: dict[str, Behaviour] = {}
        self.sent = 0
        self.requests: list[tuple[str, str | None]] = []
        self.most_at_once = self._now = 0
        self.lock = threading.Lock()
        self._server = QuietServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.address = self.address.replace("http:", "https:")
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # 40 ms a request otherwise

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                with outer.lock:
                    outer._now += 1
                    outer.most_at_once = max(outer.most_at_once, outer._now)
                    outer.requests.append((self.path, self.headers.get("Range")))
                try:
                    outer._answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with outer.lock:
                        outer._now -= 1

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        behaviour = self.files.get(handler.path.lstrip("/"))
        with self.lock:
            status = behaviour.statuses.pop(0) if behaviour and behaviour.statuses else None
        if behaviour is None or status is not None:
            handler.send_response(status or 404)
            for name, value in (behaviour.headers if behaviour else {}).items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if behaviour.page:
            body = behaviour.page.encode()
            handler.send_response(200)
            handler.send_header("Content-Type", "text/html; charset=utf-8")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
            return
        start, end = 0, len(behaviour.content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range") or "")
        if behaviour.ranges and asked:
            start, end = int(asked[1]), min(int(asked[2]) + 1, end)
            handler.send_response(206)
            first = start + (behaviour.shift if end - start > 4096 else 0)
            handler.send_header(
                "Content-Range", f"bytes {first}-{end - 1}/{len(behaviour.content)}"
            )
        else:
            handler.send_response(200)
        handler.send_header("ETag", behaviour.etag)
        if behaviour.length:
            handler.send_header("Content-Length", str(end - start))
        else:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        handler.end_headers()
        self._body(handler, behaviour, start, end)

    def _body(self, handler, behaviour: Behaviour, start: int, end: int) -> None:
        stop = end
        stall = False
        with self.lock:
            # The probe of the first bytes is not what is cut.
            if end - start > 4096 or not behaviour.ranges:
                if behaviour.cut_after:
                    stop = min(end, start + behaviour.cut_after.pop(0))
                if behaviour.cut_at is not None and start <= behaviour.cut_at < end:
                    stop, behaviour.cut_at = behaviour.cut_at, None
                if behaviour.stall_at is not None and start <= behaviour.stall_at < end:
                    stop, behaviour.stall_at, stall = behaviour.stall_at, None, True
        step = 1024 if behaviour.delay else 1 << 20
        for offset in range(start, stop, step):
            if behaviour.delay:
                time.sleep(behaviour.delay)
            piece = behaviour.content[offset : min(offset + step, stop)]
            handler.wfile.write(piece)
            with self.lock:
                self.sent += len(piece)
        if stall:
            handler.wfile.flush()
            time.sleep(3)
        if stop < end:
            handler.close_connection = True
