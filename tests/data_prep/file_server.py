"""A server of files on this machine that misbehaves as it is told, for the tests of downloads."""

import contextlib
import dataclasses
import http.server
import re
import threading


@dataclasses.dataclass
class File:
    """What lies at a path, and how each request for it is met.

    Attributes:
        content: Its bytes.
        etag: Its entity tag, or None.
        changed: When it was changed, for Last-Modified, or None.
        ranges: Whether requests for a part get that part.
        faults: What goes wrong with the next requests, the first of them first; then nothing does.
    """

    content: bytes
    etag: str | None = '"one"'
    changed: str | None = None
    ranges: bool = True
    faults: list["Fault"] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Fault:
    """What goes wrong with one request.

    Attributes:
        status: A status in place of the file.
        headers: Headers added or, with None, left out.
        body_bytes: The connection is closed after so many bytes of the body.
        shift: A part begins so many bytes later than was asked for, and says so.
        chunked: The body comes in chunks, without its length.
        stall: Called after `body_bytes`, before the connection is closed.
        trust: The part is sent whatever the condition of the request says.
    """

    status: int | None = None
    headers: dict[str, str | None] = dataclasses.field(default_factory=dict)
    body_bytes: int | None = None
    shift: int = 0
    chunked: bool = False
    stall: object = None
    trust: bool = False


class Server:
    """The files by their paths, and the requests there were: path, Range, If-Range."""

    def __init__(self, base_url: str):
        self.base_url = base_url
        self.files: dict[str, File] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []

    @property
    def ranges(self) -> list[str | None]:
        """What parts were asked for."""
        return [part for _, part, _ in self.requests]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        served, asked = self.server.served, self.headers
        served.requests.append((self.path, asked["Range"], asked["If-Range"]))
        self.close_connection = True
        file = served.files.get(self.path)
        if file is None:
            self.send_error(404)
            return
        fault = file.faults.pop(0) if file.faults else Fault()
        status, headers, body = self._answer(file, fault, asked)
        if fault.status is not None:
            status, body = fault.status, b"an error page"
        headers |= {"Content-Length": str(len(body)), "Connection": "close"}
        if fault.chunked:
            headers |= {"Content-Length": None, "Transfer-Encoding": "chunked"}
        headers |= fault.headers
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        sent = body if fault.body_bytes is None else body[: fault.body_bytes]
        if fault.chunked:
            middle = len(sent) // 2
            for piece in (sent[:middle], sent[middle:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if fault.body_bytes is None:
                self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(sent)
        self.wfile.flush()
        if fault.stall:
            fault.stall()

    @staticmethod
    def _answer(file, fault, asked):
        headers = {"ETag": file.etag, "Last-Modified": file.changed}
        part = re.fullmatch(r"bytes=(\d+)-", asked["Range"] or "")
        condition = asked["If-Range"]
        current = condition in (None, file.etag, file.changed)
        if not (part and file.ranges and (current or fault.trust)):
            return 200, headers, file.content
        start, size = int(part[1]), len(file.content)
        if start >= size:
            return 416, headers | {"Content-Range": f"bytes */{size}"}, b""
        start += fault.shift
        headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        return 206, headers, file.content[start:]


@contextlib.contextmanager
def serving():
    """Give a running server without files."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.served = Server(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.served
        finally:
            server.shutdown()
            thread.join()
