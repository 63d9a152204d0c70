"""Maps that need the features alone, or the features and one weight a channel.

All tensors are (N, C, H, W) in, (N, H, W) out: raw maps, before any ReLU, not normalised.
"""

import torch
from torch import Tensor

# What centring leaves of features that are the same everywhere, relative to their size.
_ROUNDING = 1e-9


def cam(features: Tensor, weights: Tensor) -> Tensor:
    """CAM: the classifier, read at every place before the average is taken.

        M = sum_k w_k * A_k

    features: (N, C, H, W), the map that enters the pooling. weights: (N, C), the class's row of
    the linear classifier; for heads that normalise or transform the pooled vector, their exact
    linearisation at this picture (see `camviz.trace`). mean_hw(M) + bias = logit. The original
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
