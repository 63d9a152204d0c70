"""Scenes: the truth they carry is the truth, and nothing but the telling part tells the class."""

from collections import Counter

import cv2
import numpy as np
import pytest

from camviz.scenes import (
    HELD_OUT_BACKGROUNDS,
    LEAST_TELLING,
    MOST_HIDDEN,
    PAIRS,
    SCENE_CLASSES,
    TRAIN_BACKGROUNDS,
    Scene,
    _plan,
    _schedule,
    draw_scene,
    draw_scenes,
)
from camviz.scenes.drawing import Light, Sprite, oval, rgb

ALL_BACKGROUNDS = TRAIN_BACKGROUNDS + HELD_OUT_BACKGROUNDS


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return draw_scenes(64, 7, size=96, backgrounds=ALL_BACKGROUNDS, two_objects=0.5)


def grown(mask: np.ndarray, pixels: int = 2) -> np.ndarray:
    side = 2 * pixels + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def differs(first: Scene, second: Scene) -> np.ndarray:
    return (first.image != second.image).any(axis=2)


def test_same_seed_same_bytes_and_a_scene_alone_is_the_one_in_the_list():
    first, second = (draw_scenes(6, 3, size=80, two_objects=0.5) for _ in range(2))
    alone = [draw_scene(3, index, size=80, two_objects=0.5) for index in range(6)]
    for scene, *others in zip(first, second, alone, strict=True):
        for other in others:
            assert scene.image.tobytes() == other.image.tobytes()
            assert scene.labels == other.labels
            assert scene.background == other.background
            for thing, twin in zip(scene.objects, other.objects, strict=True):
                assert thing.mask.tobytes() == twin.mask.tobytes()
                assert thing.parts.keys() == twin.parts.keys()


def test_other_seed_or_index_other_picture():
    pictures = {draw_scene(s, i, size=64).image.tobytes() for s in range(4) for i in range(4)}
    assert len(pictures) == 16


def test_classes_are_the_pairs_in_order():
    assert len(SCENE_CLASSES) == len(set(SCENE_CLASSES)) == 2 * len(PAIRS) >= 12
    assert tuple(name for pair in PAIRS for name in pair[:2]) == SCENE_CLASSES


def test_masks_parts_and_boxes_agree(scenes):
    assert any(len(scene.objects) == 2 for scene in scenes)
    for scene in scenes:
        assert scene.image.shape == (96, 96, 3)
        assert scene.image.dtype == np.uint8
        assert not scene.image.flags.writeable
        assert len(set(scene.labels)) == len(scene.labels) == len(scene.objects)
        for thing in scene.objects:
            assert thing.mask is scene.mask(thing.label)
            assert thing.mask.shape == (96, 96)
            assert thing.mask.dtype == bool
            assert not thing.mask.flags.writeable
            assert SCENE_CLASSES[thing.index] == thing.label
            # parts are disjoint and together the whole
            assert np.array_equal(
                sum(part.astype(int) for part in thing.parts.values()), thing.mask
            )
            x0, y0, x1, y1 = thing.box
            inside = np.zeros_like(thing.mask)
            inside[y0:y1, x0:x1] = True
            assert not (thing.mask & ~inside).any()
            assert thing.mask[y0, :].any() and thing.mask[y1 - 1, :].any()
            assert thing.mask[:, x0].any() and thing.mask[:, x1 - 1].any()
        # a pixel shows one thing
        assert sum(thing.mask.astype(int) for thing in scene.objects).max() == 1
        assert not scene.mask("no such thing").any()


def test_the_telling_part_is_there_in_every_special_class_and_in_no_plain_one(scenes):
    telling = {special: part for _, special, part in PAIRS}
    for scene in scenes:
        for thing in scene.objects:
            if thing.label in telling:
                assert thing.telling == telling[thing.label]
                assert thing.parts[thing.telling].mean() >= LEAST_TELLING
            else:
                assert thing.telling is None
                part = next(part for plain, _, part in PAIRS if plain == thing.label)
                assert part not in thing.parts


def test_nothing_changes_but_the_thing_and_its_shadow(scenes):
    for scene in scenes[:32]:
        empty = draw_scene(
            7,
            scene.index,
            size=96,
            backgrounds=ALL_BACKGROUNDS,
            two_objects=0.5,
            objects=False,
        )
        assert empty.objects == ()
        changed = differs(scene, empty)
        things = np.any([thing.mask for thing in scene.objects], axis=0)
        # Two pixels around a mask are its anti-aliased edge. The odd pixel beyond: less than half a
        # pixel of the thing, seen through a tuft of grass.
        assert (changed & ~grown(things) & ~scene.shadow).mean() < 5e-4
        # where a mask says "thing", the background is gone (a few pixels may match it by chance)
        assert changed[things].mean() > 0.97


