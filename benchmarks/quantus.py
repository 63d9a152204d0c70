"""Three figures of faithfulness, by camviz and by Quantus, on the same maps of drawn scenes.

    pip install quantus
    OMP_NUM_THREADS=1 python -m benchmarks.quantus [scenes-resnet] [--scenes 10]

Deletion is held against Quantus's PixelFlipping, ROAD's curve against its ROAD and the imputation
in it, complexity against its Complexity. Where the definitions differ, both are printed: as they
are, and with what differs undone, which then has to agree. docs/evidence.md says what differs.
"""

import argparse
import warnings
from typing import Any

import numpy as np
import torch

from camviz import Backbone, Engine, draw_scenes
from camviz.maps.faithfulness import ROAD_SHARES, complexity, deletion, ranks
from camviz.maps.imputation import impute

SEED = 41
STEPS_ALIKE = 32  # divides the pixels of the bundled networks' inputs
NEAR = 0.02  # of a probability, that two solutions of one system of equations may differ in


def peer() -> Any:
    try:
        import quantus
    except ImportError:
        raise SystemExit("Quantus is not installed: pip install quantus") from None
    return quantus


class Case:
    """A scene, its map on the network's input, and how the network scores pictures."""

    def __init__(self, engine: Engine, backbone: Backbone, scene: Any) -> None:
        x = engine.explain(scene.image, backbone, target=scene.objects[0].label)
        found = engine.faithfulness(x, metrics=["complexity"], beside=())
        self.model, self.target = backbone.model, x.target
        self.heat = torch.from_numpy(found.heats["fused"])
        self.image, _ = backbone.prepare(x.picture)

    def score(self, pictures: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.model(pictures).softmax(dim=1)

    @property
    def batches(self) -> dict[str, Any]:
        """What a metric of Quantus is called with."""
        return {
            "model": self.model,
            "x_batch": self.image.numpy(),
            "y_batch": np.array([self.target]),
            "a_batch": self.heat.numpy()[None, None],
            "softmax": True,
            "channel_first": True,
        }


def flipping(quantus: Any, case: Case) -> tuple[float, float, float, float]:
    """Deletion's area; Quantus's as it is; its curve made ours; the largest difference of both."""
    ours = deletion(case.heat, case.image, case.score, case.target, steps=STEPS_ALIKE)
    pixels = case.heat.numel()
    # Quantus takes out values, not pixels, and its steps must divide their number by channels: a
    # third of one of our steps each time.
    options = {"disable_warnings": True, "normalise": False}
    options["features_in_step"] = pixels // STEPS_ALIKE
    raw = np.array(quantus.PixelFlipping(**options)(**case.batches)[0])
    # As its calculate_auc does, which calls a function that numpy 2 has no more.
    as_it_is = float((raw[1:] + raw[:-1]).sum() / 2)
    # The values of a pixel one after the other, in the order of our pixels, and 0 in their place.
    order = -(3 * ranks(case.heat)[None] + torch.arange(3)[:, None, None]).float()
    alike = {**case.batches, "a_batch": order[None].numpy()}
    curve = np.array(quantus.PixelFlipping(perturb_baseline=0.0, **options)(**alike)[0])
    scores = np.concatenate([ours.scores[:1], curve[2::3]])
    area = float((scores[1:] + scores[:-1]).sum() / 2 / STEPS_ALIKE)
    return ours.area, as_it_is, area, float(abs(scores - ours.scores).max())


def imputation(quantus: Any, case: Case) -> tuple[float, float]:
    """The largest difference of a filled-in pixel, and of the score, over ROAD's shares."""
    from quantus.functions.perturb_func import noisy_linear_imputation

    rank = ranks(case.heat)
    pixel, score = 0.0, 0.0
    for share in ROAD_SHARES:
        missing = rank < round(share * rank.numel())
        ours = impute(case.image, missing[None], noise=0)
        indices = np.flatnonzero(missing.numpy())
        theirs = noisy_linear_imputation(case.image[0].numpy(), indices, noise=0.0)
        filled = torch.from_numpy(theirs).float()[None]
        pixel = max(pixel, float((ours - filled).abs().max()))
        both = case.score(torch.cat([ours, filled]))[:, case.target]
        score = max(score, float((both[0] - both[1]).abs()))
    return pixel, score


def road(quantus: Any, case: Case) -> str:
    """What Quantus's ROAD itself gives for a picture of three channels."""
    metric = quantus.ROAD(percentages=[20, 40, 60, 80], disable_warnings=True)
    try:
        return str(metric(**case.batches))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def entropy(quantus: Any, case: Case) -> tuple[float, float, float]:
    """Complexity; Quantus's, which is another quantity; and that quantity by its definition."""
    options = {"disable_warnings": True, "normalise": False}
    theirs = quantus.Complexity(**options)(**case.batches)[0]
    shares = case.heat.double().flatten() / case.heat.double().sum()
    shares = shares[shares > 0]
    return complexity(case.heat), float(theirs), float(-(shares * shares.log()).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=["scenes-resnet"])
    parser.add_argument("--scenes", type=int, default=10)
    given = parser.parse_args()
    quantus = peer()
    warnings.simplefilter("ignore")
    drawn = [s for s in draw_scenes(4 * given.scenes, seed=SEED) if len(s.objects) == 1]
    for name in given.networks:
        engine = Engine("cpu")
        cases = [Case(engine, engine.backbone(name), scene) for scene in drawn[: given.scenes]]
        flips = np.array([flipping(quantus, case) for case in cases])
        fills = np.array([imputation(quantus, case) for case in cases])
        sums = np.array([entropy(quantus, case) for case in cases])
        print(f"{name}, {len(cases)} scenes")
        print(f"  deletion               camviz {flips[:, 0].mean():.4f}")
        print(f"    PixelFlipping as it is      {flips[:, 1].mean():.4f}")
        print(f"    of the same definition      {flips[:, 2].mean():.4f}", end="")
        print(f"  (a score differs by at most {flips[:, 3].max():.1e})")
        print(f"  imputation: a pixel differs by at most {fills[:, 0].max():.4f}, ", end="")
        print(f"a score by at most {fills[:, 1].max():.4f}")
        print(f"    ROAD itself: {road(quantus, cases[0])}")
        print(f"  complexity             camviz {sums[:, 0].mean():.4f}")
        print(f"    Quantus's, an entropy       {sums[:, 1].mean():.4f}", end="")
        print(f"  (by its definition {sums[:, 2].mean():.4f})")
        assert flips[:, 3].max() < NEAR and fills[:, 1].max() < NEAR
        assert np.allclose(sums[:, 1], sums[:, 2], rtol=1e-3)


if __name__ == "__main__":
    main()
