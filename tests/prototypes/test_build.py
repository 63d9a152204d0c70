"""camviz.prototypes.build: the paper's equations, slowly and literally; splitting and scoring.

The slow twin follows the paper (https://arxiv.org/abs/2303.10334), section 3.1, not its public
code: positions at exactly tau are foreground, context has an upper bound only, nothing is divided
by an empty maximum.
"""

import math

import pytest
import torch

from camviz.errors import PrototypeError
from camviz.fit import Fit
from camviz.maps.fusion import Placement, normalize
from camviz.methods.activation import cam, cosine_maps, lp_cam
from camviz.prototypes.build import (
    BuildSettings,
    FeatureSet,
    augmented_views,
    collect_features,
    filter_by_score,
    find_prototypes,
)
from camviz.prototypes.clustering import cluster
from camviz.prototypes.prototype import MEMBERS
from tests.support.prototypes import CELLS, planted
from tests.support.tensors import close, noise

# --- the paper, word by word ---


def cosine(a, b):
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    size = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(y * y for y in b))
    return dot / size if size else 0.0


def slow_split(features, weights, tau):
    """Equations 1 and 2: (foreground vectors, context vectors) of many pictures, (C, H, W) each."""
    inside, outside = [], []
    for picture in features:
        channels, height, width = picture.shape
        places = [(i, j) for i in range(height) for j in range(width)]
        vector = {p: [float(picture[k][p]) for k in range(channels)] for p in places}
        raw = {p: math.fsum(w * v for w, v in zip(weights, vector[p], strict=True)) for p in places}
        positive = {p: max(raw[p], 0.0) for p in places}
        peak = max(positive.values())
        for p in places:
            (inside if positive[p] / peak >= tau else outside).append(vector[p])
    return inside, outside


def slow_lloyd(vectors, centres):
    """K-means by cosine from given starts, until nothing moves; raw-scale means."""
    member = None
    for _ in range(100):
        now = [max(range(len(centres)), key=lambda k: cosine(v, centres[k])) for v in vectors]
        if now == member:
            break
        member = now
        units = [[x / math.sqrt(math.fsum(y * y for y in v)) for x in v] for v in vectors]
        centres = [mean([u for u, m in zip(units, member, strict=True) if m == k])
                   for k in range(len(centres))]  # fmt: skip
    return [mean([v for v, m in zip(vectors, member, strict=True) if m == k])
            for k in range(len(centres))]  # fmt: skip


def mean(rows):
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def slow_scores(centres, head, bias, target):
    """Equation 3, with the head's bias: softmax_j(F_i . w_j + b_j) at the class."""
    scores = []
    for centre in centres:
        logits = [
            math.fsum(x * w for x, w in zip(centre, row, strict=True)) + b
            for row, b in zip(head, bias, strict=True)
        ]
        top = max(logits)
        powers = [math.exp(value - top) for value in logits]
        scores.append(powers[target] / math.fsum(powers))
    return scores


def slow_map(picture, foreground, context):
    """Equations 5 and 6 at every place of one picture, (C, H, W)."""
    _, height, width = picture.shape
    heat = [[0.0] * width for _ in range(height)]
    for i in range(height):
        for j in range(width):
            f = [float(x) for x in picture[:, i, j]]
            fg = math.fsum(cosine(f, p) for p in foreground) / len(foreground)
            bg = math.fsum(cosine(f, p) for p in context) / len(context) if context else 0.0
            heat[i][j] = max(fg - bg, 0.0)
    peak = max(max(row) for row in heat)
    return torch.tensor([[value / peak for value in row] for row in heat])


def gallery(features, weights):
    """The features of pictures, split by their own CAM."""
    parts = []
    for index, picture in enumerate(features):
        heat = normalize(cam(picture[None], weights[None])[0])
        parts.append(collect_features(picture[None], CELLS, heat, CELLS, picture=index))
    return FeatureSet.together(parts)