@pytest.mark.parametrize(("plain", "special", "part"), PAIRS)
def test_sisters_differ_in_the_telling_part_alone(plain, special, part):
    for index in range(3):
        pair = [
            draw_scene(1, index, size=96, label=label, two_objects=0) for label in (plain, special)
        ]
        without, with_part = pair
        shadows = without.shadow | with_part.shadow
        shown = grown(with_part.objects[0].parts[part])
        changed = differs(without, with_part)
        assert changed[with_part.objects[0].parts[part]].mean() > 0.7
        assert (changed & ~shown & ~shadows).mean() < 2e-3  # less than half a pixel of the part


@pytest.mark.parametrize(("plain", "special", "part"), PAIRS)
def test_without_its_telling_part_a_thing_is_its_plain_sister(plain, special, part):
    for index in range(3):
        options = {"size": 96, "two_objects": 0}
        without = draw_scene(5, index, label=special, without={special: [part]}, **options)
        sister = draw_scene(5, index, label=plain, **options)
        assert np.array_equal(without.image, sister.image)
        thing, other = without.objects[0], sister.objects[0]
        assert thing.telling is None and np.array_equal(thing.mask, other.mask)


PAINTED_ON = {("stripes", "body"), ("wheels", "body"), ("steeple", "walls")}


@pytest.mark.parametrize("label", SCENE_CLASSES)
def test_without_a_part_what_it_hid_is_seen_and_nothing_else_changes(label):
    options = {"size": 96, "label": label, "two_objects": 0}
    whole = draw_scene(3, 1, **options)
    parts = whole.objects[0].parts
    for part, mask in parts.items():
        without = draw_scene(3, 1, without={label: [part]}, **options)
        left = without.objects[0].parts
        assert part not in left and set(left) <= set(parts) - {part}
        # What is painted on a part goes with it, as stripes on a hide.
        gone = mask.copy()
        for name in set(parts) - {part}:
            lost = parts[name] & ~left.get(name, np.zeros_like(mask)) & ~grown(mask)
            assert not lost.any() or (name, part) in PAINTED_ON
            gone |= lost
        for name, now in left.items():
            assert not (now & ~parts[name] & ~grown(gone)).any()
        changed = differs(whole, without)
        assert changed[mask].mean() > 0.4
        shadows = whole.shadow | without.shadow
        assert (changed & ~grown(gone) & ~shadows).mean() < 3e-3


