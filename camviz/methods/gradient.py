"""Class activation maps from one tensor and its gradient.

    from camviz.methods.gradient import layer_cam
    heat = layer_cam(activations, gradients).relu()

**Theory.** A network turns a feature map A into a score y. To first order every feature
contributes g * A, with g = dy/dA. The methods differ in what they pool: Grad-CAM averages g
over the picture, one weight a channel; LayerCAM keeps a weight for every place; HiRes-CAM keeps
the sign as well.

Every function takes `activations` and `gradients`, both (N, C, H, W), and returns the raw map
(N, H, W): in the method's own units, before any ReLU, not normalised. An all-zero gradient gives
an all-zero map. Nothing is modified in place. y is a logit unless a caller chose otherwise.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# Below this share of a channel's absolute mass its sum is cancellation, not signal.
_NEGLIGIBLE = 1e-6
# The same of what all channels contribute at one place: single precision leaves 1e-6 of it where
# the true sum is 0, as it is in front of a normalisation of the channels.
_CANCELLED = 1e-4


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM: a channel counts as much as its gradient does on average over the picture.

        M = sum_k mean_hw(g_k) * A_k

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017, https://arxiv.org/abs/1610.02391
    """
    return torch.einsum("nc,nchw->nhw", gradients.mean(dim=(2, 3)), activations)


