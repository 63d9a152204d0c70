"""Publishing to a stand-in for the hub."""

import json
import re
import socket
from dataclasses import replace

import huggingface_hub
import pytest

from camviz.errors import SpaceError
from camviz.space import files, publish
from tests.support.hub import TOKEN


def publish_to(hub, space, *given, **named):
    named.setdefault("token", TOKEN)
    return publish.publish(space, "me/camviz", *given, endpoint=hub.endpoint, **named)


def test_publish_makes_the_space(small, hub):
    steps = []
    assert publish_to(hub, small, report=steps.append) == f"{hub.endpoint}/spaces/me/camviz"
    made = hub.spaces["me/camviz"]
    assert made.hardware == "zero-a10g" and not made.private
    assert made.variables == {"CAMVIZ_THREADS": "1", "FORWARDED_ALLOW_IPS": "*"}
    assert set(made.files) == {".gitattributes", *files.bundle(small)}
    for name, content in files.bundle(small).items():
        expected = content if isinstance(content, bytes) else content.read_bytes()
        assert made.files[name] == expected
    assert made.commits == 1
    assert hub.calls[0] == ("POST", "repos/create")
    sent = json.loads(hub.bodies[0])
    assert (sent["type"], sent["sdk"], sent["hardware"]) == ("space", "gradio", "zero-a10g")
    assert steps and TOKEN not in " ".join(steps)


def test_publish_again_sends_nothing(small, hub):
    publish_to(hub, small)
    hub.calls.clear()
    publish_to(hub, small)
    assert hub.spaces["me/camviz"].commits == 1
    ends = [path.rpartition("/")[2] for _, path in hub.calls]
    assert "hardware" not in ends and ("POST", "spaces/me/camviz/variables") not in hub.calls


def test_publish_brings_up_to_date(small, hub):
    publish_to(hub, small)
    made = hub.spaces["me/camviz"]
    made.files["camviz/forgotten.py"] = b"old"
    made.variables["OWN"] = "kept"
    publish_to(hub, small, "cpu", private=True)
    assert made.hardware == "cpu-basic" and made.private
    assert made.variables == {"CAMVIZ_THREADS": "2", "FORWARDED_ALLOW_IPS": "*", "OWN": "kept"}
    assert "camviz/forgotten.py" not in made.files and ".gitattributes" in made.files
    assert b"torch==2.11.0+cpu" in made.files["requirements.txt"]
    assert b"suggested_hardware: cpu-basic" in made.files["README.md"]
    publish_to(hub, small, "cpu")
    assert made.private, "leaving --private out opens nothing"


def test_a_private_space_is_made_private(small, hub):
    publish_to(hub, small, private=True)
    assert hub.spaces["me/camviz"].private
    assert ("PUT", "spaces/me/camviz/settings") not in hub.calls


def test_somebody_elses_space_is_left_alone(small, hub):
    publish_to(hub, small)
    made = hub.spaces["me/camviz"]
    made.files = {".gitattributes": b"", "README.md": b"", "main.py": b"precious"}
    with pytest.raises(SpaceError, match="was not published from a Spacefile"):
        publish_to(hub, small)
    assert made.files["main.py"] == b"precious" and made.commits == 1


REFUSED = [
    ("POST", "repos/create", 401, "does not accept this token (401)"),
    ("POST", "repos/create", 402, "a free account may have two ZeroGPU Spaces"),
    ("POST", "repos/create", 403, "may not write to me (403)"),
    ("POST", "repos/create", 429, "asked too often (429)"),
    ("POST", "repos/create", 500, "the hub answered 500"),
    ("GET", "spaces/me/camviz", 404, "finds no me/camviz (404)"),
    ("POST", "commit/main", 401, "(401)"),
    ("POST", "commit/main", 403, "may not write to me (403)"),
    ("POST", "commit/main", 409, "being changed by somebody else at this moment (409)"),
    ("POST", "commit/main", 429, "asked too often (429)"),
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("verb", "path", "status", "sentence"), REFUSED)
def test_refusals_are_said_in_clear_words(small, hub, capfd, verb, path, status, sentence):
    hub.refuse[(verb, path)] = status
    with pytest.raises(SpaceError, match=re.escape(sentence)) as caught:
        publish_to(hub, small, report=print)
    assert TOKEN not in str(caught.value) + "".join(capfd.readouterr())
    assert "\n" not in str(caught.value)
    hub.refuse.clear()
    publish_to(hub, small)  # nothing is in the way of the second attempt
    assert set(hub.spaces["me/camviz"].files) == {".gitattributes", *files.bundle(small)}


def test_payment_is_explained_by_hardware(small, hub):
    hub.refuse[("POST", "repos/create")] = 402
    with pytest.raises(SpaceError, match="cpu-basic needs a PRO account"):
        publish_to(hub, small, "cpu")
    cpu = replace(small.profile("cpu"), hardware="t4-small")
    paid = replace(small, profiles={**small.profiles, "cpu": cpu})
    with pytest.raises(SpaceError, match="t4-small needs a way of payment"):
        publish_to(hub, paid, "cpu")


@pytest.mark.parametrize("status", [402, 403])
def test_who_may_not_create_may_still_update(small, hub, status):
    publish_to(hub, small)
    hub.refuse[("POST", "repos/create")] = status
    hub.spaces["me/camviz"].files["app.py"] = b"old"
    publish_to(hub, small)
    assert hub.spaces["me/camviz"].commits == 2


def test_how_long_to_wait_is_said(small, hub):
    hub.refuse[("GET", "spaces/me/camviz")] = 429
    hub.headers["retry-after"] = "90"
    with pytest.raises(SpaceError, match="in 90 seconds"):
        publish_to(hub, small)


def test_a_wrong_token(small, hub, capfd):
    wrong = "hf_" + "wrong" * 6
    with pytest.raises(SpaceError, match=r"\(401\)") as caught:
        publish_to(hub, small, token=wrong)
    assert wrong not in str(caught.value) + "".join(capfd.readouterr())


def test_no_network(small):
    with socket.socket() as taken:  # bound and not listening: refused at once
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SpaceError, match="cannot be reached"):
            publish.publish(small, "me/camviz", token=TOKEN, endpoint=nowhere)


def test_nobody_is_logged_in(small, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(SpaceError, match="nobody is logged in"):
        publish.publish(small, "me/camviz")


@pytest.mark.parametrize(
    "name", ["camviz", "a/b/c", "https://huggingface.co/a/b", "a/ b", "me/c--d"]
)
def test_names_that_are_none(small, hub, name):
    with pytest.raises(SpaceError, match=r"called OWNER/NAME|cannot be the name"):
        publish.publish(small, name, token=TOKEN, endpoint=hub.endpoint)
    assert hub.spaces == {}


def test_nothing_out_of_order_is_published(hub, small):
    (small.root / "README.md").write_text("# stale\n")
    with pytest.raises(SpaceError, match="not published: the head of README"):
        publish_to(hub, small)
    assert hub.calls == []