def test_half_of_the_telling_part_and_most_of_the_thing_stay_visible():
    stage_size = 64
    for index in range(48):
        order = _plan(11, index, stage_size, TRAIN_BACKGROUNDS, 1.0, None).order
        hidden = np.zeros((stage_size, stage_size), bool)
        for item in reversed(order):
            covered = item.owner >= 0
            if item.index is not None:
                visible = covered & ~hidden[item.window]
                assert visible.sum() >= (1 - MOST_HIDDEN) * covered.sum()
                if item.index % 2:
                    number = item.sprite.parts.index(PAIRS[item.index // 2][2])
                    part = item.owner == number
                    assert (part & visible).sum() >= 0.5 * part.sum()
                    assert (part & visible).sum() >= LEAST_TELLING * stage_size**2
            hidden[item.window] |= covered


def test_a_single_thing_covers_3_to_45_percent():
    shares = [s.objects[0].mask.mean() for s in draw_scenes(96, 5, size=48, two_objects=0)]
    assert min(shares) >= 0.03
    assert max(shares) <= 0.45
    assert np.quantile(shares, 0.9) > 2.5 * np.quantile(shares, 0.1)


def test_labels_are_balanced_and_independent_of_the_background():
    classes, backgrounds = len(SCENE_CLASSES), len(TRAIN_BACKGROUNDS)
    turns = [_schedule(2, i, TRAIN_BACKGROUNDS) for i in range(2 * classes * backgrounds)]
    for start in range(0, len(turns), classes):
        assert sorted(turn for turn, _ in turns[start : start + classes]) == list(range(classes))
    together = Counter(turns)
    assert len(together) == classes * backgrounds
    assert set(together.values()) == {2}


def test_the_second_thing_is_of_another_class_and_of_any():
    seconds = Counter()
    for scene in draw_scenes(96, 4, size=48, two_objects=1.0):
        first, second = (thing.label for thing in scene.objects)
        assert first != second
        seconds.update(scene.labels)
    assert set(seconds) == set(SCENE_CLASSES)
    # 6 of each by turns, 6 more by chance
    assert max(seconds.values()) <= 20


def test_share_of_scenes_with_two_things():
    counts = [len(scene.objects) for scene in draw_scenes(80, 8, size=48, two_objects=0.25)]
    assert 0.1 < np.mean(np.array(counts) == 2) < 0.4
    assert {len(s.objects) for s in draw_scenes(16, 8, size=48, two_objects=0)} == {1}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("background", ALL_BACKGROUNDS)
def test_every_class_before_every_background(background):
    for index, label in enumerate(SCENE_CLASSES):
        scene = draw_scene(6, index, size=64, backgrounds=(background,), label=label, two_objects=0)
        assert scene.background == background
        assert scene.labels == (label,)
        assert scene.image.std() > 5


@pytest.mark.parametrize("size", [48, 64, 128, 224, 320])
def test_every_size(size):
    for label in SCENE_CLASSES[size % 3 :: 3]:
        scene = draw_scene(6, 5, size=size, label=label, two_objects=0)
        assert scene.image.shape == (size, size, 3)
        assert 0.03 <= scene.mask(label).mean() <= 0.45


def test_the_same_scene_at_another_size_is_the_same_scene():
    for index in range(6):
        small, large = (draw_scene(9, index, size=size, two_objects=0) for size in (112, 224))
        assert small.labels == large.labels
        reduced = cv2.resize(large.objects[0].mask.astype(np.float32), (112, 112)) >= 0.5
        union = (reduced | small.objects[0].mask).sum()
        assert (reduced & small.objects[0].mask).sum() > 0.85 * union


@pytest.mark.long
def test_held_out_backgrounds_are_never_trained_on():
    assert not set(HELD_OUT_BACKGROUNDS) & set(TRAIN_BACKGROUNDS)
    assert len(HELD_OUT_BACKGROUNDS) >= 3
    drawn = {scene.background for scene in draw_scenes(64, 0, size=48)}
    assert drawn == set(TRAIN_BACKGROUNDS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 8}, "size must be"),
        ({"size": 100_000}, "size must be"),
        ({"two_objects": 1.5}, "share of scenes"),
        ({"backgrounds": ()}, "no backgrounds"),
        ({"backgrounds": ("moon",)}, "unknown background 'moon'; there are meadow"),
        ({"label": "unicorn"}, "unknown class 'unicorn'; there are sheep"),
        ({"index": -1}, "must not be negative"),
        ({"seed": -1}, "must not be negative"),
        ({"label": "ram", "without": {"cow": ["legs"]}}, "holds no 'cow'; it holds ram"),
        ({"label": "ram", "without": {"ram": ["wings"]}}, "a ram has no 'wings'; it has legs"),
        ({"label": "slug", "without": {"slug": ["feelers", "body"]}}, "nothing would be left"),
    ],
)
def test_errors_say_what_would_do(wrong, message):
    with pytest.raises(ValueError, match=message):
        draw_scene(**{"seed": 0, "index": 0, **wrong})


def test_no_scenes_and_too_few():
    assert draw_scenes(0, 0) == []
    with pytest.raises(ValueError, match="count must not be negative, got -1"):
        draw_scenes(-1, 0)
    with pytest.raises(ValueError, match="size must be"):
        draw_scenes(0, 0, size=3)


def test_a_painted_disk_has_the_area_of_a_disk():
    sprite = Sprite((-1, -1, 1, 1), 50.0, light=Light(), angle=0.3, mirror=True)
    sprite.fill("disk", [oval(0, 0, 0.6, 0.6, n=200)], color=rgb("#808080"))
    assert sprite.alpha.sum() == pytest.approx(np.pi * 30**2, rel=0.02)
    assert np.array_equal(sprite.owner >= 0, sprite.alpha >= 0.5)
    row, column = (
        np.average(np.arange(n) + 0.5, weights=sprite.alpha.sum(a))
        for a, n in ((1, sprite.alpha.shape[0]), (0, sprite.alpha.shape[1]))
    )
    assert (column, row) == pytest.approx(tuple(sprite.foot), abs=0.1)


def test_a_line_finer_than_a_pixel_still_owns_pixels():
    sprite = Sprite((-1, -1, 1, 1), 20.0, light=Light())
    sprite.stroke("line", [[(-0.8, -0.3), (0.8, 0.31)]], 0.001, color=rgb("#000000"))
    assert (sprite.owner == 0).sum() >= 25


def test_a_stripe_stays_inside_what_it_is_painted_on():
    sprite = Sprite((-1, -1, 1, 1), 40.0, light=Light())
    body = sprite.fill("body", [oval(0, 0, 0.5, 0.3)], color=rgb("#ffffff"))
    before = sprite.alpha.copy()
    sprite.stroke("stripe", [[(0, -1), (0, 1)]], 0.2, color=rgb("#000000"), inside=body)
    assert np.array_equal(sprite.alpha, before)
    assert np.array_equal(sprite.owner >= 0, before >= 0.5)
    assert (sprite.owner == sprite.parts.index("stripe")).sum() > 100
