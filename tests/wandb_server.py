"""A small server that speaks enough of W&B's protocol for online runs, resuming and ``wandb sync``.

It keeps in memory what clients send. Checked against the client of wandb 0.27 and 0.31.
"""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENTITY = "somebody"


class WandbServer:
    """Runs by id: ``config``, ``summary``, ``history`` (rows), ``tags``, ``group``, ``job_type``, ``state``.

    Attributes:
        runs: what each run has sent.
        artifacts: name, type and files of each committed artifact, in the order of their commits.
        uploads: content of each uploaded file by its path in the server's storage.
    """

    def __init__(self):
        self.runs, self.artifacts, self.uploads = {}, [], {}
        self._drafts = {}
        self._lock = threading.RLock()
        self._http = None

    def start(self, port=0):
        """Listen, at the former port after a stop; connections are refused until then."""
        handler = type("Handler", (_Handler,), {"server_of_tests": self, "protocol_version": "HTTP/1.1"})
        self._http = _Server(("127.0.0.1", port), handler)
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self):
        """Be gone: open connections are closed, new ones refused."""
        self._http.shutdown()
        self._http.server_close()
        self._http.drop_connections()

    def environment(self):
        """Variables of a client."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online", "WANDB_SILENT": "true"}

    # ------------------------------------------------------------ what clients ask

    def graphql(self, query, variables):
        name = re.search(r"(?:query|mutation)\s+(\w+)", query).group(1)
        with self._lock:
            return getattr(self, f"_{name}", lambda **_: {})(**variables)

    def _Viewer(self, **_):  # noqa: N802 - the client's own names, here and below
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        user = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "a@b.c", "flags": "{}", "teams": teams}
        return {"viewer": user}

    def _ServerFeaturesQuery(self, **_):  # noqa: N802
        return {"serverInfo": {"features": []}}

    def _run(self, id):
        empty = {"config": {}, "summary": {}, "history": [], "tags": [], "group": None, "job_type": None, "name": id}
        return self.runs.setdefault(id, {**empty, "state": "running", "files": {}, "starts": 0, "lines": {}})

    def _project(self, project):
        return {"id": "p", "name": project, "entity": {"id": "e", "name": ENTITY}}

    def _UpsertBucket(self, name=None, project=None, **sent):  # noqa: N802
        inserted = name not in self.runs
        run = self._run(name)
        run["starts"] += 1
        run["config"] |= json.loads(sent.get("config") or "{}")
        given = {"tags": sent.get("tags"), "group": sent.get("groupName"), "job_type": sent.get("jobType")}
        given |= {"name": sent.get("displayName"), "sweep": sent.get("sweep"), "project": project}
        run |= {key: value for key, value in given.items() if value}
        bucket = {"id": f"id-{name}", "name": name, "displayName": run["name"], "description": "", "sweepName": None}
        bucket |= {"config": json.dumps(run["config"]), "project": self._project(project)}
        bucket |= {"historyLineCount": run["lines"].get("wandb-history.jsonl", 0)}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _RunResumeStatus(self, project, name, **_):  # noqa: N802
        run, bucket = self.runs.get(name), None
        if run:
            lines = run["lines"]
            bucket = {"id": f"id-{name}", "name": name, "displayName": run["name"], "notes": None, "tags": run["tags"]}
            bucket |= {"summaryMetrics": json.dumps(run["summary"]), "config": json.dumps(run["config"])}
            bucket |= {"historyLineCount": lines.get("wandb-history.jsonl", 0), "logLineCount": 0}
            bucket |= {"eventsLineCount": lines.get("wandb-events.jsonl", 0), "eventsTail": "[]"}
            bucket |= {"historyTail": json.dumps([json.dumps(row) for row in run["history"][-1:]])}
            bucket |= {"wandbConfig": json.dumps({"t": 1})}
        return {"model": {**self._project(project), "bucket": bucket}}

    def _QueryRunInfo(self, run, **_):  # noqa: N802
        known = self.runs[run]
        return {"project": {"run": {"displayName": known["name"], "summaryMetrics": json.dumps(known["summary"])}}}

    def _RunState(self, run, **_):  # noqa: N802
        return {"project": {"run": {"id": f"id-{run}", "state": self._run(run)["state"]}}}

    def _ArtifactType(self, **_):  # noqa: N802
        return {"project": None}

    def _CreateRunFiles(self, run, files, **_):  # noqa: N802
        urls = [{"name": file, "uploadUrl": f"{self.url}/storage/runs/{run}/{file}"} for file in files]
        return {"createRunFiles": {"runID": f"id-{run}", "uploadHeaders": [], "files": urls}}

    def _CreateArtifact(self, input):  # noqa: N802
        id = f"artifact-{len(self._drafts)}"
        name, kind = input["artifactCollectionName"], input["artifactTypeName"]
        same = next((a for a in self.artifacts if (a["name"], a["digest"]) == (name, input["digest"])), None)
        if not same:
            self._drafts[id] = {"name": name, "type": kind, "digest": input["digest"], "id": id, "files": {}}
        sequence = {"id": f"of-{name}", "latestArtifact": None}
        id, state = (same["id"], "COMMITTED") if same else (id, "PENDING")
        return {"createArtifact": {"artifact": {"id": id, "state": state, "artifactSequence": sequence}}}

    def _CreateArtifactManifest(self, artifactID, **_):  # noqa: N802, N803
        file = {"id": "f", "uploadUrl": f"{self.url}/storage/manifest/{artifactID}", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": artifactID, "file": file}}}

    def _UpdateArtifactManifest(self, artifactManifestID, **_):  # noqa: N802, N803
        made = self._CreateArtifactManifest(artifactManifestID)["createArtifactManifest"]
        return {"updateArtifactManifest": made}

    def _CreateArtifactFiles(self, input):  # noqa: N802
        edges = []
        for spec in input["artifactFiles"]:
            path = f"artifacts/{spec['artifactID']}/{spec['name']}"
            self._drafts[spec["artifactID"]]["files"][spec["name"]] = path
            node = {"storagePath": path, "uploadUrl": f"{self.url}/storage/{path}", "uploadHeaders": []}
            edges.append({"node": {**node, "uploadMultipartUrls": None, "artifact": {"id": spec["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _CommitArtifact(self, artifactID):  # noqa: N802, N803
        draft = self._drafts[artifactID]
        self.artifacts.append(draft)
        return {"commitArtifact": {"artifact": {"id": artifactID, "digest": draft["digest"]}}}

    def file_stream(self, id, sent):
        """Lines of history and summary, by their number, so that a repeated request changes nothing."""
        with self._lock:
            run = self._run(id)
            for name, chunk in (sent.get("files") or {}).items():
                run["lines"][name] = max(run["lines"].get(name, 0), chunk["offset"] + len(chunk["content"]))
                if name == "wandb-history.jsonl":
                    rows = [json.loads(line) for line in chunk["content"]]
                    run["history"][chunk["offset"] : chunk["offset"] + len(rows)] = rows
                elif name == "wandb-summary.json":
                    run["summary"] = json.loads(chunk["content"][-1])
            if sent.get("complete"):
                run["state"] = "finished" if sent.get("exitcode") == 0 else "failed"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args):
        self._open = set()
        super().__init__(*args)

    def process_request(self, request, client_address):
        self._open.add(request)
        super().process_request(request, client_address)

    def drop_connections(self):
        for connection in self._open:
            self.shutdown_request(connection)

    def handle_error(self, request, client_address):
        """A connection that was dropped is no news."""


class _Handler(BaseHTTPRequestHandler):
    server_of_tests: WandbServer

    def do_POST(self):
        body = json.loads(self._body())
        if self.path.startswith("/graphql"):
            self._answer({"data": self.server_of_tests.graphql(body["query"], body.get("variables") or {})})
        elif self.path.endswith("/file_stream"):
            self.server_of_tests.file_stream(self.path.split("/")[-2], body)
            self._answer({})
        else:
            self._answer({})

    def do_PUT(self):
        self.server_of_tests.uploads[self.path.removeprefix("/storage/")] = self._body()
        self._answer({})

    def do_GET(self):
        self._answer({})

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, content):
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@contextmanager
def wandb_server():
    server = WandbServer().start()
    try:
        yield server
    finally:
        server.stop()