@pytest.fixture
def scene():
    """Four pictures of 6 x 6 places: two kinds of foreground, two of context; and a head."""
    kinds, group = planted(4 * 36, width=8, groups=4, spread=0.02, seed=5)
    features = kinds.abs().reshape(4, 36, 8).transpose(1, 2).reshape(4, 8, 6, 6)
    directions = torch.stack([torch.nn.functional.normalize(kinds[group == g].abs(), dim=1).mean(0)
                              for g in range(4)])  # fmt: skip
    weights = directions[0] + 0.8 * directions[1] - directions[2] - 0.5 * directions[3]
    head = torch.stack([weights, noise((8,), 3), noise((8,), 4)])
    return features, 6 * head, torch.tensor([0.1, -0.2, 0.3])


@pytest.mark.parametrize("tau", [0.1, 0.4])
def test_equals_the_papers_equations_done_slowly(scene, tau):
    features, head, bias = scene
    collected = gallery(features, head[0])
    inside, outside = slow_split(features, head[0].tolist(), tau)
    assert inside and outside
    hot = collected.heat >= tau
    close(collected.vectors[hot], torch.tensor(inside))
    close(collected.vectors[~hot], torch.tensor(outside))

    def score_fn(centres):
        return (centres @ head.T + bias).softmax(dim=1)[:, 0]

    found = find_prototypes(
        collected, BuildSettings(clusters=3, tau=tau, mu_f=0.6, mu_b=0.9), score_fn=score_fn
    )
    centres = {}
    for kind, vectors in (("foreground", inside), ("context", outside)):
        rows = [i for i, p in enumerate(found.prototypes) if p.kind == kind]
        mine = found.vectors[rows]
        # Lloyd's algorithm is at rest there, and its centres are means of raw vectors.
        slow = torch.tensor(slow_lloyd(vectors, mine.tolist()))
        close(mine, slow)
        scores = slow_scores(slow.tolist(), head.tolist(), bias.tolist(), 0)
        close(torch.tensor([found.prototypes[i].score for i in rows]), torch.tensor(scores))
        bound = (lambda z: z > 0.6) if kind == "foreground" else (lambda z: z < 0.9)
        kept = [row for row, z in zip(slow.tolist(), scores, strict=True) if bound(z)]
        assert [found.prototypes[i].kept for i in rows] == [bound(z) for z in scores]
        assert sum(found.prototypes[i].size for i in rows) == len(vectors)
        close(found.kept(kind), torch.tensor(kept))
        centres[kind] = kept
    assert found.scoring == "head" and not found.relaxed and centres["foreground"]
    for picture in features:
        fast = lp_cam(picture[None], found.kept("foreground"), found.kept("context"))[0]
        close(normalize(fast), slow_map(picture, centres["foreground"], centres["context"]))


# --- T-LP: the promises ---


def test_one_cluster_is_the_mean_and_one_place_is_the_maximum():  # T-LP-3
    features = noise((1, 5, 4, 4), 1).relu() + 0.01
    heat = torch.zeros(4, 4)
    heat[2, 1] = 1
    found = find_prototypes(
        collect_features(features, CELLS, heat, CELLS), BuildSettings(clusters=1, tau=0.5, mu_b=0)
    )
    close(found.kept("foreground"), features[0, :, 2, 1][None])
    raw = lp_cam(features, found.kept("foreground"), found.vectors[:0])[0]
    close(raw[2, 1], torch.tensor(1.0))
    assert raw.max() == raw[2, 1]
    heat[0] = 1
    found = find_prototypes(
        collect_features(features, CELLS, heat, CELLS), BuildSettings(clusters=1, tau=0.5)
    )
    close(found.kept("foreground")[0], features[0, :, heat > 0].mean(dim=1))


def test_tau_zero_leaves_no_context():  # T-LP-6
    features = noise((1, 5, 6, 6), 2).relu() + 0.01
    heat = normalize(noise((6, 6), 3))
    found = find_prototypes(
        collect_features(features, CELLS, heat, CELLS), BuildSettings(clusters=4, tau=0.0)
    )
    assert {p.kind for p in found.prototypes} == {"foreground"}
    foreground, context = found.kept("foreground"), found.kept("context")
    assert context.shape == (0, 5)
    raw = lp_cam(features, foreground, context)
    close(raw, cosine_maps(features, foreground).mean(dim=1))


