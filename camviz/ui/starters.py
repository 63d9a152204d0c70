"""Backbones that are good to start with, one of each kind, and others that are asked for often."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Starter:
    """An architecture of timm, in a plain sentence what kind of network it is, and the year of the
    paper that introduced it.
    """

    architecture: str
    sentence: str
    year: int | None = None


STARTERS = (
    Starter(
        "tf_efficientnet_lite0",
        "A small convolutional network made for phones; it answers in a moment.",
    ),
    Starter(
        "resnet50",
        "The classic: 50 layers with shortcuts around them; many papers show their maps on it.",
        2015,
    ),
    Starter("vgg16", "16 layers in a plain row, without shortcuts; large, and easy to draw.", 2014),
    Starter(
        "densenet121",
        "Every layer is given what all layers before it in its block found.",
        2016,
    ),
    Starter(
        "inception_v3",
        "Filters of several sizes stand side by side at every depth.",
        2015,
    ),
    Starter(
        "convnext_tiny",
        "A convolutional network with what was learned from transformers.",
        2022,
    ),
    Starter(
        "vit_small_patch16_224",
        "A transformer: cuts the picture into 14 × 14 patches and relates each to all others.",
        2020,
    ),
    Starter(
        "swin_tiny_patch4_window7_224",
        "A transformer that relates patches within small windows, coarser at every stage.",
        2021,
    ),
    Starter(
        "resmlp_12_224",
        "Neither convolutions nor attention: weighted sums mix the patches.",
        2021,
    ),
    Starter(
        "coatnet_0_rw_224",
        "Half and half: convolutions first, a transformer behind them.",
        2021,
    ),
)

# Of names that fit a text equally well, these come first, in this order.
POPULAR = (
    "resnet50",
    "resnet18",
    "efficientnet_b0",
    "vit_base_patch16_224",
    "vit_small_patch16_224",
    "vit_tiny_patch16_224",
    "convnext_tiny",
    "convnext_base",
    "swin_tiny_patch4_window7_224",
    "swin_base_patch4_window7_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "mobilenetv3_large_100",
    "mobilenetv2_100",
    "densenet121",
    "vgg16",
    "vgg19",
    "inception_v3",
    "resnet34",
    "resnet101",
    "resnext50_32x4d",
    "regnety_016",
    "tf_efficientnet_lite0",
    "resmlp_12_224",
    "mixer_b16_224",
    "coatnet_0_rw_224",
)
