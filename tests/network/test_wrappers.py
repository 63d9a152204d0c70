"""Networks in wrappers, wrong, damaged or described wrongly: unwrapped, or refused by the cause."""

import pytest
import torch
import torchvision
from torch import nn
from torch.optim.swa_utils import AveragedModel

from camviz import Engine, load_backbone, wrap_backbone
from camviz.errors import BackboneError, CamvizError, TargetError
from camviz.network.taps import frozen_eval

import timm  # isort: skip  after vision_ops
from timm.utils import ModelEmaV2, ModelEmaV3  # isort: skip
from tests.support.networks import untrained

# torch warns of its own old parts when it compiles, scripts and quantises.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:torch.quant", "ignore:Init"
)


class Lightning(nn.Module):
    """A training module around a network, as PyTorch Lightning has it."""

    def __init__(self, network, place="model"):
        super().__init__()
        setattr(self, place, network)
        self.loss = nn.CrossEntropyLoss()
        self.place = place

    def forward(self, x):
        return getattr(self, self.place)(x)


class Normalising(Lightning):
    def forward(self, x):
        return super().forward((x - 0.4) / 0.2)


class Silent(Lightning):
    def forward(self, x):
        raise NotImplementedError


class Answering(Lightning):
    """With its class scores among other things."""

    def __init__(self, network, more):
        super().__init__(network)
        self.more = more

    def forward(self, x):
        return {"logits" if "loss" in self.more else "y": super().forward(x), **self.more}


def headed(layer):
    model = untrained()
    model.fc = layer
    return model


def negative_variance():
    model = untrained()
    model.layer1[0].bn1.running_var[0] = -1
    return model


WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "AveragedModel": AveragedModel,
    "ModelEmaV2": ModelEmaV2,
    "ModelEmaV3": ModelEmaV3,
    "compile": torch.compile,
    "compiled average": lambda model: torch.compile(AveragedModel(model)),
    "Lightning": Lightning,
    "Lightning of compiled": lambda model: Lightning(torch.compile(model)),
    "another place": lambda model: Lightning(model, "classifier_of_mine"),
    "no forward pass": Silent,
    "Sequential": nn.Sequential,
    "a dict": lambda model: Answering(model, {"loss": None}),
    "wrappers in each other": lambda model: nn.DataParallel(AveragedModel(Lightning(model))),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", WRAPPERS)
def test_a_network_is_taken_out_of_its_wrapper(kind):
    plain = untrained(num_classes=3)
    found = wrap_backbone(WRAPPERS[kind](plain), device="cpu")
    assert found.digest == wrap_backbone(untrained(num_classes=3), device="cpu").digest
    assert found.display_name == "test_resnet" and len(found.labels) == 3


def test_a_wrapper_in_half_precision_is_compared_too():
    """Where a layer has none on the CPU, both are compared in single precision."""
    model = untrained("test_efficientnet_ln").half()
    assert len(wrap_backbone(nn.Sequential(model), device="cpu").labels) == 1000
    for behind in (nn.Linear(7, 2), nn.Linear(1000, 2).half(), nn.Softmin(dim=1)):
        with pytest.raises(BackboneError, match="pass the timm network"):
            wrap_backbone(nn.Sequential(model, behind), device="cpu")
    assert next(model.parameters()).dtype == torch.float16


def faint(model):
    """With logits that are all near zero, as untrained networks have them."""
    model.fc.weight.data *= 1e-4
    model.fc.bias.data.zero_()
    return model


