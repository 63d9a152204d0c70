"""Weights from the hub: the cache, the probe, downloads, and what is offered without any.

No test may reach for the network: the probe of the hub is replaced, or finds it offline.
"""

import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file

from camviz import load_backbone, wrap_backbone
from camviz.errors import WeightsError
from camviz.network import hub
from camviz.network import weights as weights_module
from camviz.network.hub import hub_reachable

import timm  # isort: skip  after vision_ops
from tests.support.networks import untrained, weights_of

ROOT = Path(__file__).resolve().parents[2]
IN_TIME = 3.5  # seconds in which being offline must be noticed


def test_weights_in_the_hubs_cache_need_no_hub(monkeypatch, tmp_path, offline):
    file = tmp_path / "model.safetensors"
    model = untrained()
    save_file(weights_of(model), file)
    requests = []

    def find_cached(repository, name):
        requests.append((repository, name))
        return str(file) if name == file.name else None

    monkeypatch.setattr(hub, "try_to_load_from_cache", find_cached)
    backbone = load_backbone("test_resnet", device="cpu")
    assert backbone.weights.source == "cached"
    assert backbone.weights.origin == "timm/test_resnet.r160_in1k" == requests[0][0]
    assert backbone.digest == wrap_backbone(model, device="cpu").digest
    assert backbone.labels[0] == "tench"


def test_offline_is_noticed_at_once_where_it_is_announced(offline):
    start = time.monotonic()
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_resnet", device="cpu")
    assert time.monotonic() - start < IN_TIME
    for words in ("test_resnet", "not on this machine", "cannot be reached", "local-dir:PATH",
                  "checkpoint", "'random'", "untrained"):  # fmt: skip
        assert words in str(caught.value)


def test_a_hub_that_does_not_answer_is_given_up_in_seconds(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    over = threading.Event()
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *a, **k: over.wait(60))
    try:
        start = time.monotonic()
        with pytest.raises(WeightsError, match="cannot be reached"):
            load_backbone("test_resnet", device="cpu")
        assert time.monotonic() - start < IN_TIME
        monkeypatch.setattr(hub, "HUB_TIMEOUT", 0.05)
        with pytest.raises(WeightsError, match="cannot be reached"):
            load_backbone("hf-hub:timm/test_resnet.r160_in1k", device="cpu")
    finally:
        over.set()


@pytest.mark.parametrize("weights", ["random", "file"])
def test_a_hub_name_needs_the_hub_whatever_its_weights(monkeypatch, tmp_path, weights):
    """The architecture of an hf-hub: name is on the hub as well."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    over = threading.Event()
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *a, **k: over.wait(60))
    monkeypatch.setattr(hub, "HUB_TIMEOUT", 0.05)

    def too_late(*arguments, **options):
        raise AssertionError("timm itself would request it from the hub, with its retries")

    file = tmp_path / "w.safetensors"
    save_file(weights_of(untrained()), file)
    monkeypatch.setattr(weights_module.timm, "create_model", too_late)
    try:
        with pytest.raises(WeightsError, match="cannot be reached"):
            load_backbone("hf-hub:timm/nothing", "random" if weights == "random" else file)
    finally:
        over.set()


def test_a_process_that_found_no_hub_can_end():
    """A name server may take half a minute; nobody waits for it once the answer is given."""
    script = (
        "import time, camviz.network.hub as b\n"
        "b.get_hf_file_metadata = lambda *a, **k: time.sleep(120)\n"
        "b.HUB_TIMEOUT = 0.05\n"
        "start = time.monotonic()\n"
        "assert not b.hub_reachable()\n"
        "print(time.monotonic() - start, flush=True)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert float(process.stdout.readline()) < IN_TIME
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_hub_is_probed_once_and_briefly(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    requests = []

    def probe(response):
        def request(url, timeout):
            requests.append((url, timeout))
            if isinstance(response, Exception):
                raise response
            return response

        monkeypatch.setattr(hub, "get_hf_file_metadata", request)
        return hub_reachable("timm/x")

    assert probe("some metadata")
    assert probe(EntryNotFoundError("no such file, but the hub answers"))
    assert not probe(OSError("no route to host"))
    assert not probe(RuntimeError("client has been closed"))
    assert len(requests) == 4
    assert all("timm/x" in url and timeout <= 3 for url, timeout in requests)
    for value in ("1", "ON", "yes", "True"):
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert not probe("some metadata")
    assert len(requests) == 4, "offline by choice: no request"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert probe("some metadata")


def test_a_download_that_breaks_off_says_what_would_do(monkeypatch):
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setattr(hub, "hub_reachable", lambda *names: True)

    def break_off(repository, name):
        raise ConnectionError("connection reset by peer")

    monkeypatch.setattr(hub, "hf_hub_download", break_off)
    with pytest.raises(WeightsError, match=r"failed: connection reset by peer.*local-dir:PATH"):
        load_backbone("test_resnet", device="cpu")

    def find_nothing(repository, name):
        raise EntryNotFoundError("404")

    monkeypatch.setattr(hub, "hf_hub_download", find_nothing)
    with pytest.raises(WeightsError, match=r"holds none of model\.safetensors"):
        load_backbone("test_resnet", device="cpu")


def test_a_download_is_marked_as_such(monkeypatch, tmp_path):
    file = tmp_path / "model.safetensors"
    save_file(weights_of(untrained()), file)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *names: None)
    monkeypatch.setattr(hub, "hub_reachable", lambda *names: True)
    monkeypatch.setattr(hub, "hf_hub_download", lambda repository, name: str(file))
    backbone = load_backbone("test_resnet", device="cpu")
    assert backbone.weights.source == "hub" and backbone.weights.license == "apache-2.0"


def test_architectures_without_weights_say_so(offline):
    tagged = {name.split(".")[0] for name in timm.list_models(pretrained=True)}
    name = next(name for name in timm.list_models() if name not in tagged)
    with pytest.raises(WeightsError, match=rf"no weights for {name}.*'random'"):
        load_backbone(name)


def test_what_would_do_stands_apart_from_what_was_wrong(offline, monkeypatch, no_packages):
    monkeypatch.setattr(hub, "bundled_names", lambda: ("five", "six"))
    with pytest.raises(WeightsError) as caught:
        load_backbone("test_resnet", device="cpu")
    error = caught.value
    assert error.message == (
        "the weights of test_resnet are not on this machine and the model hub cannot be reached"
    )
    assert error.remedies[0] == "Ready without a network: five, six."
    assert error.remedies[1].startswith("Or give a checkpoint file")
    assert str(error) == f"{error.message}. {' '.join(error.remedies)}"
    again = pickle.loads(pickle.dumps(error))  # as it crosses a process border
    assert (str(again), again.message, again.remedies) == (
        str(error), error.message, error.remedies
    )  # fmt: skip
    monkeypatch.setattr(hub, "bundled_names", lambda: ())
    assert [text[:4] for text in hub.remedies()] == ["Give"]
    assert str(WeightsError("no such file")) == "no such file"
