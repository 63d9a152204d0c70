"""Maps of transformers, from what their tokens attend to.

    from camviz.methods.attention import gae
    relevance = gae(attention, gradients, readers)      # (N, tokens)

`attention`: alpha of each block up to the one that is explained, shallow to deep,
(N, heads, n, n): row i holds how much token i reads of each token, and sums to 1.
`attention_gradients`: dy/dalpha, of the same shapes. `values`: V, and `output_gradients`: dy/dT for
T = alpha V, both (N, heads, n, d). `readers`, (N, n): the tokens from which the head reads, as
weights that sum to 1; the class token alone in most networks, all places where it averages them.
Results are of tokens, (N, n), without normalisation; those of places become a map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def rollout(attention: Sequence[Tensor], readers: Tensor) -> Tensor:
    """Attention rollout: how much of each token reaches the head if attention alone moved it.

        R <- (mean_h alpha_b + I) / 2 @ R at each block b,  R = I at first;   M = mean_r R_r

    alpha_b: the attention of block b; r: the reading tokens. The residual stream counts half. The
    same for every class.

    Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020,
    https://arxiv.org/abs/2005.00928
    """
    relevance = readers
    for weights in reversed(attention):  # from the reading tokens down: vectors, no matrices
        relevance = (_read(weights, relevance) + relevance) / 2
    return relevance


def gae(
    attention: Sequence[Tensor], attention_gradients: Sequence[Tensor], readers: Tensor
) -> Tensor:
    """Generic attention explainability: attention that raises the score, block after block.

        R <- R + mean_h relu(g_b * alpha_b) @ R at each block b,  R = I at first;   M = mean_r R_r

    alpha_b: the attention of block b; g_b = dy/dalpha_b; r: the reading tokens.

    Chefer, Gur and Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and
    Encoder-Decoder Transformers", ICCV 2021, https://arxiv.org/abs/2103.15679
    """
    relevance = readers
    for weights, gradient in zip(reversed(attention), reversed(attention_gradients), strict=True):
        relevance = relevance + _read((weights * gradient).relu_(), relevance)
    return relevance


def daam(
    attention: Sequence[Tensor],
    values: Sequence[Tensor],
    output_gradients: Sequence[Tensor],
    readers: Tensor,
) -> Tensor:
    """DAAM: what the reading tokens take from each token, by the channels that raise the score.

        M = sum_b mean_r relu(sum_h alpha_b * sum_d relu(c_b) * V_b)

    At token j: alpha_b[h, r, j], c_b[h, r, d] = dy/dT_b and V_b[h, j, d]. r: the reading tokens, of
    which the paper has one, the class token.

    Liao, Gao and Zhang, "Dynamic Accumulated Attention Map for Interpreting Evolution of
    Decision-making in Vision Transformer", Pattern Recognition 2025,
    https://arxiv.org/abs/2503.14640
    """
    total = torch.zeros_like(readers)
    for weights, value, gradient in zip(attention, values, output_gradients, strict=True):
        for sample, row in enumerate(readers):
            reading = row.nonzero().flatten()
            raising = gradient[sample, :, reading].relu() @ value[sample].transpose(-2, -1)
            taken = (weights[sample, :, reading] * raising).sum(dim=0).relu()
            total[sample] += row[reading] @ taken
    return total


def attn_lrp(tokens: Tensor, token_gradients: Tensor) -> Tensor:
    """AttnLRP: what each token adds to the score, by layer-wise relevance propagation.

        M = sum_d x_d * g_d

    tokens: x, what enters a block, (N, n, d). token_gradients: g, its gradient by the rules of
    `camviz.network.relevance`.

    Achtibat et al., "AttnLRP: Attention-Aware Layer-wise Relevance Propagation for Transformers",
    ICML 2024, https://arxiv.org/abs/2402.05602
    """
    return (tokens * token_gradients).sum(dim=2)


def _read(matrices: Tensor, rows: Tensor) -> Tensor:
    """mean_h rows @ matrices_h, (N, n): head by head, so that no matrix is copied.

    matrices: (N, heads, n, n). rows: (N, n).
    """
    return (rows[:, None, None] @ matrices).mean(dim=1)[:, 0]