def grad_cam_pp(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++: positive gradients only, so that several small instances count like a big one.

        w_k = sum_hw relu(g_k) / (2 + S_k * relu(g_k)),  S_k = sum_hw A_k;   M = sum_k w_k * A_k

    This is equation 19 with g^2 cancelled: the denominator is at least 2 and needs no epsilon.
    Deviation: S_k is clipped at 0, so that signed features cannot make the denominator cross
    zero; for A >= 0 it is the paper's formula. The authors' TensorFlow code also divides the alphas
    of each channel by their sum, which the paper does not; this does not. The result depends on the
    scale of the logit.

    Chattopadhay et al., "Grad-CAM++: Improved Visual Explanations for Deep Convolutional
    Networks", WACV 2018, https://arxiv.org/abs/1710.11063
    """
    positive = gradients.relu()
    mass = activations.sum(dim=(2, 3), keepdim=True).clamp_min(0)
    weights = (positive / (2 + mass * positive)).sum(dim=(2, 3))
    return torch.einsum("nc,nchw->nhw", weights, activations)


def xgrad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """XGrad-CAM: gradients averaged where the channel is active, so that contributions add up.

        w_k = sum_hw(g_k * A_k) / S_k,  S_k = sum_hw A_k;   M = sum_k w_k * A_k

    sum_hw M = sum g * A. Deviation: a channel whose sum cancels (|S_k| <= 1e-6 * sum |A_k|) gets
    weight 0 instead of an additive epsilon, which has the wrong sign for S_k < 0.

    Fu et al., "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs",
    BMVC 2020, https://arxiv.org/abs/2008.02312
    """
    contribution = (gradients * activations).sum(dim=(2, 3))
    mass = activations.sum(dim=(2, 3))
    solid = mass.abs() > _NEGLIGIBLE * activations.abs().sum(dim=(2, 3))
    weights = torch.where(solid, contribution / torch.where(solid, mass, 1), 0)
    return torch.einsum("nc,nchw->nhw", weights, activations)


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """HiRes-CAM: what each place contributes to the score, sign and all.

        M = sum_k g_k * A_k

    With a linear head after average pooling, sum_hw M = score - bias. Where a normalisation of the
    channels follows (LayerNorm: ConvNeXt, DaViT, CAFormer, CaiT), what speaks for a class and
    against it cancels at every place, whatever the class, and only rounding is left: M is 0 where
    |M| < 1e-4 sum_k |g_k * A_k|, and everywhere if that holds for the sums over all places.

    Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of
    convolutional neural networks", 2020, https://arxiv.org/abs/2011.08891
    """
    contributions = gradients * activations
    total, size = contributions.sum(dim=1), contributions.abs().sum(dim=1)
    return torch.where(_cancels(total, size) | _cancels(*_everywhere(total, size)), 0, total)


def _cancels(total: Tensor, size: Tensor) -> Tensor:
    """Where sums of contributions are rounding beside the sum of their magnitudes."""
    return total.abs() < _CANCELLED * size


def _everywhere(total: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The magnitudes of both, (N, H, W), summed over all places: (N, 1, 1)."""
    return total.abs().sum(dim=(1, 2), keepdim=True), size.sum(dim=(1, 2), keepdim=True)


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM: every place is weighted by its own positive gradient, so any layer will do.

        M = sum_k relu(g_k) * A_k

    Not the positive part of HiRes-CAM: channels of negative gradient are left out, not subtracted.

    Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
    TIP 2021, https://doi.org/10.1109/TIP.2021.3089943
    """
    return gradients.relu().mul_(activations).sum(dim=1)  # one large tensor, and not two


def layer_cam_elementwise(activations: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM for signed features: the ReLU is on the contribution, not on the gradient.

        M = sum_k relu(g_k * A_k)

    For A >= 0 this is LayerCAM. Known as GradCAMElementWise in pytorch-grad-cam.
    """
    return (gradients * activations).relu().sum(dim=1)


def smooth_checkerboard(gradients: Tensor) -> Tensor:
    """Gradients without the checkerboard that a following layer of stride 2 leaves in them.

    A convolution or pooling of stride 2 reads some places more often than their neighbours, and
    its gradient carries that pattern into every element-wise map. The binomial kernel
    (1 2 1)/4 on both axes removes the alternation of period 2 exactly and shifts nothing; at the
    border the row or column next to it stands in for the missing one. The scale is kept. The
    LayerCAM authors' remark on the artefact: https://github.com/PengtaoJiang/LayerCAM-jittor

    gradients (N, C, H, W) -> (N, C, H, W).
    """
    smoothed = gradients
    for axis in (2, 3):
        length = gradients.shape[axis]
        if length < 2:
            continue
        # (left + 2 * centre + right) / 4 in one new tensor: no padded copy of a large gradient.
        total = 2 * smoothed
        total.narrow(axis, 1, length - 1).add_(smoothed.narrow(axis, 0, length - 1))
        total.narrow(axis, 0, 1).add_(smoothed.narrow(axis, 1, 1))
        total.narrow(axis, 0, length - 1).add_(smoothed.narrow(axis, 1, length - 1))
        total.narrow(axis, length - 1, 1).add_(smoothed.narrow(axis, length - 2, 1))
        smoothed = total.mul_(0.25)
    return smoothed


def checkerboard(gradients: Tensor) -> float:
    """How unevenly a layer of stride 2 reads its input: 1 means evenly, 4 means one place in four.

    The largest of the four phase energies (even or odd row, even or odd column) over their mean,
    from the magnitudes of `gradients` (N, C, H, W). Below 4 x 4 places, or without gradient: 1.
    """
    rows, columns = (length // 2 * 2 for length in gradients.shape[2:])
    if min(rows, columns) < 4:
        return 1.0
    energy = gradients[:, :, :rows, :columns].abs().sum(dim=(0, 1))
    phases = torch.stack([energy[i::2, j::2].sum() for i in (0, 1) for j in (0, 1)])
    mean = phases.mean()
    return float(phases.max() / mean) if mean > 0 else 1.0


@dataclass(frozen=True)
class Evidence:
    """What a gradient is like, whatever is made of it.

    `positive_share`: positive contributions over all, sum relu(g*A) / sum |g*A|; None where
    nothing contributes, or where for and against cancel in sum, which says nothing of the class.
    `cancels`: they do so at every place, as in front of a normalisation of the channels.
    `checkerboard`: see the function.
    """

    zero_gradient: bool
    positive_share: float | None
    cancels: bool
    checkerboard: float


def evidence(activations: Tensor, gradients: Tensor) -> Evidence:
    """Describe a gradient, (N, C, H, W), once for the notes on every map made of it."""
    contributions = gradients * activations
    balances, sizes = contributions.sum(dim=1), contributions.abs_().sum(dim=1)
    size, balance = float(sizes.sum()), float(balances.sum())
    share = (size + balance) / (2 * size) if abs(balance) > _CANCELLED * size else None
    return Evidence(
        zero_gradient=size == 0 and not bool(gradients.any()),
        positive_share=share,
        cancels=bool(_cancels(*_everywhere(balances, sizes)).all()),
        checkerboard=checkerboard(gradients),
    )
