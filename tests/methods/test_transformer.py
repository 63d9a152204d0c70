"""camviz.methods.attention: each formula a second time, token by token, and toys done by hand."""

import itertools

import pytest
import torch

from camviz.methods.attention import attn_lrp, daam, gae, rollout
from tests.support.tensors import close64, noise64

BLOCKS, HEADS, TOKENS, WIDTH = 3, 2, 5, 4


def blocks(seed=0, samples=2):
    """(attention, dy/dattention, values, dy/doutput) of each block, random."""
    found = []
    for block in range(BLOCKS):
        of = 10 * seed + 4 * block
        attention = noise64((samples, HEADS, TOKENS, TOKENS), of).softmax(dim=-1)
        found.append(
            (
                attention,
                noise64(attention.shape, of + 1),
                noise64((samples, HEADS, TOKENS, WIDTH), of + 2),
                noise64((samples, HEADS, TOKENS, WIDTH), of + 3),
            )
        )
    return [list(each) for each in zip(*found, strict=True)]


def readers(*tokens, samples=2):
    weights = torch.zeros(samples, TOKENS, dtype=torch.float64)
    weights[:, list(tokens)] = 1 / len(tokens)
    return weights


READERS = [(0,), (0, 1), (1, 2, 3, 4)]


def slow_rollout(attention, sample, tokens):
    total = torch.eye(TOKENS, dtype=torch.float64)
    for block in attention:
        mean = sum(block[sample, h] for h in range(HEADS)) / HEADS
        total = (mean + torch.eye(TOKENS, dtype=torch.float64)) / 2 @ total
    return sum(total[r] for r in tokens) / len(tokens)


def slow_gae(attention, gradients, sample, tokens):
    total = torch.eye(TOKENS, dtype=torch.float64)
    for block, gradient in zip(attention, gradients, strict=True):
        raised = torch.zeros(TOKENS, TOKENS, dtype=torch.float64)
        for h, i, j in itertools.product(range(HEADS), range(TOKENS), range(TOKENS)):
            raised[i, j] += max(float(gradient[sample, h, i, j] * block[sample, h, i, j]), 0)
        total = total + raised / HEADS @ total
    return sum(total[r] for r in tokens) / len(tokens)


def slow_daam(attention, values, gradients, sample, tokens):
    heat = [0.0] * TOKENS
    for block, value, gradient in zip(attention, values, gradients, strict=True):
        for r, j in itertools.product(tokens, range(TOKENS)):
            taken = 0.0
            for h, d in itertools.product(range(HEADS), range(WIDTH)):
                raising = max(float(gradient[sample, h, r, d]), 0)
                taken += float(block[sample, h, r, j]) * raising * float(value[sample, h, j, d])
            heat[j] += max(taken, 0) / len(tokens)
    return torch.tensor(heat, dtype=torch.float64)


@pytest.mark.parametrize("tokens", READERS)
@pytest.mark.parametrize("seed", range(3))
class TestDefinitions:
    def test_rollout(self, tokens, seed):
        attention, *_ = blocks(seed)
        found = rollout(attention, readers(*tokens))
        for sample in range(2):
            close64(found[sample], slow_rollout(attention, sample, tokens))

    def test_gae(self, tokens, seed):
        attention, gradients, *_ = blocks(seed)
        found = gae(attention, gradients, readers(*tokens))
        for sample in range(2):
            close64(found[sample], slow_gae(attention, gradients, sample, tokens))

    def test_daam(self, tokens, seed):
        attention, _, values, gradients = blocks(seed)
        found = daam(attention, values, gradients, readers(*tokens))
        assert (found > 0).any()
        for sample in range(2):
            close64(found[sample], slow_daam(attention, values, gradients, sample, tokens))

    def test_the_number_of_blocks_is_free(self, tokens, seed):
        attention, _, values, outputs = blocks(seed)
        one = readers(*tokens)
        close64(rollout([], one), one)
        close64(gae([], [], one), one)
        close64(daam([], [], [], one), one * 0)
        more = daam(attention, values, outputs, one) - daam(
            attention[:-1], values[:-1], outputs[:-1], one
        )
        close64(more, daam(attention[-1:], values[-1:], outputs[-1:], one))


def test_two_blocks_by_hand():
    """One head, a class token and two places."""
    first = torch.tensor([[[[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]])
    second = torch.tensor([[[[0.2, 0.8, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]]])
    ones = torch.ones_like(first)
    reader = torch.tensor([[1.0, 0.0, 0.0]])
    # First block: the class token becomes (.75, .125, .125) of the tokens, the places stay.
    # Second: half of itself and half of (.2, .8, 0) of those: .6 of that and .4 of place 1.
    torch.testing.assert_close(
        rollout([first, second], reader), torch.tensor([[0.45, 0.475, 0.075]])
    )
    # R_1 = I + A_1; row 0: (1.5, .25, .25). R_2 row 0: that + .2 row 0 + .8 row 1 (0, 2, 0).
    torch.testing.assert_close(
        gae([first, second], [ones, ones], reader), torch.tensor([[1.8, 1.9, 0.3]])
    )
    # What lowers the score is left out: place 2 of the first block.
    lowers = ones.clone()
    lowers[0, 0, 0, 2] = -1
    torch.testing.assert_close(
        gae([first, second], [lowers, ones], reader), torch.tensor([[1.8, 1.9, 0.0]])
    )
    # DAAM with one channel: values (1, 2, -3), slopes 1 and 0.5.
    values = torch.tensor([[[[1.0], [2.0], [-3.0]]]])
    slopes = [torch.full((1, 1, 3, 1), slope) for slope in (1.0, 0.5)]
    torch.testing.assert_close(
        daam([first, second], [values, values], slopes, reader),
        torch.tensor([[0.5 + 0.1, 0.5 + 0.8, 0.0]]),
    )


def test_a_permutation_of_the_tokens_permutes_the_result():
    order = torch.tensor([0, 3, 1, 4, 2])
    attention, gradients, values, outputs = blocks()
    square = [[each[:, :, order][:, :, :, order] for each in row] for row in (attention, gradients)]
    rows = [[each[:, :, order] for each in row] for row in (values, outputs)]
    one = readers(0)
    close64(rollout(square[0], one), rollout(attention, one)[:, order])
    close64(gae(*square, one), gae(attention, gradients, one)[:, order])
    close64(daam(square[0], *rows, one), daam(attention, values, outputs, one)[:, order])


def test_rollout_sums_to_one_and_nothing_is_changed_in_place():
    given = blocks()
    before = [[each.clone() for each in row] for row in given]
    attention, gradients, values, outputs = given
    one = readers(0)
    close64(rollout(attention, one).sum(dim=1), torch.ones(2, dtype=torch.float64))
    gae(attention, gradients, one), daam(attention, values, outputs, one)
    assert (one == readers(0)).all()
    for row, was in zip(given, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(row, was, strict=True))


def test_a_score_that_attention_does_not_raise_gives_the_reading_tokens_alone():
    attention, gradients, values, outputs = blocks()
    nothing = [each * 0 for each in gradients]
    close64(gae(attention, nothing, readers(0)), readers(0))
    close64(daam(attention, values, [each * 0 for each in outputs], readers(0)), readers(0) * 0)


def test_relevance_is_input_times_gradient():
    x, g = noise64((2, 3, 4)), noise64((2, 3, 4), 1)
    wanted = [[sum(x[n, i, d] * g[n, i, d] for d in range(4)) for i in range(3)] for n in range(2)]
    close64(attn_lrp(x, g), torch.tensor(wanted, dtype=torch.float64))
