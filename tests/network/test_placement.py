"""Measured placement: the centres of cells, on layers whose centres can be worked out by hand.

A layer of kernel k, stride s and padding p before (of the first axis) centres cell i on input
pixel s*i - p + (k-1)/2. Plain up-sampling draws it at s*i + (s-1)/2. With even weights the
difference is the offset: (k - s)/2 - p.
"""

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

from camviz import Engine, wrap_backbone
from camviz.maps.fusion import Placement
from camviz.network.layouts import Layout
from camviz.network.placement import (
    PRECISION,
    Offset,
    measure_offsets,
    measure_strides,
    measured_offsets,
    plain_placement,
    true_placements,
)
from camviz.network.taps import Tap
from tests.support.networks import untrained


def even(layer):
    """All weights alike: the centre of mass is the centre."""
    for parameter in layer.parameters():
        nn.init.constant_(parameter, 0.1)
    return layer


def conv(kernel, stride, padding, width=(3, 4)):
    return even(nn.Conv2d(*width, kernel, stride, padding, bias=False))


class Same(nn.Conv2d):
    """TensorFlow's "same" for stride 2 and even sizes: all of the padding after the picture."""

    def forward(self, x):
        return super().forward(nn.functional.pad(x, (0, 1, 0, 1)))


def same(width=(3, 4)):
    return even(Same(*width, 3, 2, 0, bias=False))


class Stack(nn.Module):
    """Layers one after the other, each of them a stage, a mean and a classifier."""

    num_classes = 3

    def __init__(self, *layers, size=(32, 32)):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.pretrained_cfg = {"input_size": (3, *size), "interpolation": "bilinear"}
        with torch.no_grad():
            width = self.layers(torch.zeros(1, 3, *size)).shape[1]
        torch.manual_seed(0)
        self.head = nn.Linear(width, 3)
        self.eval().requires_grad_(False)

    def maps(self, x):
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return found

    def forward_intermediates(self, x, **options):
        return [reference.clone() for reference in self.maps(x)]

    def forward_features(self, x):
        return self.layers(x)

    def forward_head(self, x, pre_logits=False):
        pooled = x.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def last_tap(model, size):
    with torch.no_grad():
        shape = model.layers(torch.zeros(1, 3, *size)).shape
    return Tap(f"layers.{len(model.layers) - 1}", Layout("NCHW", tuple(shape[2:])), shape[1])


def measured(*layers, size=(32, 32)):
    """What is measured at the last of these layers."""
    model = Stack(*layers, size=size)
    return next(iter(measure_offsets(model, [last_tap(model, size)], (3, *size)).values()))


# --- centres by hand ---


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (conv(1, 1, 0), 0),
        (conv(3, 1, 1), 0),
        (conv(2, 2, 0), 0),
        (conv(4, 2, 1), 0),
        (conv(3, 2, 1), -0.5),  # cell i looks at pixel 2i, drawn at 2i + 0.5
        (same(), +0.5),  # at 2i + 1
        (conv(7, 2, 3), -0.5),
        (conv(7, 4, 2), -0.5),  # (7-4)/2 - 2
        (conv(3, 4, 0), -0.5),  # pixels 4i..4i+2: gaps between cells
        (nn.AvgPool2d(2), 0),
        (nn.AvgPool2d(3, 2, 1), -0.5),
    ],
)
def test_single_layers(layer, expected):
    found = measured(layer)
    assert found.offset == pytest.approx((expected, expected), abs=1e-4)
    assert found.settled and max(found.error) < 1e-4 and found.samples > 0


def test_pooling_by_the_maximum_looks_at_its_middle_on_average():
    found = measured(nn.MaxPool2d(3, 2, 1), size=(64, 64))
    assert found.settled and found.samples >= 24
    for offset, error in zip(found.offset, found.error, strict=True):
        assert 0 < error < PRECISION * 2
        assert abs(offset + 0.5) < 4 * error


def test_axes_are_measured_on_their_own():
    """Rows first: (y, x) everywhere."""
    found = measured(conv((3, 2), (2, 2), (1, 0)), size=(32, 48))
    assert found.offset == pytest.approx((-0.5, 0), abs=1e-4)
    found = measured(conv((2, 3), (2, 2), (0, 1)), size=(32, 48))
    assert found.offset == pytest.approx((0, -0.5), abs=1e-4)


def test_on_odd_sizes_the_same_layer_looks_straight_ahead():
    """33 pixels, 17 cells: cell 8 is in the middle of both, and cells are 2 apart, not 33 / 17."""
    found = measured(conv(3, 2, 1), size=(33, 33))
    assert found.stride == (2, 2)
    centres = Placement(found.stride, found.offset).centres(0, 17)
    assert centres.tolist() == pytest.approx([2 * i for i in range(17)], abs=1e-4)


