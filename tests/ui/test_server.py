"""The page as a server in public: health, figures, headers, its log, and how it stops."""

import gc
import json
import re
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from types import SimpleNamespace

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from camviz.errors import CamvizError
from camviz.examples import example
from tests.support.server import APP, LOG, ROOT, started

SECRET = "My holiday in Kyoto"  # in the name of every file that is given
HEADERS = ("x-content-type-options", "referrer-policy", "permissions-policy")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(URL, folder) of a server with figures and a log in JSON."""
    folder = tmp_path_factory.mktemp("server")
    env = {"CAMVIZ_LOG": "json", "CAMVIZ_LOG_LEVEL": "info", "CAMVIZ_METRICS": "1"}
    with started(APP, folder, **env) as (url, _):
        yield url, folder


@pytest.fixture(scope="module")
def url(server):
    return server[0]


@pytest.fixture(scope="module")
def client(url, tmp_path_factory):
    made = Client(url, verbose=False, download_files=tmp_path_factory.mktemp("got"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def ram(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / f"{SECRET}.png"
    Image.open(example("a-ram").path).convert("RGB").save(path)
    return path


def figures(url):
    """Each figure of /metrics by its name with labels."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def upload(url, name, content):
    """The address at which an uploaded file is given out."""
    answer = httpx.post(f"{url}/gradio_api/upload", files={"files": (name, content)})
    return f"{url}/gradio_api/file={answer.json()[0]}", answer


def lines(folder):
    """What was logged, line by line."""
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines() if line[:1] == "{"]


# -- Health and figures --------------------------------------------------------------------------


def test_health_is_ok_and_cheap(url):
    httpx.get(f"{url}/health")
    before = time.monotonic()
    answer = httpx.get(f"{url}/health")
    assert time.monotonic() - before < 1
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


def test_figures_follow_what_is_done(url, client, ram):
    done = 'camviz_requests_total{kind="api",name="explain",outcome="%s"}'
    held = 'camviz_cache_lookups_total{cache="traces",result="%s"}'
    before = figures(url)
    for _ in range(2):
        client.predict(handle_file(ram), backbone="scenes-resnet", api_name="/explain")
    with pytest.raises(Exception, match="sphinx"):
        client.predict(
            handle_file(ram), backbone="scenes-resnet", target="sphinx", api_name="/explain"
        )
    after = figures(url)

    def grown(name):
        return after[name] - before.get(name, 0)

    assert (grown(done % "done"), grown(done % "refused")) == (2, 1)
    assert grown('camviz_request_seconds_count{kind="api",name="explain"}') == 3
    assert grown(held % "miss") == 1 and grown(held % "hit") >= 1
    assert after["process_resident_memory_bytes"] > 1e8
    assert after['camviz_queue_events{state="waiting"}'] == 0
    assert after["camviz_upload_bytes"] >= ram.stat().st_size
    assert grown('camviz_http_responses_total{door="upload",status="200"}') >= 1


def test_health_and_figures_name_nobody(url, client, ram):
    client.predict(handle_file(ram), backbone="scenes-resnet", api_name="/explain")
    shown = httpx.get(f"{url}/metrics").text + httpx.get(f"{url}/health").text
    assert not re.search(rf"{SECRET}|\bram\b|{re.escape(str(ROOT))}|/tmp|\.png", shown)


def test_figures_are_closed_on_a_public_server(monkeypatch):
    from camviz.ui.server import application

    for public, open_ in (("0", True), ("1", False)):
        monkeypatch.setenv("CAMVIZ_PUBLIC", public)
        assert any(route.path == "/metrics" for route in application()["routes"]) is open_


