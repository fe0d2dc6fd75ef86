"""Small wheels that say which file they were, and an index of them on 127.0.0.1.

A real lock with its URLs and hashes turned to these lets uv and pip choose and install
what they would, without a real download.
"""

import base64
import functools
import hashlib
import http.server
import io
import re
import threading
import zipfile

@functools.cache
def wheel(file):
    """The bytes of a wheel of that name; its METADATA has the name as Summary."""
    name, version, *_, python, abi, platform = file[:-4].split("-")
    info = f"{name}-{version}.dist-info"
    members = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {file}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n" + "".join(
            f"Tag: {p}-{a}-{q}\n" for p in python.split(".") for a in abi.split(".") for q in platform.split(".")),
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for path, text in members.items()
    ]
    members[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for path, text in members.items():
            z.writestr(zipfile.ZipInfo(path), text)
    return out.getvalue()


def digest(file):
    return hashlib.sha256(wheel(file)).hexdigest()


class Index:
    def __init__(self):
        index = self
        self.requested = []
        self.files = {}  # of a project's page

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                index.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        kind, _, name = request.path.strip("/").partition("/")
        body, status = b"", 404
        if kind == "files":
            self.requested.append(name)
            body, status = wheel(name.replace("%2B", "+")), 200
        elif kind == "simple" and name in self.files:
            links = "".join(f'<a href="/files/{f}">{f}</a>\n' for f in sorted(self.files[name]))
            body, status = f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), 200
        request.send_response(status)
        request.send_header("Content-Type", "text/html" if kind == "simple" else "application/octet-stream")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def take_over(self, text):
        """The lock with all its wheels here; the index's own pages list them too."""
        def replaced(match):
            file = match.group(1).replace("%2B", "+")
            self.files.setdefault(re.sub(r"[-_.]+", "-", file.split("-")[0]).lower(), set()).add(file)
            return f'url = "{self.url}/files/{match.group(1)}"'

        out = []
        for line in text.split("\n"):
            for url in re.finditer(r'\{ [^{}]*url = "[^"]*\.whl"[^{}]*(\{[^{}]*\})?[^{}]*\}', line):
                old = url.group()
                new = re.sub(r'url = "[^"]*/([^/"]+\.whl)"', replaced, old)
                file = re.search(r"/files/([^\"]+)", new).group(1).replace("%2B", "+")
                new = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{digest(file)}", new)
                new = re.sub(r'sha256 = "[0-9a-f]{64}"', f'sha256 = "{digest(file)}"', new)
                new = re.sub(r"size = \d+", f"size = {len(wheel(file))}", new)
                line = line.replace(old, new)
            out.append(line)
        return "\n".join(out)
