"""The systems, one folder a paper."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .naming import unknown_name

__all__ = ["SYSTEMS", "system_module"]

SYSTEMS = {
    "signal_noise": "Two-layer transformer on sparse signal-noise data under sign gradient descent (Li et al., arXiv 2410.04870)",
    "cooccurrence": "Gradient flow of a shallow transformer on word co-occurrence (Yang et al., arXiv 2410.09605)",
    "attention_kernels": "Softmax against Gaussian attention kernels under gradient descent (after Song et al., arXiv 2411.07538)",
    "gradient_heterogeneity":
        "Why sign updates beat gradient descent, and when they do not (after Tomihari & Sato, arXiv 2502.00213)",
    "noisy_mnist": "The same transformer on two digits of MNIST with noise (after Fig. 2d of Li et al., arXiv 2410.04870)",
}
"""Systems by name: the registry line a new paper adds."""


def system_module(name: str) -> ModuleType:
    """Return the folder of a system; a ValueError names the nearest valid name."""
    if name not in SYSTEMS:
        raise ValueError(unknown_name("system", name, SYSTEMS))
    return import_module(f"dynsim.systems.{name}")
