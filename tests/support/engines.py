"""A network for tests of the engine whose maps are known."""

import torch
from torch import nn


class Disapproving(nn.Module):
    """Whatever it sees speaks against its first class and for its second."""

    num_classes = 2
    pretrained_cfg = {"input_size": (3, 32, 32)}  # noqa: RUF012

    def __init__(self, strides=(2, 2)):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Sequential(nn.Conv2d(3, 8, 3, strides[0], 1), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(8, 8, 3, strides[1], 1), nn.ReLU())
        for part in (self.a, self.b):
            part[0].weight.data.abs_()
        self.head = nn.Linear(8, 2)
        self.head.weight.data = torch.tensor([[-1.0], [1.0]]).repeat(1, 8)

    def forward_intermediates(self, x, **options):
        a = self.a(x)
        return [a.clone(), self.b(a)]

    def forward_features(self, x):
        return self.b(self.a(x))

    def forward_head(self, x, pre_logits=False):
        return x.mean(dim=(2, 3)) if pre_logits else self.head(x.mean(dim=(2, 3)))

    def forward(self, x):
        return self.forward_head(self.forward_features(x))