# -- Headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "/config", 200),
        ("GET", "/theme.css", 200),
        ("GET", "/static/js/iframeResizer.contentWindow.min.js", 200),
        ("GET", "/gradio_api/info", 200),
        ("GET", "/health", 200),
        ("GET", "/metrics", 200),
        ("GET", "/there/is/nothing", 404),
        ("GET", "/gradio_api/file=/etc/passwd", 403),
        ("GET", "/gradio_api/queue/join", 405),
        ("POST", "/gradio_api/queue/join", 422),
        ("POST", "/gradio_api/upload", 400),
    ],
)
def test_every_response_has_the_headers(url, method, path, status):
    answer = httpx.request(method, url + path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert all(name in answer.headers for name in HEADERS)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors" in policy
    assert "script-src 'unsafe-inline'" not in policy and "*" not in policy.split("frame-anc")[0]


def test_the_policy_has_the_hash_of_each_script_of_the_page(url):
    from camviz.ui.hosting.policy import script_hashes

    answer = httpx.get(url)
    hashes = script_hashes(answer.content)
    assert len(hashes) >= 4
    policy = answer.headers["content-security-policy"]
    assert all(each in policy for each in hashes)
    assert not any(each in policy for each in script_hashes(b"<script>alert(1)</script>"))


@pytest.mark.parametrize(
    "name, content",
    [
        ("page.html", b"<script>alert(1)</script>"),
        ("page.xhtml", b"<html xmlns='http://www.w3.org/1999/xhtml'><script>1</script></html>"),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"),
        ("script.js", b"alert(1)"),
        ("picture.png", b"<html><script>alert(1)</script></html>"),
        ("nothing", b"<html><script>alert(1)</script></html>"),
    ],
)
@pytest.mark.parametrize("part", [{}, {"Range": "bytes=0-5"}])
def test_an_upload_is_never_a_page(url, name, content, part):
    address, _ = upload(url, name, content)
    answer = httpx.get(address, headers=part)
    assert answer.status_code in (200, 206)
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in ("application/octet-stream", "image/png")
    if kind != "image/png":
        assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; sandbox")


@pytest.mark.parametrize(
    "path",
    ["/monitoring", "/monitoring/summary", "/gradio_api/vibe-code/", "/gradio_api/dev/reload",
     "/gradio_api/file=https://example.org/a.png", "/gradio_api/file=HTTP://127.0.0.1/",
     "/gradio_api/proxy=https://example.org/", "/gradio_api/deep_link", "/openapi.json", "/docs",
     "/gradio_api/runs", "/login"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_the_page_does_not_need_is_closed(url, method, path):
    assert httpx.request(method, url + path).status_code == 404


@pytest.mark.parametrize(
    "variables, ancestors, framed",
    [
        ({}, "'self' http://localhost:* http://127.0.0.1:*", True),
        ({"CAMVIZ_PUBLIC": "1"}, "'self'", False),
        ({"CAMVIZ_PUBLIC": "1", "CAMVIZ_EMBED": "https://a.org"}, "'self' https://a.org", True),
        ({"SPACE_ID": "me/camviz"}, "'self' https://huggingface.co", True),
    ],
)
def test_who_may_show_the_page_in_a_frame(monkeypatch, variables, ancestors, framed):
    from starlette.responses import HTMLResponse
    from starlette.testclient import TestClient

    from camviz.ui.server.headers import SafetyHeaders

    for name in ("CAMVIZ_PUBLIC", "CAMVIZ_EMBED", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = TestClient(SafetyHeaders(HTMLResponse("<p>page</p>"))).get("/")
    assert answer.text == "<p>page</p>"
    assert answer.headers["content-security-policy"].endswith(f"frame-ancestors {ancestors}")
    assert ("x-frame-options" in answer.headers) is not framed


# -- Log -----------------------------------------------------------------------------------------


def test_a_line_says_what_was_done_and_nothing_of_whom(server, client, ram):
    _, folder = server
    before = len(lines(folder))
    client.predict(handle_file(ram), backbone="scenes-vit", api_name="/explain")
    (line,) = lines(folder)[before:]
    assert {"kind": "api", "name": "explain", "outcome": "done"}.items() <= line.items()
    assert line["seconds"] > 0 and line["cached"] is False
    text = (folder / LOG).read_text()
    assert SECRET not in text and str(folder) not in text and "ram" not in text


# -- Stop ----------------------------------------------------------------------------------------


def test_a_stop_lets_requests_end_and_refuses_new_ones(tmp_path, ram):
    result = {}

    def explain(client):
        result["found"] = client.predict(
            handle_file(ram), backbone="scenes-vit", method="score_cam", views="flip",
            api_name="/explain",
        )  # fmt: skip

    env = {"CAMVIZ_STOP_SECONDS": "60", "CAMVIZ_LOG_LEVEL": "info"}
    with started(APP, tmp_path, **env) as (url, process):
        client = Client(url, verbose=False, download_files=tmp_path / "got")
        asking = threading.Thread(target=explain, args=[client])
        asking.start()
        while not figures(url)['camviz_queue_events{state="running"}']:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        while (answer := httpx.get(f"{url}/health")).status_code == 200:
            time.sleep(0.02)
        assert (answer.status_code, answer.json()) == (503, {"status": "stopping"})
        refused = httpx.post(f"{url}/gradio_api/call/models", json={"data": ["", 1]})
        assert refused.status_code == 503 and "restarted" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) > 0
        page = httpx.get(url, headers={"Accept": "text/html"})
        assert page.status_code == 503 and "This page opens by itself" in page.text
        assert "result" not in result and asking.is_alive()
        asking.join(60)
        assert process.wait(20) == 0
    assert not [path for path in tmp_path.rglob(f"*{SECRET}*") if "got" not in path.parts]
    assert result["found"][0]["target"]["label"]
    assert "message=stopped" in (tmp_path / LOG).read_text()


def test_what_is_made_at_the_start_is_left_out_of_garbage_collection(monkeypatch):
    def end(*_):
        frozen.append(gc.get_freeze_count())
        raise CamvizError("that will do")

    module = import_module("camviz.ui.server.serve")
    monkeypatch.setattr(module, "configure_logs", end)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    frozen = [gc.get_freeze_count()]
    page = SimpleNamespace(launch=lambda **_: frozen.append(gc.get_freeze_count()))
    try:
        assert module.serve(lambda: page, lambda _: {}) == 2
    finally:
        gc.unfreeze()
    before, launched, after = frozen
    assert before == launched < after - 10_000


@pytest.mark.long
def test_a_stop_has_a_limit(tmp_path):
    with started(APP, tmp_path, CAMVIZ_STOP_SECONDS="0.3") as (url, process):
        endless = threading.Thread(target=open_upload, args=[url], daemon=True)
        endless.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def open_upload(url):
    """An upload whose end does not come."""

    def content():
        while True:
            yield b"."
            time.sleep(0.05)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        httpx.post(f"{url}/gradio_api/upload", content=content(), headers=headers, timeout=30)
    except httpx.HTTPError:
        return


# -- Variables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("CAMVIZ_THREADS", "two", "CAMVIZ_THREADS is a whole number from 1, not 'two'"),
        ("GRADIO_SERVER_PORT", "here", "GRADIO_SERVER_PORT is a whole number from 1 to 65535"),
    ],
)
@pytest.mark.parametrize("command", [APP, [sys.executable, "-m", "camviz", "serve"]])
def test_a_variable_that_cannot_be_read_ends_in_a_sentence(command, name, value, sentence):
    import os

    env = {**os.environ, name: value}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and not run.stdout
    assert run.stderr.startswith(f"camviz: {sentence}") and run.stderr.count("\n") == 1
