"""Toy networks: with three stages as timm's have them, and with branches and shared modules."""

from collections import OrderedDict

import torch
from torch import nn

from camviz.network.discovery import discover

SIZE = (3, 32, 32)


class Toy(nn.Module):
    """conv (stride 2) -> relu -> conv (stride 2) -> relu -> conv (stride 2) -> mean -> linear."""

    num_classes = 4
    feature_info: tuple = ()

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(inplace=True))
        self.b = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(inplace=True))
        self.c = nn.Sequential(nn.Conv2d(8, 10, 3, 2, 1), nn.ReLU(inplace=True))
        self.head = nn.Linear(10, 4)

    def maps(self, x):
        a = self.a(x)
        b = self.b(a)
        return [a, b, self.c(b)]

    def forward_intermediates(self, x, indices=None, intermediates_only=True, output_fmt="NCHW"):
        return [reference.clone() for reference in self.maps(x)]

    def forward_features(self, x):
        return self.maps(x)[-1]

    def forward_head(self, x, pre_logits=False):
        pooled = x.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


class Nested(Toy):
    """Blocks that return a tuple, a dict, a list in a dict."""

    class Block(nn.Module):
        def __init__(self, inner, wrap):
            super().__init__()
            self.inner, self.wrap = inner, wrap

        def forward(self, x):
            y = self.inner(x) + 0  # the inner module's own output is another tensor
            return self.wrap(y)

    def __init__(self):
        super().__init__()
        self.a = self.Block(nn.Conv2d(3, 6, 3, 2, 1), lambda y: (y.mean(), y * 2))
        self.b = self.Block(nn.Conv2d(6, 8, 3, 2, 1), lambda y: OrderedDict(x=[None, y * 2]))
        self.c = self.Block(nn.Conv2d(8, 10, 3, 2, 1), lambda y: [y * 2])

    def maps(self, x):
        a = self.a(x)[1]
        b = self.b(a)["x"][1]
        return [a, b, self.c(b)[0]]


class Twice(Toy):
    """One block run three times: the second and third call are the stages."""

    def __init__(self):
        super().__init__()
        self.block = nn.Conv2d(10, 10, 3, 1, 1)

    def maps(self, x):
        once = self.block(super().maps(x)[-1])
        second = self.block(once)
        return [second, self.block(second)]


def explore(toy):
    model = toy().eval().requires_grad_(False)
    return model, discover(model, SIZE)


class Net(nn.Module):
    """What `wrap_backbone` needs of a network, around `maps`."""

    num_classes = 3

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.pretrained_cfg = {
            "input_size": (3, 16, 16),
            "mean": (0.5,) * 3,
            "std": (0.5,) * 3,
            "interpolation": "bicubic",
            "crop_pct": 0.9,
        }
        self.a = nn.Conv2d(3, 4, 3, 2, 1)
        self.b = nn.Conv2d(4, 4, 3, 1, 1)
        self.head = nn.Linear(4, 3)
        self.requires_grad_(False)

    def forward_intermediates(self, x, indices=None, intermediates_only=True, output_fmt="NCHW"):
        return [reference.clone() for reference in self.maps(x)]

    def forward_features(self, x):
        return self.maps(x)[-1]

    def forward_head(self, x, pre_logits=False):
        pooled = x.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


class Branches(Net):
    """a and b see the input side by side, their product feeds c."""

    def __init__(self):
        super().__init__()
        self.b = nn.Conv2d(3, 4, 3, 2, 1)
        self.c = nn.Conv2d(4, 4, 3, 1, 1)
        self.requires_grad_(False)

    def maps(self, x):
        a, b = self.a(x), self.b(x)
        return [a, b, self.c(a.sigmoid() * b)]
