"""Traces without their graph, of bounded size, and in another process."""

import multiprocessing
import sys
import threading
import warnings

import pytest
import torch

from camviz.network.head import head_weights
from camviz.network.target import Target
from camviz.network.trace import Trace, trace
from tests.support.traces import evidence_at, image_for, taps_of


def test_a_dropped_graph_keeps_what_was_made(tiny):
    backbone = tiny("test_resnet")
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    kept = traced.gradients(Target(3))
    assert traced.has_graph
    large = traced.nbytes
    traced.drop_graph()
    assert not traced.has_graph and 0 < traced.nbytes < large
    assert traced.gradients(Target(3)) is kept
    assert not traced.has(Target(4))
    with pytest.raises(LookupError, match=r"the graph is gone; .* class 4"):
        traced.gradients(Target(4))
    with pytest.raises(LookupError):
        traced.gradients(Target(3, "probability"))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_bytes_are_counted(tiny, name):
    """All that autograd saves and all that is held besides, each storage once; no weights."""
    backbone = tiny(name)
    own = {t.untyped_storage().data_ptr() for t in backbone.model.state_dict().values()}
    storages, kept = {}, []

    def saved(tensor):
        kept.append(tensor)
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    taps = taps_of(backbone)
    with torch.autograd.graph.saved_tensors_hooks(saved, lambda tensor: tensor):
        held = trace(backbone, image_for(backbone), taps)
    for tensor in (*held.activations.values(), held.logits, held.features):
        if tensor is not None:
            saved(tensor)
    expected = sum(size for address, size in storages.items() if address not in own)
    traced = trace(backbone, image_for(backbone), taps)
    assert traced.nbytes == pytest.approx(expected, rel=0.02)
    before = traced.nbytes
    gradients = traced.gradients(Target(1))
    made = {g.untyped_storage().data_ptr(): g.untyped_storage().nbytes()
            for g in gradients.values()}  # fmt: skip
    assert traced.nbytes == before + sum(made.values())


def test_bytes_can_be_counted_while_another_thread_differentiates(tiny):
    """The engine counts all traces whenever it keeps one; others are being worked with."""
    backbone = tiny("test_resnet")
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    errors, over = [], threading.Event()

    def count():
        try:
            while not over.is_set():
                assert traced.nbytes > 0
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread = threading.Thread(target=count)
        thread.start()
        for index in range(40):
            traced.gradients(Target(index % 20))
        over.set()
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


def test_shrinking_forgets_the_class_used_longest_ago_and_the_graph_last(tiny):
    backbone = tiny("test_resnet")
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    empty = traced.nbytes
    for index in (0, 1, 2, 0):  # 0 was used again
        traced.gradients(Target(index))
    size = (traced.nbytes - empty) // 3
    traced.shrink(traced.nbytes, Target(0))
    assert all(traced.has(Target(index)) for index in (0, 1, 2)), "it was small enough"
    traced.shrink(empty + 2 * size, Target(2))
    assert [traced.has(Target(index)) for index in (0, 1, 2)] == [True, False, True]
    traced.shrink(empty + size, Target(2))
    assert [traced.has(Target(index)) for index in (0, 1, 2)] == [False, False, True]
    assert traced.has_graph and traced.nbytes <= empty + size
    traced.gradients(Target(0, versus=1))
    traced.shrink(0, Target(0, versus=1))  # what is being looked at stays
    assert traced.has(Target(0, versus=1)) and not traced.has(Target(2)) and not traced.has_graph


def test_what_follows_from_a_trace_is_made_once(tiny):
    backbone = tiny("test_resnet")
    traced = trace(backbone, image_for(backbone), taps_of(backbone))
    made = []
    for _ in range(2):
        assert traced.memoize(("x", 1), lambda: made.append(1) or "thing") == "thing"
    assert traced.memoize(("x", 2), lambda: "other") == "other" and made == [1]


def _trace_and_send(backbone, image, taps, targets, pipe):
    traced = trace(backbone, image, taps)
    for target in targets:
        traced.gradients(target)
    pipe.send(traced.to_arrays())
    pipe.close()


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
def test_a_trace_survives_the_way_from_a_forked_process(tiny, name):
    backbone = tiny(name)
    image, taps = image_for(backbone), taps_of(backbone)
    targets = [Target(2), Target(2, "probability"), Target(2, versus=9)]
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    worker = context.Process(target=_trace_and_send, args=(backbone, image, taps, targets, theirs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: other threads are alive
        worker.start()
    theirs.close()
    assert ours.poll(60)
    sent = Trace.from_arrays(ours.recv())
    worker.join()
    assert worker.exitcode == 0
    here = trace(backbone, image, taps)
    assert not sent.has_graph and sent.taps == here.taps
    assert torch.equal(sent.logits, here.logits)
    assert torch.equal(sent.features, here.features)
    for target in targets:
        for tap in taps:
            key = tap.address
            assert torch.equal(sent.activations[key], here.activations[key])
            assert torch.equal(sent.gradients(target)[key], here.gradients(target)[key])
            theirs, ours = evidence_at(sent, target, tap), evidence_at(here, target, tap)
            assert theirs.zero_gradient == ours.zero_gradient
            assert theirs.positive_share == pytest.approx(ours.positive_share)
    if name == "test_efficientnet":
        weights = head_weights(backbone, sent, 2).weights
        assert torch.equal(weights, head_weights(backbone, here, 2).weights)
    with pytest.raises(LookupError):
        sent.gradients(Target(3))