def test_strong_and_weak_parts_count_alike():  # T-LP-7, the paper's figure 3
    features = torch.zeros(1, 3, 6, 8)
    features[0, 0, :, :2], features[0, 1, :, 2:4], features[0, 2, :, 4:] = 10.0, 1.0, 3.0
    weights = torch.tensor([1.0, 1.0, -1.0])
    heat = normalize(cam(features, weights[None])[0])
    close(heat[0, 2], torch.tensor(0.1))
    found = find_prototypes(
        collect_features(features, CELLS, heat, CELLS), BuildSettings(clusters=2, tau=0.1)
    )
    assert sorted(p.size for p in found.prototypes) == [12, 12, 24]
    shown = normalize(lp_cam(features, found.kept("foreground"), found.kept("context"))[0])
    close(shown[:, :4], torch.ones(6, 4))
    assert not shown[:, 4:].any()


def test_same_seed_same_bits():  # T-LP-8
    vectors = noise((900, 24), 1).relu()
    first, second = cluster(vectors, 12, 7), cluster(vectors.clone(), 12, 7)
    assert torch.equal(first.centres, second.centres)
    assert torch.equal(first.member, second.member)
    assert not torch.equal(first.centres, cluster(vectors, 12, 8).centres)
    state = torch.random.get_rng_state()
    cluster(vectors, 3)
    assert torch.equal(state, torch.random.get_rng_state())


def test_few_vectors_and_bad_scores_give_no_nan():  # T-LP-9
    features = noise((1, 5, 2, 2), 2).relu()
    heat = torch.tensor([[1.0, 0.0], [0.2, 0.0]])
    collected = collect_features(features, CELLS, heat, CELLS)
    found = find_prototypes(
        collected,
        BuildSettings(clusters=12, tau=0.1),
        score_fn=lambda centres: torch.full((len(centres),), 0.01),
    )
    assert found.relaxed and sum(p.kind == "foreground" for p in found.prototypes) == 1
    raw = lp_cam(features, found.kept("foreground"), found.kept("context"))
    assert torch.isfinite(raw).all()
    everything = find_prototypes(collected, BuildSettings(tau=0.0))
    assert torch.isfinite(everything.vectors).all()
    with pytest.raises(PrototypeError, match="lower tau"):
        find_prototypes(collect_features(features, CELLS, 0 * heat, CELLS), BuildSettings(tau=0.1))
    blank = collect_features(torch.zeros_like(features), CELLS, heat, CELLS)
    with pytest.raises(PrototypeError, match="no place"):
        find_prototypes(blank, BuildSettings(tau=0.1))


def test_a_gallery_closed_under_mirroring_gives_mirrored_maps():  # T-LP-10
    """Planted: four directions, two of which speak for the class, wherever they lie."""
    kinds = torch.randint(4, (3, 5, 7), generator=torch.Generator().manual_seed(4))
    features = torch.eye(6)[kinds].movedim(3, 1) * (1 + noise((3, 1, 5, 7), 4).abs())
    weights = torch.tensor([1.0, 0.8, -1.0, -1.0, 0.0, 0.0])
    both = torch.cat([features, features.flip(3)])
    found, mirrored = (
        find_prototypes(gallery(some, weights), BuildSettings(clusters=2, tau=0.1))
        for some in (both, both.flip(3))
    )
    picture = noise((1, 6, 5, 7), 9).relu()

    def shown(picture, found):
        return lp_cam(picture, found.kept("foreground"), found.kept("context"))

    assert len(found.kept("foreground")) == len(found.kept("context")) == 2
    close(shown(picture.flip(3), mirrored), shown(picture, found).flip(2))


# --- splitting and filtering ---


def test_heat_is_read_where_the_cells_of_the_stage_look():
    features = noise((1, 2, 4, 4))
    heat = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    part = collect_features(
        features, Placement((4, 4)), heat, Placement((8, 8)), heat / 2, picture=3
    )
    corner = part.heat.view(4, 4)
    assert corner[0, 0] == 1 and corner[3, 3] == 0
    close(corner[0], torch.tensor([1.0, 0.75, 0.25, 0.0]))
    close(part.probability, part.heat / 2)
    assert part.cell[5].tolist() == [1, 1] and (part.picture == 3).all()
    assert torch.equal(part.vectors[5], features[0, :, 1, 1])