def test_a_wrapper_that_computes_something_else_is_not_passed_over():
    features = untrained(num_classes=0)
    for wrapper in (
        Normalising(untrained()),
        nn.Sequential(nn.AvgPool2d(2), untrained()),
        nn.Sequential(features, nn.Linear(features.num_features, 3)),
        Normalising(faint(untrained())),
    ):
        with pytest.raises(BackboneError, match=r"other class scores.* pass the timm network"):
            wrap_backbone(wrapper, device="cpu")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (lambda: torchvision.models.resnet18(), r"torchvision's ResNet has no forward_intermedia"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)), "Sequential has no forward_intermediates"),
        (lambda: "resnet18", "not str; load_backbone takes names"),
        (lambda: untrained().state_dict(), "not OrderedDict"),
        (lambda: torch.jit.script(untrained()), "scripted or traced module.*made from"),
        (lambda: torch.jit.trace(untrained(), torch.zeros(1, 3, 64, 64)), "scripted or traced"),
        (lambda: untrained().to("meta"), r"'meta'.*no values .*and 87 more"),
        (
            lambda: torch.ao.quantization.quantize_dynamic(untrained(), {nn.Linear}),
            r"quantised layers \(fc: Linear\)",
        ),
        (lambda: untrained(features_only=True), r"no classifier.*without features_only"),
        (lambda: torch.fx.symbolic_trace(untrained()), "a graph of torch.fx.* it was made from"),
        (lambda: torch.jit.freeze(torch.jit.script(untrained())), "scripted or traced"),
        (lambda: headed(nn.LazyLinear(5)), r"lazy layers .*\(fc\.weight, fc\.bias\)"),
        (lambda: headed(nn.Linear(96, 0)), "its head has no classes"),
        (lambda: negative_variance(), r"running variance of layer1\.0\.bn1\.running_var is neg"),
        (lambda: Answering(untrained(), {"features": 1}), r"returns a dict, and camviz needs"),
        (lambda: untrained(num_classes=0, global_pool=""), r"\(1, 96, 5, 5\).*global_pool"),
    ],
)
def test_the_true_cause_is_named(model, sentence):
    with pytest.raises(CamvizError, match=sentence):
        wrap_backbone(model(), device="cpu")


@pytest.mark.sampled
@pytest.mark.parametrize(
    "name", ["efficientvit_m0", "repvit_m1", "crossvit_tiny_240", "levit_128s"]
)
def test_a_head_that_was_left_away_is_no_classifier(name):
    """However a family keeps its head: lists of heads, an attribute of a layer that is gone."""
    backbone = wrap_backbone(untrained(name, num_classes=0), device="cpu")
    assert backbone.output == "features" and not backbone.labels


def test_as_many_classes_as_features_are_classes():
    model = untrained()
    assert len(wrap_backbone(head(model.num_features, model), device="cpu").labels) == 96


def test_an_identity_in_the_place_of_the_head_is_no_classifier():
    model = untrained()
    model.fc = nn.Identity()
    assert not wrap_backbone(model, device="cpu").has_classes
    with pytest.raises(BackboneError, match=r"no classifier: it gives 96 features.*num_classes"):
        wrap_backbone(model, device="cpu", output="softmax")


def test_weights_that_are_no_numbers_are_named(photo):
    model = untrained()
    model.layer2[0].conv1.weight.data[0, 0] = float("nan")
    with pytest.raises(BackboneError, match=r"hold NaN .*\(layer2\.0\.conv1\.weight\)"):
        wrap_backbone(model, device="cpu")
    backbone = wrap_backbone(untrained(), device="cpu")
    backbone.model.layer1[0].bn1.running_var[1] = float("inf")
    backbone.model.layer2[0].conv1.weight.data[0, 0] = float("nan")
    with pytest.raises(BackboneError, match=r"scores of test_resnet.*layer2\.0\.conv1\.weight"):
        Engine("cpu").explain(photo, backbone)


def test_another_default_precision_is_named(photo, tiny):
    backbone = tiny("test_resnet")
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(CamvizError, match="set_default_dtype"):
            wrap_backbone(untrained().float(), device="cpu")
        with pytest.raises(CamvizError, match="set_default_dtype"):
            Engine("cpu").explain(photo, backbone)
    finally:
        torch.set_default_dtype(torch.float32)


def head(classes, model=None):
    model = model or untrained(zero_init_last=False)
    torch.manual_seed(3)
    model.fc = nn.Linear(model.num_features, classes)
    return model


@pytest.mark.parametrize("classes", [2, 5, 999, 1200])
def test_labels_are_as_many_as_logits(photo, classes):
    backbone = wrap_backbone(head(classes), device="cpu")
    assert backbone.labels == tuple(f"class {i}" for i in range(classes))
    x = Engine("cpu").explain(photo, backbone, target=classes - 1)
    assert len(x.logits) == len(x.predictions) == classes
    with pytest.raises(TargetError, match=f"0 to {classes - 1}"):
        backbone.target(classes)
    names = [f"n{i}" for i in range(classes)]
    assert wrap_backbone(head(classes), labels=names, device="cpu").labels == tuple(names)


def test_a_head_that_was_put_on_afterwards_is_one(photo):
    backbone = wrap_backbone(head(4, untrained(num_classes=0, zero_init_last=False)), device="cpu")
    assert len(backbone.labels) == 4
    assert len(Engine("cpu").explain(photo, backbone, method="cam").logits) == 4


