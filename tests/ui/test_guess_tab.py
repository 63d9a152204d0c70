"""The view Guess first without a browser: scores, rounds, links, and what is sent when."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from camviz.errors import RequestError
from camviz.examples import example
from camviz.maps.runs import write_mask
from camviz.ui import actions, links, service
from camviz.ui.compute import engine
from camviz.ui.learn import guessing, pairs, playing
from camviz.ui.learn.guessing import Puzzle, scored
from camviz.ui.state import GUESS, ROUND, BackboneChoice, Controls, Round, Selection
from camviz.ui.tabs import guess
from tests.ui.conftest import as_json

NETWORK = BackboneChoice("scenes-resnet")
PHOTOS = BackboneChoice("tf_efficientnet_lite0.in1k")
ROUND_OF_3 = Round("where", 7, 3)


@pytest.fixture
def scenes(fresh):
    return Controls(backbone=NETWORK)


@pytest.fixture
def play(session, scenes, shown):
    """play(): what the view shows of the session as it is."""
    session.controls = scenes

    def get():
        return shown(guess, session.controls, **session.settings.get(guess.ID, {}))

    return get


def press(session, value):
    playing.press(session, Selection(value))


def box(top, left, bottom, right, side=224):
    mask = np.zeros((side, side), bool)
    mask[top:bottom, left:right] = True
    return mask


def sent(page):
    """Everything of an update, as the text that goes to the browser."""
    values = {k: as_json(v) if v is not None else None for k, v in page.items()}
    return json.dumps(values, default=str)


# -- Scores ---------------------------------------------------------------------------------------


def slow_scores(heat, guess_, truth):
    """The figures by counting places one by one."""
    places = [(y, x) for y in range(heat.shape[0]) for x in range(heat.shape[1])]
    marked = {at for at in places if guess_[at]}
    ranked = sorted((at for at in places if heat[at] > 0), key=lambda at: (-heat[at], at))
    hot = set(ranked[: len(marked)])
    true = {at for at in places if truth[at]}
    share = len(marked) / len(places)
    return {
        "iou": len(marked & hot) / len(marked | hot),
        "hit": ranked[0] in marked,
        "truth_iou": len(marked & true) / len(marked | true),
        "map_iou": len(hot & true) / len(hot | true),
        "chance": share * share / (2 * share - share * share),
    }


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_counting_places(seed):
    rng = np.random.default_rng(seed)
    heat = rng.random((13, 17)).astype(np.float32) * (rng.random((13, 17)) > 0.4 * (seed % 3))
    marked, truth = np.zeros((2, 13, 17), bool)
    marked[2 : 5 + seed, 3:9] = True
    truth[4:9, 5:12] = True
    x = SimpleNamespace(fused=heat, label="ram", target=1, predictions=[(1, "ram", 0.5)])
    score = guessing.score_guess(Puzzle(None, {"ram": truth}, x), marked)
    for name, value in slow_scores(heat, marked, truth).items():
        assert getattr(score, name) == pytest.approx(value), name
    assert score.area == marked.mean() and score.points == round(100 * score.iou)


def test_an_empty_map_scores_nothing_and_marking_it_all_is_refused():
    x = SimpleNamespace(
        fused=np.zeros((8, 8), np.float32), label="ram", target=0, predictions=[(0, "ram", 1.0)]
    )
    score = guessing.score_guess(Puzzle(None, {}, x), box(0, 0, 2, 2, side=8))
    assert (score.iou, score.hit, score.truth_iou, score.map_iou) == (0, False, None, None)
    with pytest.raises(RequestError, match="30% is the most"):
        guessing.read_guess(write_mask(np.ones((8, 8), bool)), 8, 8)


@pytest.mark.parametrize("text", ["", "8x8.", "no mask", write_mask(np.zeros((8, 8), bool))])
def test_what_is_no_guess_is_refused_with_a_sentence(text):
    with pytest.raises(RequestError, match=r"guess|marked"):
        guessing.read_guess(text, 8, 8)


def test_where_the_class_is_not_in_the_picture_the_truth_is_what_is():
    masks = {"ram": box(0, 0, 2, 2, 8), "church": box(4, 4, 6, 6, 8)}
    x = SimpleNamespace(label="zebra")
    name, mask = guessing.thing_of(Puzzle(None, masks, x))
    assert name == "ram and church" and mask.sum() == 8


# -- A round --------------------------------------------------------------------------------------


def test_a_round_is_decided_by_its_seed_and_its_network(fresh):
    digests = {seed: [guessing.scene(seed, n)[0].digest for n in range(3)] for seed in (7, 8)}
    guessing.scene.cache_clear()
    assert digests[7] == [guessing.scene(7, n)[0].digest for n in range(3)]
    assert not set(digests[7]) & set(digests[8]) and len(set(digests[7])) == 3


def test_a_whole_round(session, play):
    assert "begin:where:10" in str(play()["heading"]) and play()["canvas"] is None
    press(session, "begin:where:3")
    played = session.get(GUESS, ROUND)
    assert (played.game, played.count) == ("where", 3)
    masks = [box(60, 60, 120 + 10 * n, 140) for n in range(3)]
    for number, mask in enumerate(masks):
        page = play()
        assert f"Picture {number + 1} of 3" in page["heading"] and not page["canvas"].done
        press(session, {"number": number, "guess": write_mask(mask)})
        page = play()
        score = scored(played, NETWORK, number, write_mask(mask))
        assert f"{score.points} point" in page["heading"] and page["canvas"].done
        kinds = [mark.kind for mark in page["canvas"].marks]
        assert kinds == ["guess", "map", "truth"]
        press(session, {"number": number, "next": True})
    page = play()
    scores = [scored(played, NETWORK, n, write_mask(mask)) for n, mask in enumerate(masks)]
    assert f"{sum(score.points for score in scores)} point" in page["heading"]
    for score in scores:
        assert f"<td>{score.iou:.2f}</td>" in page["below"]
    press(session, "same")
    assert session.get(GUESS, ROUND) == played and "Picture 1 of 3" in play()["heading"]
    press(session, "again")
    assert session.get(GUESS, ROUND).count == 3
    press(session, "leave")
    assert session.get(GUESS, ROUND) is None and "begin:where:3" in play()["heading"]


def test_nothing_of_the_map_is_sent_before_the_guess(session, play):
    session.set(GUESS, ROUND, ROUND_OF_3)
    before = play()
    x = guessing.puzzle_of(ROUND_OF_3, NETWORK, 0).explained
    assert before["canvas"].marks == () and as_json(before["maps"])["rows"] == ()
    assert set(before) == {"heading", "canvas", "maps", "below"} and before["below"] == ""
    press(session, {"number": 0, "guess": write_mask(box(60, 60, 120, 140))})
    after = play()
    (panel,) = as_json(after["maps"])["rows"][0]["panels"]
    assert panel["data"] not in sent(before) and panel["data"] in sent(after)
    x_texts = [f"{x.fused.max():.4f}", "highest point", "IoU"]
    assert not any(text in before["heading"] for text in x_texts)


def test_the_same_picture_has_the_same_text_whatever_its_map(session, play, monkeypatch):
    """What is sent before the guess depends on the picture and the prediction alone."""
    session.set(GUESS, ROUND, ROUND_OF_3)
    real = sent(play())
    explain = engine().explain

    def turned(*args, **options):
        x = explain(*args, **options)
        return replace(x, raw={name: raw[::-1, ::-1].copy() for name, raw in x.raw.items()})

    monkeypatch.setattr(type(engine()), "explain", lambda self, *a, **k: turned(*a, **k))
    assert sent(play()) == real


def test_a_guess_for_another_picture_comes_too_late(session, play):
    session.set(GUESS, ROUND, ROUND_OF_3)
    text = write_mask(box(60, 60, 120, 140))
    press(session, {"number": 1, "guess": text})
    assert not play()["canvas"].done
    press(session, {"number": 0, "next": True})
    assert "Picture 1 of 3" in play()["heading"]
    press(session, {"number": 0, "guess": text})
    press(session, {"number": 0, "guess": write_mask(box(0, 0, 20, 20))})  # a second press
    assert session.get(GUESS, playing.PLAY).answers == (text,)


def test_what_belongs_to_the_other_game_does_nothing(session, play):
    session.set(GUESS, ROUND, ROUND_OF_3)
    press(session, "left")
    assert not play()["canvas"].done
    session.set(GUESS, ROUND, WHICH)
    press(session, {"number": 0, "guess": write_mask(box(60, 60, 120, 140))})
    assert 'data-label="left"' in play()["heading"]


def test_another_network_begins_the_round_anew(session, play):
    session.set(GUESS, ROUND, ROUND_OF_3)
    press(session, {"number": 0, "guess": write_mask(box(60, 60, 120, 140))})
    session.controls = replace(session.controls, backbone=BackboneChoice("scenes-convnext"))
    assert not play()["canvas"].done and "Picture 1 of 3" in play()["heading"]


def test_the_visitors_own_picture(session, play):
    assert "own" not in str(play()["heading"]).replace("known", "").replace("drawn", "")
    session.controls = replace(session.controls, picture=str(example("a-ram").path))
    assert 'data-label="own"' in play()["heading"]
    press(session, "own")
    assert session.get(GUESS, ROUND) is None  # a picture of one's own stands in no link
    assert "Your picture" in play()["heading"]
    press(session, {"number": 0, "guess": write_mask(box(60, 60, 120, 140))})
    page = play()
    assert page["canvas"].done and page["canvas"].next == ""
    (panel,) = as_json(page["maps"])["rows"][0]["panels"]
    x = service.explain(session.controls)
    assert panel["peak"] == pytest.approx(float(x.grid("fused")[0].max()), rel=1e-6)


def test_photographs_where_the_network_knows_no_drawn_scenes(session, play):
    session.controls = replace(session.controls, backbone=PHOTOS)
    session.set(GUESS, ROUND, Round("where", 3, 10))
    assert f"Picture 1 of {len(guessing.photographs())}" in play()["heading"]
    press(session, {"number": 0, "guess": write_mask(box(60, 60, 120, 140))})
    assert "itself" not in play()["heading"]  # nobody knows where things are


@pytest.mark.parametrize(
    "value",
    ["begin:chess:3", "begin:where:0", "begin:where:x", {"number": "x"}, {"number": 0, "guess": 7}],
)
def test_what_no_button_sends_is_refused(session, play, value):
    session.set(GUESS, ROUND, ROUND_OF_3)
    with pytest.raises(RequestError):
        press(session, value)


# -- Links ----------------------------------------------------------------------------------------


def test_a_link_opens_the_same_round(session, scenes):
    text = links.write_round(ROUND_OF_3)
    assert text == {"game": "where", "seed": "7", "count": "3"}
    query = {"backbone": "scenes-resnet", "tab": "guess", **text}
    found, problems = links.read(query)
    assert found.round == ROUND_OF_3 and not problems
    actions.open_link(session, query, None)
    assert session.get(GUESS, ROUND) == ROUND_OF_3
    assert links.read({"seed": "12"})[0].round == Round("where", 12, 10)
    assert links.read({"count": "3"})[0].round is None


@pytest.mark.parametrize(
    ("key", "text"), [("seed", "-1"), ("seed", "x"), ("count", "0"), ("count", "99"), ("game", "x")]
)
def test_a_link_that_names_no_round_says_so(key, text):
    _, problems = links.read({key: text})
    assert len(problems) == 1 and problems[0].startswith(f"{key}={text}")


def test_the_round_stands_in_the_address(visit, controls):
    visit.open(controls)
    assert "seed" not in visit.link
    visit.session.set(GUESS, ROUND, ROUND_OF_3)
    assert visit.answer().link["seed"] == "7" and visit.link["count"] == "3"
    visit.session.set(GUESS, ROUND, None)
    assert "seed" not in visit.answer().link


# -- Which one made it? ---------------------------------------------------------------------------

WHICH = Round("which", 5, 3)


def test_pairs_differ_measurably_and_are_those_of_the_round(fresh):
    found = [pairs.pair_at(WHICH, NETWORK, place) for place in range(3)]
    numbers = [pair.number for pair in found]
    assert numbers == sorted(set(numbers))
    for pair in found:
        one, two = (made.heat[::4, ::4].ravel() for made in pair.maps)
        slow = np.corrcoef(np.argsort(np.argsort(one)), np.argsort(np.argsort(two)))[0, 1]
        assert pair.alike == pytest.approx(slow, abs=0.01) and pair.alike < pairs.MOST_ALIKE
        assert pair.maker == pair.maps[pair.right].by
        assert pair.maker in pairs.clue_of(pair)
    pairs.pair_at.cache_clear()
    again = [pairs.pair_at(WHICH, NETWORK, place) for place in range(3)]
    assert [(p.number, p.maker, p.right) for p in again] == [
        (p.number, p.maker, p.right) for p in found
    ]


def test_maps_that_are_too_much_alike_are_passed_over(fresh, monkeypatch):
    monkeypatch.setattr(pairs, "MOST_ALIKE", -1.0)
    pairs.pair_at.cache_clear()
    assert pairs.pair_at(Round("which", 5, 1), NETWORK, 0) is None
    pairs.pair_at.cache_clear()


def test_photographs_are_too_much_alike_for_it(session, play):
    session.controls = replace(session.controls, backbone=PHOTOS)
    assert "begin:which" not in play()["heading"]
    session.set(GUESS, ROUND, WHICH)
    assert "too much alike" in play()["heading"]


def test_half_of_the_heat():
    heat = np.zeros((10, 10), np.float32)
    heat[0, :4] = [4, 2, 1, 1]
    assert pairs.half_area(heat) == 0.01
    assert pairs.half_area(np.ones((10, 10), np.float32)) == pytest.approx(0.5, abs=0.011)
    assert pairs.half_area(heat * 0) == 0


def test_the_second_game(session, play):
    session.set(GUESS, ROUND, replace(WHICH, count=2))
    right = 0
    for place in range(2):
        pair = pairs.pair_at(replace(WHICH, count=2), NETWORK, place)
        before = play()["heading"]
        assert f"Pair {place + 1} of 2" in before and pairs.clue_of(pair) not in before
        press(session, "left")
        right += not pair.right
        after = play()["heading"]
        assert ("Correct:" in after) == (not pair.right) and f"{right} correct so far" in after
        press(session, "right")  # once is enough
        press(session, "next")
    assert f"{right} of 2 right" in play()["heading"]


def test_the_second_game_on_another_network(session, play):
    session.controls = replace(session.controls, backbone=BackboneChoice("scenes-vit"))
    session.set(GUESS, ROUND, WHICH)
    assert "Pair 1 of 3" in play()["heading"]
