"""What gets no further than the entrance: addresses that are too long, agents' calls by strangers,
and whatever would be run if it were unpickled.
"""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from camviz.examples import example
from camviz.ui.hosting.entrance import LONGEST, explain_failure, is_own_name, refuse
from tests.support.programs import call, fetch, upload

HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {
        "protocolVersion": "2025-03-26", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Origin": "OWN"}, 200),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://[x"}, 403),
        ({"Host": "elsewhere.example"}, 421),
        ({"Host": "elsewhere.example", "Origin": "http://elsewhere.example"}, 421),
    ],
)
def test_agents_are_served_and_pages_of_other_sites_are_not(address, headers, status):
    pytest.importorskip("mcp")
    headers = {name: address if text == "OWN" else text for name, text in headers.items()}
    headers["Accept"] = "application/json, text/event-stream"
    for path in ("mcp", "mcp/"):
        found, text = fetch(f"{address}/gradio_api/{path}", HELLO, headers)
        if found == 307:  # a redirect to the address with a stroke
            continue
        assert found == status, text


@pytest.mark.parametrize(
    ("host", "hosts", "public", "own"),
    [
        ("localhost:7860", "", False, True),
        ("127.0.0.1:7860", "", False, True),
        ("[::1]:7860", "", False, True),
        ("192.168.1.5", "", False, True),
        ("elsewhere.example", "", False, False),
        ("localhost.elsewhere.example", "", False, False),
        ("elsewhere.example", "", True, False),
        ("maps.example.org", "maps.example.org other.org", False, True),
        ("MAPS.example.org:443", "maps.example.org,other.org", True, True),
        ("elsewhere.example", "maps.example.org", True, False),
        ("", "", False, False),
        ("@/[", "", False, False),
        ("[x", "", False, False),
    ],
)
def test_the_names_of_a_server(monkeypatch, host, hosts, public, own):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("CAMVIZ_HOSTS", hosts)
    monkeypatch.setenv("CAMVIZ_PUBLIC", "1" if public else "0")
    assert is_own_name(host) is own


@pytest.mark.parametrize(
    ("hosts", "host", "origin", "status"),
    [
        ("", "elsewhere.example", None, None),  # a program, by whatever name it knows
        ("", "elsewhere.example", "http://elsewhere.example", 421),  # made to point here
        ("", "elsewhere.example", "http://other.example", 403),
        ("", "127.0.0.1", "http://127.0.0.1", None),
        ("maps.example.org", "maps.example.org", None, None),
        ("maps.example.org", "maps.example.org", "https://maps.example.org", None),
        ("maps.example.org", "elsewhere.example", None, 421),
        ("maps.example.org", "elsewhere.example", "http://elsewhere.example", 421),
    ],
)
def test_who_may_call_as_an_agent_on_a_public_server(monkeypatch, hosts, host, origin, status):
    monkeypatch.setenv("CAMVIZ_HOSTS", hosts)
    monkeypatch.setenv("CAMVIZ_PUBLIC", "1")
    given = {"host": host} | ({} if origin is None else {"origin": origin})
    headers = [(name.encode(), text.encode()) for name, text in given.items()]
    refused = refuse(scope("/gradio_api/mcp/") | {"headers": headers})
    assert (refused and refused.status_code) == status


def scope(path, query=b"", root=""):
    return {"type": "http", "path": path, "query_string": query, "root_path": root, "headers": []}


@pytest.mark.parametrize(
    ("path", "root", "status"), [("/", "", 303), ("/maps/", "/maps", 303), ("/config", "", 414)]
)
def test_an_address_that_is_too_long(path, root, status):
    assert refuse(scope(path, b"x" * (LONGEST - len(path)), root)) is None
    assert refuse(scope(path, b"x" * LONGEST, root)).status_code == status


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("call/v2/models", {"patern": "x"}, 422, "Parameter `patern` is not a valid"),
        ("call/v2/explain", {"target": "ram"}, 422, "required argument: image"),
        ("call/v2/models", {"x" * 9000: 1}, 422, "Parameter"),
    ],
)
def test_a_call_by_names_that_is_none(address, path, body, status, sentence):
    found, text = fetch(f"{address}/gradio_api/{path}", body)
    assert found == status and sentence in text and len(text) < 2000


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"no part at all"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data", b"--b--"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n',
        ),
        ("application/json", b"{}"),
    ],
)
def test_an_upload_that_is_none(address, kind, body):
    found, text = fetch(f"{address}/gradio_api/upload", body, {"Content-Type": kind})
    assert (found == 200 and text == "[]") or 400 <= found < 500, (found, text)


def test_what_the_server_itself_got_wrong_is_no_fault_of_the_sender():
    assert explain_failure("/gradio_api/call/v2/explain", ValueError("x")) is None
    assert explain_failure("/config", TypeError("x")) is None
    assert explain_failure("/gradio_api/queue/data", KeyError(7)) is None
    full = explain_failure("/gradio_api/upload", OSError(28, "No space left on device"))
    assert full.status_code == 507 and b"no room left" in full.body


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "it ran"))


def test_nothing_of_a_visitors_is_unpickled(address, tmp_path):
    mark, harm = tmp_path / "mark", Harmful(tmp_path / "mark")
    files = [tmp_path / name for name in ("a.npy", "a.png", "a.safetensors", "a.pt", "a.npz")]
    np.save(files[0], np.array([harm], dtype=object), allow_pickle=True)
    for file in files[1:3]:
        file.write_bytes(pickle.dumps(harm))
    torch.save({"x": harm}, files[3])
    np.savez(files[4], np.array([harm], dtype=object))
    ram = upload(address, example("a-ram").path)
    for file in [upload(address, file) for file in files]:
        rest = ["scenes-resnet", "ram", "", "lpcam", None, 0, "auto", "activation", "stretch"]
        rest += ["plain", 1, "threshold", "one", "affinity", 0, False]
        assert not call(address, "explain", [file, *rest, None, "screen"])[0]
        assert not call(address, "explain", [ram, *rest, file, "screen"])[0]
        assert not call(address, "prototypes", [[file], "ram", "scenes-resnet", 2, 0, False])[0]
    assert not mark.exists()
    np.load(files[0], allow_pickle=True)  # and it would have
    assert mark.exists()