def test_labels_of_the_configuration_are_not_those_of_another_head():
    model = head(4)
    model.pretrained_cfg["label_names"] = ["ant", "bee", "cat"]
    assert wrap_backbone(model, device="cpu").labels[0] == "class 0"


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_networks_are_shown_grey(photo, channels):
    backbone = load_backbone("test_resnet", "random", "cpu", in_chans=channels)
    assert backbone.input_size[0] == channels == len(backbone.mean) == len(backbone.std)
    assert backbone.mean[0] == pytest.approx(
        sum(timm.get_pretrained_cfg("test_resnet").mean) / 3 if channels == 1 else backbone.mean[0]
    )
    x = Engine("cpu").explain(photo, backbone)
    image, _ = backbone.prepare(x.picture)
    assert image.shape == (1, channels, 160, 160)
    assert x.fused.shape == photo.shape[:2]


@pytest.mark.long
def test_grey_networks_whose_first_layer_reads_blocks_of_pixels(photo):
    for wrapped in (lambda model: model, nn.DataParallel):
        model = wrapped(timm.create_model("tresnet_m", in_chans=1, num_classes=3))
        assert wrap_backbone(model, device="cpu", input_size=64).input_size == (1, 64, 64)


def test_the_grey_of_a_picture_is_its_luma():
    backbone = load_backbone(
        "test_resnet", "random", "cpu", in_chans=1, mean=0.25, std=0.5, input_size=64
    )
    from camviz import open_picture

    pixels = torch.zeros(64, 64, 3, dtype=torch.uint8).numpy()
    pixels[..., 1] = 200
    image, _ = backbone.prepare(open_picture(pixels))
    assert image.unique().tolist() == [pytest.approx((round(0.587 * 200) / 255 - 0.25) / 0.5)]


@pytest.mark.sampled
@pytest.mark.parametrize("channels", [2, 4, 6])
def test_the_normalisation_of_other_channels_must_be_given(channels):
    model = untrained(in_chans=channels)
    same = wrap_backbone(model, device="cpu")
    assert same.mean == same.std == (0.5,) * channels, "that of colours, where it is one number"
    model.pretrained_cfg["mean"] = (0.485, 0.456, 0.406)
    with pytest.raises(BackboneError, match=rf"mean has 3 .* of {channels} channels.*one for all"):
        wrap_backbone(model, device="cpu")
    backbone = wrap_backbone(model, device="cpu", mean=0.4, std=0.2)
    assert backbone.mean == (0.4,) * channels and backbone.input_size == (channels, 160, 160)


def test_a_size_that_a_network_refuses_is_named():
    model = timm.create_model("vit_tiny_patch16_224", depth=1)
    with pytest.raises(BackboneError, match=r"3 x 512 x 512 that was set: .*own is 3 x 224.*img_s"):
        wrap_backbone(model, device="cpu", input_size=512)
    with pytest.raises(BackboneError, match="cannot be run on a picture of 1 x 64 x 64"):
        wrap_backbone(untrained(), device="cpu", input_size=(1, 64, 64))


CHECKPOINTING = ["test_vit", "test_efficientnet", "test_convnext", "test_resnet", "test_nfnet"]


@pytest.mark.parametrize("name", CHECKPOINTING)
def test_gradient_checkpointing_is_put_aside_and_back(photo, name):
    model, twin = untrained(name), untrained(name)
    model.set_grad_checkpointing()
    switches = {n: vars(m).get("grad_checkpointing") for n, m in model.named_modules()}
    found = Engine("cpu").explain(photo, wrap_backbone(model, device="cpu"))
    plain = Engine("cpu").explain(photo, wrap_backbone(twin, device="cpu"))
    for stage in plain.stages:
        assert (found.raw[stage] == plain.raw[stage]).all()
    assert {n: vars(m).get("grad_checkpointing") for n, m in model.named_modules()} == switches
    assert any(switches.values()), "nothing was switched on, so nothing was put aside"


def test_compiled_parts_run_as_they_were_written(photo):
    plain = Engine("cpu").explain(photo, wrap_backbone(untrained(), device="cpu"))
    whole, part = untrained(), untrained()
    whole.compile()
    part.layer2 = torch.compile(part.layer2)
    for model in (whole, part):
        x = Engine("cpu").explain(photo, wrap_backbone(model, device="cpu"))
        assert (x.logits == plain.logits).all()
        assert [(a == b).all() for a, b in zip(x.raw.values(), plain.raw.values(), strict=True)]
    compiled, forward = whole._compiled_call_impl, part.layer2.forward
    with frozen_eval(whole, gradients=False), frozen_eval(part, gradients=False):
        assert whole._compiled_call_impl is None and part.layer2.forward is not forward
    assert whole._compiled_call_impl is compiled and part.layer2.forward is forward
