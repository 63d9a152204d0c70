"""Maps that need the features alone, or with them weights or directions to compare them with.

All tensors are (N, C, H, W) in, (N, H, W) out: raw maps, before any ReLU, not normalised.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Aggregate = Literal["mean", "max"]

# What centring leaves of features that are the same everywhere, relative to their size.
_ROUNDING = 1e-9
# A mean of unit vectors shorter than this is what rounding leaves where they cancel.
_CANCELLED = 1e-6
# Components this small beside the largest are what rounding makes of a Gram matrix.
_LEAST_COMPONENT = 1e-7


def cam(features: Tensor, weights: Tensor) -> Tensor:
    """CAM: the classifier, read at every place before the average is taken.

        M = sum_k w_k * A_k

    features: (N, C, H, W), the map that enters the pooling. weights: (N, C), the class's row of
    the linear classifier; for heads that normalise or transform the pooled vector, their exact
    linearisation at this picture (`camviz.network.head`). mean_hw(M) + bias = logit. The original
    has no ReLU; it is applied for display only.

    Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016,
    https://arxiv.org/abs/1512.04150
    """
    return torch.einsum("nc,nchw->nhw", weights, features)


def eigen_cam(activations: Tensor) -> Tensor:
    """Eigen-CAM: the pattern that explains most of the features, whatever the class.

        X = A as (H*W, C);   M = s_1 * u_1,  the first left singular vector times its value

    Features that are nowhere negative are not centred: the singular vectors of a non-negative
    matrix can be taken non-negative, so M >= 0 and the sign is certain. Signed features are
    centred over the picture, and the sign is chosen so that M agrees with the activation energy
    sum_k A_k^2. Computed from the smaller Gram matrix, in double precision. Features that are not
    finite give a map that is not.

    Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN
    2020, https://arxiv.org/abs/2008.00299
    """
    samples, _, height, width = activations.shape
    maps = []
    for features in activations.double().flatten(2).transpose(1, 2):  # (H*W, C) each
        if not bool(torch.isfinite(features).all()):
            maps.append(torch.full_like(features[:, 0], torch.nan))
            continue
        signed = bool((features < 0).any())
        matrix = features - features.mean(dim=0) if signed else features
        if matrix.norm() <= _ROUNDING * features.norm():  # the same everywhere: no pattern
            maps.append(torch.zeros_like(features[:, 0]))
            continue
        if matrix.shape[0] <= matrix.shape[1]:
            values, vectors = torch.linalg.eigh(matrix @ matrix.T)
            heat = values[-1].clamp_min(0).sqrt() * vectors[:, -1]
        else:
            heat = matrix @ torch.linalg.eigh(matrix.T @ matrix).eigenvectors[:, -1]
        if signed:
            energy = features.square().sum(dim=1)
            agreement = (heat - heat.mean()) @ (energy - energy.mean())
        else:
            agreement = heat.sum()
        maps.append(heat if agreement >= 0 else -heat)
    return torch.stack(maps).reshape(samples, height, width).to(activations.dtype)


def principal_components(activations: Tensor, count: int = 3) -> Tensor:
    """The directions in which features differ most over a picture: (N, count, H, W).

        X = A as (H*W, C), its mean over the picture taken off;   P_i = s_i * u_i

    u_i: the i-th left singular vector of X, s_i its singular value, greatest first. Of each
    component the place of the greatest magnitude is positive: the decomposition leaves the sign
    open. Zero where the features have no further direction: none beyond min(H*W - 1, C). Computed
    from the smaller Gram matrix, in double precision; features that are not finite give components
    that are not.

    Shown as colours in Oquab et al., "DINOv2: Learning Robust Visual Features without
    Supervision", TMLR 2024, https://arxiv.org/abs/2304.07193
    """
    samples, channels, height, width = activations.shape
    found = activations.new_zeros((samples, count, height * width), dtype=torch.float64)
    for sample, features in zip(found, activations.double().flatten(2).mT, strict=True):
        if not bool(torch.isfinite(features).all()):
            sample.fill_(torch.nan)
            continue
        matrix = features - features.mean(dim=0)
        if matrix.norm() <= _ROUNDING * features.norm():  # the same everywhere
            continue
        if matrix.shape[0] <= channels:
            values, vectors = torch.linalg.eigh(matrix @ matrix.T)
            heats = values.clamp_min(0).sqrt() * vectors
        else:
            heats = matrix @ torch.linalg.eigh(matrix.T @ matrix).eigenvectors
        heats = heats.flip(1)[:, :count].T  # greatest first
        lengths = heats.norm(dim=1, keepdim=True)
        heats = torch.where(lengths > _LEAST_COMPONENT * lengths[0], heats, 0)
        farthest = heats.gather(1, heats.abs().argmax(dim=1, keepdim=True))
        sample[: len(heats)] = torch.where(farthest < 0, -heats, heats)
    return found.reshape(samples, count, height, width).to(activations.dtype)


def cosine_maps(activations: Tensor, prototypes: Tensor) -> Tensor:
    """How like each place is to each of some directions: (N, K, H, W), in [-1, 1].

        S_i = <A, P_i> / (|A| |P_i|),   0 where A or P_i is the zero vector

    activations: (N, C, H, W). prototypes: (K, C), or (N, K, C) for others in every picture. No
    epsilon: the scale of a place does not matter, however small it is.
    """
    samples, _, height, width = activations.shape
    flat = activations.flatten(2)
    # Rescaled first, so that the squares in the norm neither vanish nor overflow.
    flat = flat / _positive(flat.abs().amax(dim=(1, 2), keepdim=True))
    dots = _directions(prototypes) @ flat
    cosines = dots / _positive(flat.norm(dim=1, keepdim=True))
    return cosines.reshape(samples, -1, height, width)


def lp_cam(
    activations: Tensor,
    foreground: Tensor,
    context: Tensor,
    aggregate: Aggregate = "mean",
    rivals: Sequence[Tensor] = (),
) -> Tensor:
    """LPCAM: what is like the parts of the class and unlike what surrounds it.

        M = mean_i cos(A, F_i) - mean_j cos(A, B_j)

    activations: (N, C, H, W). foreground, context: prototypes F and B, (K, C) or (N, K, C) each;
    none of a kind counts as similarity 0. A mean of cosines is linear in A / |A|: one 1 x 1
    convolution, whatever K. aggregate "max" is the nearest prototype of each kind instead, which
    is ours, not the paper's. The paper's equations 5 and 6; ReLU and division are `normalize`'s.

    rivals: the foreground prototypes, (K, C) each, of other classes that the picture may show. What
    is like those is context, too: half of the second term is then the mean over them, each the mean
    cosine (of "max": the greatest) of its prototypes. The paper has none of it.

    Chen and Sun, "Extracting Class Activation Maps from Non-Discriminative Features as well",
    CVPR 2023, https://arxiv.org/abs/2303.10334
    """
    if aggregate == "max":
        around = _nearest(activations, context)
        others = [_nearest(activations, rival) for rival in rivals]
        return _nearest(activations, foreground) - _with_rivals(around, others)
    around = _with_rivals(_average(context), [_average(rival) for rival in rivals])
    direction = _average(foreground) - around
    length = direction.norm(dim=-1)
    length = torch.where(length <= _CANCELLED, 0, length)
    # cosine_maps divides by the length of the direction; the mean of unit vectors keeps its own.
    heat = cosine_maps(activations, direction)[:, 0]
    return heat * length.reshape(-1, 1, 1)


def _with_rivals(context: Tensor, rivals: list[Tensor]) -> Tensor:
    """Context of which half is what speaks for other classes, if there are any."""
    return (context + torch.stack(rivals).mean(dim=0)) / 2 if rivals else context


def _nearest(activations: Tensor, prototypes: Tensor) -> Tensor:
    if prototypes.shape[-2] == 0:
        return torch.zeros_like(activations[:, 0])
    return cosine_maps(activations, prototypes).amax(dim=1)


def _average(prototypes: Tensor) -> Tensor:
    """(..., 1, C): the mean of unit vectors, zero if there are none."""
    count = max(prototypes.shape[-2], 1)
    return _directions(prototypes).sum(dim=-2, keepdim=True) / count


def _directions(vectors: Tensor) -> Tensor:
    """(..., C) of length 1, the zero vector left as it is."""
    scaled = vectors / _positive(vectors.abs().amax(dim=-1, keepdim=True))
    return scaled / _positive(scaled.norm(dim=-1, keepdim=True))


def _positive(lengths: Tensor) -> Tensor:
    """A divisor: a zero, over which only zeros stand, becomes the smallest normal number."""
    return lengths.clamp_min(torch.finfo(lengths.dtype).tiny)
