"""Any network, changed or wrapped: refused by the true cause, or explained as autograd has it.

A seeded sweep of bounded size; benchmarks/any_network.py runs the same at any size.
"""

import pytest

from tests.support.perturb import check_case, draw_case

# One of each layout and kind of head among timm's own test architectures.
ARCHITECTURES = (
    "test_resnet",
    "test_vit",
    "test_vit4",
    "test_convnext",
    "test_efficientnet",
    "test_mambaout",
    "test_nfnet",
    "test_byobnet",
)
CASES = 36


@pytest.mark.sampled(12)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quant")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("seed", range(CASES))
def test_a_network_is_explained_or_the_cause_is_named(seed, photo):
    check_case(draw_case(seed, ARCHITECTURES), photo)


def test_the_sweep_holds_both():
    cases = [draw_case(seed, ARCHITECTURES) for seed in range(CASES)]
    refused = [case for case in cases if case.cause is not None]
    assert 8 <= len(refused) <= CASES - 8
    assert {case.architecture for case in cases} == set(ARCHITECTURES)