def test_a_kernel_that_reads_to_one_side_is_seen_to():
    """Trained kernels are asymmetric, which no theory of padding knows."""
    layer = conv(3, 1, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, :, 1, 2] = 1.0  # the pixel to the right
    assert measured(layer).offset == pytest.approx((0, 1), abs=1e-4)


@pytest.mark.parametrize(
    ("layers", "size", "expected"),
    [
        # cell i of three looks at 8i and is drawn at 8i + 3.5
        (lambda: [conv(3, 2, 1), conv(3, 2, 1, (4, 4)), conv(3, 2, 1, (4, 4))], 64, -3.5),
        # with "same" padding at 8i + 7
        (lambda: [same(), same((4, 4)), same((4, 4))], 64, +3.5),
        # one of each: 2(2i) + 1 against 4i + 1.5
        (lambda: [same(), conv(3, 2, 1, (4, 4))], 64, -0.5),
        (lambda: [conv(3, 2, 1), same((4, 4))], 64, +0.5),
        # a ResNet's stem: 4i against 4i + 1.5
        (lambda: [conv(7, 2, 3), nn.AvgPool2d(3, 2, 1)], 64, -1.5),
        (lambda: [conv(2, 2, 0), conv(2, 2, 0, (4, 4)), conv(2, 2, 0, (4, 4))], 64, 0),
        # 65 -> 33 -> 17 -> 9: odd all the way, as trained at 225 pixels; 8i, and 8 apart
        (lambda: [conv(3, 2, 1), conv(3, 2, 1, (4, 4)), conv(3, 2, 1, (4, 4))], 65, -3.5),
    ],
)
def test_stacks_add_up(layers, size, expected):
    assert measured(*layers(), size=(size, size)).offset == pytest.approx(
        (expected, expected), abs=1e-3
    )


def test_several_taps_are_measured_in_one_go():
    model = Stack(conv(3, 2, 1), same((4, 4)), nn.AvgPool2d(2), size=(64, 64))
    taps = [Tap(f"layers.{i}", Layout("NCHW", (64 >> i + 1,) * 2), 4) for i in range(3)]
    found = measure_offsets(model, taps, (3, 64, 64))
    for tap, expected in zip(taps, (-0.5, 0.5, 0.5), strict=True):
        assert found[tap.address].offset == pytest.approx((expected, expected), abs=1e-3)


def test_cells_that_saw_nothing_have_no_say():
    """A rectified cell that is off has no gradient, and so no centre: not the corner (0, 0)."""
    torch.manual_seed(0)
    found = measured(nn.Sequential(conv(2, 2, 0, (3, 1)), nn.ReLU()), size=(64, 64))
    assert found.offset == pytest.approx((0, 0), abs=1e-3)


def test_measuring_is_repeatable_and_leaves_the_callers_state_alone(unchanged):
    model = Stack(nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 1))
    tap = last_tap(model, (32, 32))
    first = measure_offsets(model, [tap], (3, 32, 32))
    state = torch.get_rng_state()
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with unchanged(model), mode():
            assert measure_offsets(model, [tap], (3, 32, 32)) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert measure_offsets(model, [tap], (3, 32, 32), seed=1) != first


def test_cells_of_patches_that_do_not_overlap_need_no_measuring(tiny, monkeypatch):
    backbone = tiny("test_vit")

    def never(*inputs):
        raise AssertionError("measured what is known")

    monkeypatch.setattr(backbone.model, "forward", never)
    taps = [stage.output for stage in backbone.stages]
    found = measure_offsets(backbone.model, taps, backbone.input_size)
    assert set(found.values()) == {Offset((0.0, 0.0), (0.0, 0.0), 0, True, (16.0, 16.0))}
    assert len(found) == len(taps)


