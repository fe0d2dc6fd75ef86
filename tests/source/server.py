"""A package server on 127.0.0.1 that can be told to go wrong, and counts what it is asked.

`server.files[name] = bytes` is served at /files/<name>; `server.pages[project]` is a list of
rows for /simple/<project>/. `server.faults` maps a path to a list of faults; each request for
the path takes the first one away, unless it is marked to stay.
"""

import base64
import gzip
import hashlib
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

from waiting import PATIENCE

JSON_TYPE = "application/vnd.pypi.simple.v1+json"


class Fault:
    """What goes wrong with one answer. `stays`: with all of them.

    `until`, a threading.Event, is waited for before the answer, or once `upto` bytes of it were sent;
    `among`: that many are answered at once.
    """

    def __init__(self, stays=False, **how):
        self.stays, self.how = stays, how


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def plain_path(self):
        return self.path.split("?")[0]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        s = self.server
        path = self.plain_path()
        with s.lock:
            s.requests.append((self.command, path, dict(self.headers)))
            s.running += 1
            s.most_running = max(s.most_running, s.running)
            faults = s.faults.get(path, [])
            fault = faults[0].how if faults else {}
            if faults and not faults[0].stays:
                faults.pop(0)
        try:
            self.answer(path, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with s.lock:
                s.running -= 1

    def wait_for_others(self, count):
        """Until that many have been asked for at the same time at least once."""
        end = time.monotonic() + PATIENCE
        while self.server.most_running < count and time.monotonic() < end:
            time.sleep(0.01)

    def answer(self, path, fault):
        time.sleep(fault.get("delay", 0))
        self.wait_for_others(fault.get("among", 0))
        if "until" in fault and "upto" not in fault:
            fault["until"].wait(PATIENCE)
        if "raw" in fault:
            self.wfile.write(fault["raw"])
            self.close_connection = True
            return
        if "redirect" in fault:
            return self.reply(302, b"", {"Location": fault["redirect"]})
        if "status" in fault:
            return self.reply(fault["status"], b"something went wrong\n" * 3, fault.get("headers", {}))
        if not self.is_allowed(path):
            return self.reply(401, b"who are you?", {"WWW-Authenticate": 'Basic realm="files"'})
        found = self.find(path)
        if found is None:
            return self.reply(404, b"no such thing", {})
        body, headers = found
        self.body(path, body, headers, fault)

    def is_allowed(self, path):
        wanted = next((w for prefix, w in self.server.logins.items() if path.startswith(prefix)), None)
        given = self.headers.get("Authorization", "")
        return wanted is None or given == "Basic " + base64.b64encode(wanted.encode()).decode()

    def find(self, path):
        s = self.server
        path = urllib.parse.unquote(re.sub("^http://[^/]*", "", path))  # a proxy is asked for all of a URL
        if path.startswith("/files/"):
            body = s.files.get(path.removeprefix("/files/"))
            headers = {"Content-Type": "application/octet-stream", "Cache-Control": "max-age=365000000, immutable, public"}
            if body is not None and s.validators:
                headers["ETag"] = '"%s"' % hashlib.md5(body).hexdigest()
            return None if body is None else (body, headers)
        match = re.fullmatch(r"/(\w+)/([^/]+)/", path)
        rows = s.pages.get(match.groups()) if match else None
        if rows is None:
            return None
        return s.page(match[2], rows, self.headers.get("Accept", ""))

    def reply(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def part(self, body, headers, fault):
        """(status, bytes) of what the request's Range and If-Range ask for."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        tag = self.headers.get("If-Range")
        if not match or fault.get("no_ranges") or (tag and tag != headers.get("ETag")):
            return 200, body
        start = int(match[1]) + fault.get("shift", 0)
        if int(match[1]) >= len(body):
            headers["Content-Range"] = f"bytes */{len(body)}"
            return 416, b""
        end = min(int(match[2] or len(body)), len(body) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
        return 206, body[start : end + 1]

    def body(self, path, body, headers, fault):
        s = self.server
        if "body" in fault:
            body = fault["body"]
        if "tag" in fault:
            headers["ETag"] = fault["tag"]
        if "gzip" in self.headers.get("Accept-Encoding", "") and s.gzips and not path.startswith("/files/"):
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        status, body = self.part(body, headers, fault)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if fault.get("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
        elif not fault.get("no_length"):
            self.send_header("Content-Length", str(fault.get("length", len(body))))
        else:
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        if "cut" in fault:
            body = body[: fault["cut"]]
            self.close_connection = True
        piece = fault.get("piece", 1 << 16)
        for at in range(0, len(body), piece):
            data = body[at : at + piece]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if fault.get("chunked") else data)
            self.wfile.flush()
            time.sleep(fault.get("pause", 0))
            if at + piece == fault.get("upto"):
                fault["until"].wait(PATIENCE)
        if fault.get("chunked") and "cut" not in fault:
            self.wfile.write(b"0\r\n\r\n")
        if "hang" in fault:
            time.sleep(fault["hang"])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.files, self.pages, self.faults, self.logins = {}, {}, {}, {}
        self.requests, self.running, self.most_running = [], 0, 0
        self.validators, self.gzips, self.json = True, False, True
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    @property
    def port(self):
        return self.server_address[1]

    @property
    def host(self):
        return f"http://127.0.0.1:{self.port}"

    def index(self, name="simple"):
        return f"{self.host}/{name}"

    def url(self, name, hash=True):
        fragment = "#sha256=" + hashlib.sha256(self.files[name]).hexdigest() if hash else ""
        return f"{self.host}/files/{name}{fragment}"

    def add(self, wheel, index="simple", **row):
        """Serves the wheel, and lists it; `row` overrides what the index says of it."""
        data = wheel.bytes()
        self.files[wheel.file_name] = data
        self.list(wheel.file_name, wheel.name.lower().replace("_", "-"), index, **row)
        return self.url(wheel.file_name)

    def list(self, name, project, index="simple", **row):
        data = self.files[name]
        full = {
            "filename": name, "url": f"/files/{name}", "size": len(data),
            "hashes": {"sha256": hashlib.sha256(data).hexdigest()}, **row,
        }
        self.pages.setdefault((index, project), []).append(full)

    def page(self, project, rows, accept):
        if self.json and JSON_TYPE in accept:
            page = {"meta": {"api-version": "1.1"}, "name": project, "files": rows}
            return json.dumps(page).encode(), {"Content-Type": JSON_TYPE}
        return self.html(project, rows).encode(), {"Content-Type": "text/html; charset=utf-8"}

    def html(self, project, rows):
        def escape(text):
            return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")

        def link(row):
            hashes = "".join(f"#{k}={v}" for k, v in row["hashes"].items())
            more = ""
            if row.get("requires-python"):
                more += f' data-requires-python="{escape(row["requires-python"])}"'
            if row.get("yanked"):
                more += f' data-yanked="{escape(str(row["yanked"]))}"'
            return f'<a href="{escape(row["url"])}{hashes}"{more}>{row["filename"]}</a><br/>\n'

        links = "".join(map(link, rows))
        return f"<!DOCTYPE html>\n<html><head><title>Links for {project}</title></head><body>\n{links}</body></html>\n"

    def fail(self, path, *faults):
        self.faults.setdefault(path, []).extend(faults)

    def asked(self, prefix="/"):
        with self.lock:
            return [(method, path) for method, path, _ in self.requests if path.startswith(prefix)]

    def heads(self, prefix="/"):
        with self.lock:
            return [headers for _, path, headers in self.requests if path.startswith(prefix)]

    def stop(self):
        self.shutdown()
        self.server_close()


held = []


def unused_port():
    """Nobody listens there, and nobody else gets it."""
    held.append(socket.socket())
    held[-1].bind(("127.0.0.1", 0))
    return held[-1].getsockname()[1]
