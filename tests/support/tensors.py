"""Tensors for tests: noise that is the same every time, and comparisons of two tensors."""

import torch


def generator(seed):
    """A generator of random numbers of its own."""
    return torch.Generator().manual_seed(seed)


def noise(shape, seed=0, dtype=torch.float32):
    """Normal random numbers."""
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def noise64(shape, seed=0, dtype=torch.float64):
    """Normal random numbers in double precision."""
    return noise(shape, seed, dtype)


def close(actual, expected, tolerance=1e-5):
    """Equal up to a relative or absolute tolerance."""
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def close64(actual, expected, tolerance=1e-12):
    """Equal as far as double precision goes."""
    close(actual, expected, tolerance)


def close_to_scale(actual, expected, tolerance=1e-5):
    """Equal up to a share of the largest value."""
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


def same(actual, expected):
    """Equal to the bit, and of one type."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
