"""A stand-in for the hub: what publishing a Space asks of its HTTP API, over loopback.

It keeps Spaces in memory, writes down every call, and can be told to refuse one.
"""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_" + "standin" * 5


def blob_id(data):
    """git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Space:
    def __init__(self, said):
        self.private = said.get("visibility") == "private" or bool(said.get("private"))
        self.hardware = said.get("hardware", "cpu-basic")
        self.variables = {row["key"]: row["value"] for row in said.get("variables", ())}
        self.files = {".gitattributes": b""}
        self.commits = 0

    def runtime(self):
        hardware = {"current": None, "requested": self.hardware}
        return {"stage": "BUILDING", "hardware": hardware, "gcTimeout": None}


class Hub:
    """`calls`: (method, path) in order. `refuse[(method, end of path)] = status` refuses a call."""

    def __init__(self):
        self.spaces = {}
        self.calls = []
        self.bodies = []
        self.refuse = {}
        self.headers = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request):
        length = int(request.headers.get("content-length") or 0)
        body = request.rfile.read(length)
        path = request.path.partition("?")[0]
        call = (request.command, path.removeprefix("/api/"))
        self.calls.append(call)
        self.bodies.append(body)
        status, said = 401, {"error": f"bad credentials: {request.headers.get('authorization')}"}
        if request.headers.get("authorization") == f"Bearer {TOKEN}":
            refused = [
                code
                for (verb, end), code in self.refuse.items()
                if verb == call[0] and path.endswith(end)
            ]
            if refused:
                status, said = refused[0], {"error": f"refused, {TOKEN} said"}
            else:
                status, said = self.reply(*call, body)
        data = json.dumps(said).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(data)))
        if status == 404:
            request.send_header("x-error-code", "RepoNotFound")
        for key, value in self.headers.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(data)

    def reply(self, verb, path, body):
        if path == "validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "repos/create":
            said = json.loads(body)
            name = f"{said['organization']}/{said['name']}"
            there = name in self.spaces
            self.spaces.setdefault(name, Space(said))
            return 409 if there else 200, {
                "url": f"{self.endpoint}/spaces/{name}",
                "error": "You already created this space repo",
            }
        kind, owner, name, *rest = path.split("/")
        space = self.spaces.get(f"{owner}/{name}") if kind == "spaces" else None
        if space is None:
            return 404, {"error": "Repository not found"}
        what = rest[0] if rest else "info"
        if what in ("preupload", "commit"):
            said = getattr(self, what)(space, body)
            return 200, {"commitUrl": f"{self.endpoint}/spaces/{owner}/{name}/commit/main"} | said
        if what == "tree":
            return 200, [
                {"type": "file", "path": file, "size": len(data), "oid": blob_id(data)}
                for file, data in space.files.items()
            ]
        if what == "variables":
            if verb == "POST":
                said = json.loads(body)
                space.variables[said["key"]] = said["value"]
            return 200, {key: {"value": value} for key, value in space.variables.items()}
        if what == "hardware":
            space.hardware = json.loads(body)["flavor"]
            return 200, space.runtime()
        if what == "settings":
            space.private = json.loads(body).get("visibility") == "private"
            return 200, {}
        assert what in ("info", "revision"), path
        return 200, {
            "id": f"{owner}/{name}",
            "sha": f"{space.commits:040x}",
            "private": space.private,
            "siblings": [{"rfilename": file} for file in space.files],
            "runtime": space.runtime(),
        }

    def preupload(self, space, body):
        files = [row["path"] for row in json.loads(body)["files"]]
        known = {file: blob_id(data) for file, data in space.files.items()}
        return {
            "files": [
                {"path": file, "uploadMode": "regular", "shouldIgnore": False}
                | ({"oid": known[file]} if file in known else {})
                for file in files
            ]
        }

    def commit(self, space, body):
        for line in body.decode().splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                assert row["value"]["encoding"] == "base64"
                space.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            elif row["key"] == "deletedFile":
                del space.files[row["value"]["path"]]
        space.commits += 1
        return {
            "success": True,
            "commitOid": f"{space.commits:040x}",
        }