def test_places_at_exactly_tau_are_foreground():
    features = noise((1, 3, 1, 4)).relu() + 0.1
    heat = torch.tensor([[1.0, 0.5, 0.5, 0.4]])
    found = find_prototypes(collect_features(features, CELLS, heat, CELLS), BuildSettings(tau=0.5))
    assert [p.size for p in found.prototypes] == [3, 1]


def test_selection_and_its_fall_backs():
    assert filter_by_score([0.95, 0.9, 0.2], [0.0, 0.89, 0.9]) == (
        [True, False, False],
        [True, True, False],
        False,
    )
    assert filter_by_score([0.3, 0.7, 0.5], [0.95]) == ([False, True, False], [False], True)
    assert filter_by_score([None, None], [None]) == ([True, True], [True], False)
    assert filter_by_score([0.5], [], mu_f=0.4) == ([True], [], False)


def test_without_a_head_the_scores_inform_and_select_nothing():
    features = noise((1, 4, 4, 4)).relu()
    heat = normalize(noise((4, 4), 1))
    probability = torch.full((4, 4), 0.25)
    found = find_prototypes(
        collect_features(features, CELLS, heat, CELLS, probability), BuildSettings(tau=0.5)
    )
    assert found.scoring == "places" and all(p.kept for p in found.prototypes)
    assert all(p.score == pytest.approx(0.25) for p in found.prototypes)
    found = find_prototypes(collect_features(features, CELLS, heat, CELLS), BuildSettings(tau=0.5))
    assert found.scoring == "none" and all(p.score is None for p in found.prototypes)


def test_members_are_the_nearest_places_of_different_pictures_first():
    pictures = [noise((1, 6, 4, 4), seed).relu() for seed in range(3)]
    heat = torch.ones(4, 4)
    collected = FeatureSet.together(
        [collect_features(f, CELLS, heat, CELLS, picture=i) for i, f in enumerate(pictures)]
    )
    found = find_prototypes(
        collected, BuildSettings(clusters=1, tau=0.5), box=lambda i, cell: (i, *cell, 9)
    )
    (only,) = found.prototypes
    assert len(only.members) == MEMBERS
    assert sorted(m.picture for m in only.members[:3]) == [0, 1, 2]
    for member in only.members:
        vector = pictures[member.picture][0, :, member.cell[0], member.cell[1]]
        expected = torch.cosine_similarity(vector, found.vectors[0], dim=0)
        assert member.similarity == pytest.approx(float(expected), abs=1e-5)
        assert member.box == (member.picture, *member.cell, 9)
    best = max(float(cosine_maps(f, found.vectors).max()) for f in pictures)
    assert only.members[0].similarity == pytest.approx(best, abs=1e-5)


# --- the picture as its own gallery ---


def test_own_views_lead_back_to_the_picture():
    """Every cell of every view shows the colour that the picture has at the place it names."""
    width, height = 96, 60
    column = torch.arange(width) + 0.5
    row = torch.arange(height) + 0.5
    image = torch.stack(torch.meshgrid(row, column, indexing="ij"))[None]  # colour = place
    fit = Fit("stretch", (120, 288), (height, width), (0.0, 0.0, 288.0, 120.0))
    views = augmented_views(image, fit)
    assert [label for label, *_ in views] == [
        "as it is",
        "as it is, mirrored",
        "enlarged",
        "enlarged, mirrored",
    ]
    for _, view, place in views:
        x0, y0, x1, y1 = place.rect
        there_x = x0 + (torch.arange(width) + 0.5) / width * (x1 - x0)
        there_y = y0 + (torch.arange(height) + 0.5) / height * (y1 - y0)
        inner = slice(2, -2)
        close(view[0, 1, 5, inner] * 3, there_x[inner], 1e-3)
        close(view[0, 0, inner, 5] * 2, there_y[inner], 1e-3)
    assert torch.equal(views[0][1], image) and views[0][2] == fit