def test_overlapping_patches_are_measured():
    class Embed(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = conv(3, 2, 1)

        def forward(self, x):
            return self.proj(x)

    model = Stack(Embed())
    model.patch_embed = model.layers[0]
    tap = Tap("layers.0", Layout("NCHW", (16, 16)), 4)
    found = measure_offsets(model, [tap], (3, 32, 32))[tap.address]
    assert found.offset == pytest.approx((-0.5, -0.5), abs=1e-4) and found.samples > 0


def test_a_network_with_batch_norm_learns_nothing_from_being_measured(unchanged):
    model = Stack(conv(3, 2, 1), nn.BatchNorm2d(4))
    backbone = wrap_backbone(model, device="cpu")
    model.train()  # by whoever owns it, after it was wrapped
    with unchanged(model):
        found = measured_offsets(backbone, [backbone.stages[-1].output])
    assert next(iter(found.values())).offset == pytest.approx((-0.5, -0.5), abs=1e-3)


# --- plain and true placements ---


def test_plain_placement_spreads_the_cells_evenly():
    tap = Tap("x", Layout("NCHW", (7, 10)), 3)
    assert plain_placement(tap, (3, 224, 160)) == Placement((32, 16), (0.0, 0.0))
    assert plain_placement(tap, (3, 225, 160)).stride[0] == pytest.approx(225 / 7)


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMVIZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def strided():
    return wrap_backbone(
        Stack(conv(3, 2, 1), conv(3, 2, 1, (4, 4)), conv(3, 2, 1, (4, 4)), size=(64, 64)),
        name="strided",
        device="cpu",
    )


def forbid(monkeypatch, backbone):
    def never(*inputs):
        raise AssertionError("measured twice")

    monkeypatch.setattr(backbone.model, "forward", never)


def test_what_was_measured_once_is_read_from_disk(own_folder, strided, monkeypatch):
    taps = [stage.output for stage in strided.stages]
    first = measured_offsets(strided, taps[:2])
    files = [path for path in own_folder.rglob("*") if path.is_file()]
    assert [path.name for path in files] == [f"{strided.digest}-64x64.json"]
    assert set(json.loads(files[0].read_text())) == {"layers.0#0", "layers.1#0"}
    third = measured_offsets(strided, taps[1:])[taps[2].address]  # adds one, keeps the others
    forbid(monkeypatch, strided)
    again = measured_offsets(strided, taps)
    assert again == {**first, taps[2].address: third}
    assert third.offset == pytest.approx((-3.5, -3.5), abs=1e-3)
    placements = true_placements(strided, taps)
    assert placements[taps[2].address] == Placement((8, 8), third.offset)


def test_other_weights_are_measured_again(own_folder, strided):
    other = wrap_backbone(Stack(same(), size=(64, 64)), device="cpu")
    measured_offsets(strided, [strided.stages[0].output])
    found = measured_offsets(other, [other.stages[0].output])
    assert next(iter(found.values())).offset == pytest.approx((0.5, 0.5), abs=1e-4)
    assert len(list(own_folder.rglob("*.json"))) == 2


def test_other_padding_is_measured_again(own_folder):
    """The very same weights with the padding on the other side look elsewhere."""
    found = []
    for layer in (conv(3, 2, 1), same()):
        backbone = wrap_backbone(Stack(layer), device="cpu")
        tap = backbone.stages[0].output
        found += [offset.offset for offset in measured_offsets(backbone, [tap]).values()]
    assert found == [pytest.approx((-0.5, -0.5), abs=1e-4), pytest.approx((0.5, 0.5), abs=1e-4)]


@pytest.mark.parametrize("content", ["", "{", '{"layers.0#0": [[1', "[]", '{"layers.0#0": {}}',
                                     "null", '{"layers.0#0": [[0], [0]]}'])  # fmt: skip
def test_a_damaged_file_is_measured_anew(own_folder, strided, content):
    file = own_folder / "placements" / f"{strided.digest}-64x64.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    tap = strided.stages[0].output
    found = measured_offsets(strided, [tap])[tap.address]
    assert found.offset == pytest.approx((-0.5, -0.5), abs=1e-4)
    assert list(json.loads(file.read_text())) == ["layers.0#0"]


def test_a_machine_that_cannot_be_written_to_measures_all_the_same(tmp_path, monkeypatch, strided):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CAMVIZ_CACHE", str(tmp_path / "file"))
    tap = strided.stages[0].output
    found = measured_offsets(strided, [tap])[tap.address]
    assert found.offset == pytest.approx((-0.5, -0.5), abs=1e-4)


def test_the_networks_lock_is_held_while_measuring(own_folder, strided, monkeypatch):
    plain, held = strided.model.forward, []

    def forward(x):
        thread = threading.Thread(target=lambda: held.append(not strided.lock.acquire(False)))
        thread.start()
        thread.join()
        return plain(x)

    monkeypatch.setattr(strided.model, "forward", forward)
    measured_offsets(strided, [strided.stages[0].output])
    assert held and all(held)


# --- in the engine ---


def drawn(heat, size, input_side, stride, offset):
    """Bilinear reading of a square map at every pixel of a square picture, one at a time."""
    cells = len(heat)
    places = []
    for pixel in range(size):
        at = (pixel + 0.5) / size * input_side - 0.5
        at = (at - (stride - 1) / 2 - offset) / stride
        at = min(max(at, 0), cells - 1)
        places.append((int(min(np.floor(at), cells - 2)), at))
    result = np.zeros((size, size))
    for i, (y, at_y) in enumerate(places):
        for j, (x, at_x) in enumerate(places):
            v, u = at_y - y, at_x - x
            result[i, j] = (1 - v) * ((1 - u) * heat[y, x] + u * heat[y, x + 1]) + v * (
                (1 - u) * heat[y + 1, x] + u * heat[y + 1, x + 1]
            )
    return result


def test_the_engine_draws_where_the_cells_look(own_folder, strided, photo):
    picture = photo[:48, :48]
    plain, true = (
        Engine("cpu").explain(picture, strided, target=0, method="eigen_cam", placement=kind)
        for kind in ("plain", "true")
    )
    name = strided.stages[-1].name
    assert np.array_equal(plain.raw[name], true.raw[name])
    assert plain.placements[name] == Placement((8, 8))
    assert true.placements[name].stride == (8, 8)
    assert true.placements[name].offset == pytest.approx((-3.5, -3.5), abs=1e-3)
    heat = np.maximum(plain.raw[name], 0) / plain.raw[name].max()
    assert np.allclose(plain.maps[name], drawn(heat, 48, 64, 8, 0), atol=1e-5)
    assert np.allclose(true.maps[name], drawn(heat, 48, 64, 8, -3.5), atol=1e-3)
    assert np.abs(true.maps[name] - plain.maps[name]).max() > 0.01
    assert np.abs(true.fused - plain.fused).max() > 0.01


def test_plain_placement_measures_nothing(own_folder, strided, photo):
    Engine("cpu").explain(photo, strided, target=0)
    assert not own_folder.exists()


def test_for_a_vision_transformer_true_is_plain(own_folder, tiny, photo):
    plain, true = (
        Engine("cpu").explain(photo, tiny("test_vit"), target=3, placement=kind)
        for kind in ("plain", "true")
    )
    assert plain.placements == true.placements
    assert np.array_equal(plain.fused, true.fused)


# --- strides ---


def exact_centres(layers, count):
    """The input pixel of each cell's centre, on one axis, by the arithmetic of convolutions."""
    stride, first = 1, 0.0
    for layer in layers:
        (size, *_), (step, *_), (padding, *_) = layer.kernel_size, layer.stride, layer.padding
        first += ((size - 1) / 2 - padding) * stride
        stride *= step
    return [first + stride * i for i in range(count)]


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        # 4, 2, 2, 2 into 100 and 93: 3 and 2 cells of 32 pixels rather than 33.3 and 46.5
        (lambda: [conv(4, 4, 0), *(conv(2, 2, 0, (4, 4)) for _ in range(3))], (100, 93)),
        (lambda: [conv(3, 2, 1), conv(3, 2, 1, (4, 4)), conv(3, 2, 1, (4, 4))], (50, 61)),
        # without padding, cells end early
        (lambda: [conv(3, 2, 0), conv(3, 1, 0, (4, 4)), conv(3, 2, 0, (4, 4))], (64, 81)),
        (lambda: [conv(7, 4, 2), conv(3, 3, 1, (4, 4))], (75, 100)),
    ],
)
def test_cells_are_where_arithmetic_has_them_to_the_last(layers, size):
    layers = layers()
    model = Stack(*layers, size=size)
    tap = last_tap(model, size)
    found = next(iter(measure_offsets(model, [tap], (3, *size)).values()))
    placement = Placement(found.stride, found.offset)
    plain = plain_placement(tap, (3, *size))
    for axis in (0, 1):
        expected = exact_centres(layers, tap.layout.grid[axis])
        assert placement.centres(axis, len(expected)).tolist() == pytest.approx(expected, abs=0.02)
        assert plain.stride[axis] != found.stride[axis]


def test_strides_of_real_networks_that_do_not_divide_the_input():
    for name, size in (("test_efficientnet", (3, 100, 90)), ("test_convnext", (3, 100, 133))):
        backbone = wrap_backbone(untrained(name), input_size=size, device="cpu")
        taps = [stage.output for stage in backbone.stages]
        found = measure_strides(backbone.model, taps, backbone.input_size)
        for tap in taps:
            height, width = found[tap.address]
            assert height == width == 2 ** round(np.log2(size[1] / tap.layout.grid[0]))


def test_a_single_cell_has_no_neighbour_to_be_measured_by():
    model = Stack(conv(8, 8, 0), size=(8, 20))
    tap = last_tap(model, (8, 20))
    assert measure_strides(model, [tap], (3, 8, 20))[tap.address] == (8, 8)
