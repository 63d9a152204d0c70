"""Claims: verdicts by hand, refinement by hand, and answers of a network."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from camviz import open_picture
from camviz.benchmark.claims import (
    CLAIMS,
    Answer,
    Claim,
    Difference,
    Subject,
    answer_claims,
    claims_markdown,
    claims_table,
    sentence,
)
from camviz.defaults import FUSED, REFINED
from camviz.errors import MethodError, PrototypeError, StageError
from camviz.maps.faithfulness import deletion, insertion
from camviz.network.taps import frozen_eval
from camviz.resources import ASSETS
from camviz.scenes import draw_scene


@pytest.mark.parametrize(
    ("interval", "loss", "verdict"),
    [
        ((0.2, 0.1, 0.3), False, "yes"),
        ((0.2, -0.1, 0.5), False, "not shown"),
        ((-0.2, -0.3, -0.1), False, "no"),
        ((-0.1, -0.3, 0.1), True, "yes"),
        ((-0.2, -0.3, -0.1), True, "no"),
    ],
)
def test_verdicts(interval, loss, verdict):
    assert Difference("AP", interval, loss).verdict == verdict


def answer(backbone, *intervals, reason=""):
    claim = CLAIMS[0]
    return Answer(claim, backbone, tuple(Difference("AP", i, False) for i in intervals), 9, reason)


def test_a_claim_holds_if_all_of_it_does():
    good, open_, bad = (0.2, 0.1, 0.3), (0.1, -0.1, 0.3), (-0.2, -0.3, -0.1)
    assert answer("a", good, good).verdict == "yes"
    assert answer("a", good, open_).verdict == "not shown"
    assert answer("a", good, open_, bad).verdict == "no"
    answers = [answer("a", good), answer("b", good), answer("c", bad), answer("d", reason="none")]
    text = "Yes for a and b. **No** for c. Cannot be asked of d."
    assert sentence(answers) == text
    table = claims_markdown(answers)
    assert text in table and "| c | AP | −.200 (−.300 to −.100) | worse |" in table
    assert "| a | AP | +.200 (+.100 to +.300) | better |" in table
    held = json.loads(json.dumps(claims_table(answers)))["claims"][0]
    assert held["sentence"] == text.replace("*", "")
    assert held["answers"][2]["differences"][0]["high"] == -0.1


def test_answers_are_means_of_differences_on_single_pictures(engine):
    network = engine.backbone("scenes-resnet")
    seen = []

    def compare(subject):
        x = subject.explain(method="cam")
        assert subject.truth.any() and x.label == subject.label
        seen.append(float(subject.truth.mean()))
        return {"size": seen[-1]}

    def refuse(subject):
        raise MethodError("no such map")

    claims = [Claim("s", "Size?", ("size",), (), compare), Claim("r", "R?", ("x",), (), refuse)]
    steps = []
    answers = answer_claims(engine, [network], 3, 5, lambda *step: steps.append(step), claims)
    assert len(seen) == 3 and [step[:2] for step in steps] == [(1, 3), (2, 3), (3, 3)]
    size, refused = answers
    assert size.differences[0].interval[0] == pytest.approx(np.mean(seen))
    assert size.pictures == 3 and size.verdict == "yes"
    assert refused.verdict == "cannot be asked" and refused.reason == "no such map"


def test_the_four_claims_can_be_asked(engine):
    answers = answer_claims(engine, [engine.backbone("scenes-resnet")], 2, 3)
    assert [each.claim.key for each in answers] == [
        "fused",
        "truncation",
        "prototypes",
        "refinement",
    ]
    for each in answers:
        figures = [difference.figure for difference in each.differences]
        assert figures == [*each.claim.gains, *each.claim.losses]
        assert all(np.isfinite(difference.interval).all() for difference in each.differences)


def test_refinement_is_asked_by_insertion_and_deletion_as_the_page_measures_them(engine):
    """The differences of one scene, by the functions of maps and the network alone."""
    network = engine.backbone("scenes-resnet")
    scene = draw_scene(4, 1, two_objects=0)
    (thing,) = scene.objects
    (claim,) = [each for each in CLAIMS if each.key == "refinement"]
    subject = Subject(engine, network, scene.image, thing.mask, thing.label)
    found = claim.compare(subject)
    x = subject.explain(method="layer_cam")
    image, _ = network.prepare(open_picture(scene.image))

    def score(images):
        with frozen_eval(network.model, gradients=False), torch.no_grad():
            return network.model(images).softmax(dim=1)

    areas = {}
    for name, heat in ((FUSED, x.fused), (REFINED, x.refined)):
        shown = cv2.resize(heat, (image.shape[3], image.shape[2]))
        given = (torch.from_numpy(shown), image, score, x.target)
        areas[name] = (insertion(*given).area, deletion(*given).area)
    assert found["insertion"] == pytest.approx(areas[REFINED][0] - areas[FUSED][0], abs=5e-3)
    assert found["deletion"] == pytest.approx(areas[FUSED][1] - areas[REFINED][1], abs=5e-3)


@pytest.mark.parametrize("error", [MethodError, PrototypeError, StageError])
def test_what_one_network_cannot_answer_leaves_the_others(engine, error):
    def refuse(subject):
        raise error("there are no prototypes of it")

    claims = (replace(CLAIMS[0], key="asked", compare=refuse), CLAIMS[0])
    refused, answered = answer_claims(engine, [engine.backbone("scenes-resnet")], 2, claims=claims)
    assert refused.reason == "there are no prototypes of it" and refused.differences == ()
    assert answered.differences


def test_without_a_shallow_stage_there_is_nothing_to_truncate(engine):
    (claim,) = [each for each in CLAIMS if each.key == "truncation"]
    scene = draw_scene(4, 1, two_objects=0)
    (thing,) = scene.objects
    backbone = replace(
        engine.backbone("scenes-resnet"),
        discovery=replace(engine.backbone("scenes-resnet").discovery, defaults=("layer4",)),
    )
    subject = Subject(engine, backbone, scene.image, thing.mask, thing.label)
    with pytest.raises(MethodError, match="no stage but the deepest"):
        claim.compare(subject)


def test_what_ships_is_what_the_documents_say():
    table = json.loads((ASSETS / "claims.json").read_text())
    text = (Path(__file__).parents[2] / "docs" / "figures.md").read_text()
    assert [each["key"] for each in table["claims"]] == [claim.key for claim in CLAIMS]
    for each, claim in zip(table["claims"], CLAIMS, strict=True):
        section = text.split(f"### {claim.question}\n")[1].split("\n#")[0]
        assert each["sentence"] in section.replace("**", "")
        for answer in each["answers"]:
            assert answer["pictures"] == table["pictures"] or answer["reason"]
            for found in answer["differences"]:
                interval = (found["gain"], found["low"], found["high"])
                loss = found["figure"] in claim.losses
                assert Difference(found["figure"], interval, loss).verdict == found["verdict"]
                assert f"| {answer['backbone']} | {found['figure']} | " in section
