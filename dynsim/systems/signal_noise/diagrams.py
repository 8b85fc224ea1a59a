"""Phase diagrams of the paper's lemmas: over which part of a plane of two variables a group of claims is within tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi, sqrt
from typing import Any

from ...phase import Axis, Diagram
from ...sweep import geometric
from .presets import experiment

__all__ = ["DIAGRAMS"]

# without the preset's step at which noise signs are classified, 100: with many rows key noise has turned by then; 0.7 T_key it is
_DISJOINT = experiment("figure3_disjoint").replace(options={})
_BASE = _DISJOINT.replace(setting=_DISJOINT.setting.replace(d=100_000_000))  # so many coordinates that every n s fits
_OVERLAPPING = experiment("figure3").replace(options={})


def _a(point: Mapping[str, Any]) -> float:
    """Typical l1 norm of a noise token, as in the predictions."""
    return point["sigma_p"] * point["s"] * sqrt(2.0 / pi)


def _noise(point: Mapping[str, Any]) -> float:
    """Typical l2 norm of a noise token."""
    return point["sigma_p"] * sqrt(point["s"])


_S = Axis("s", "non-zero coordinates of a noise token, $s$")
_N = Axis("n", "training samples, $n$")
_M_K = Axis("m_k", "rows of $W_Q$ and $W_K$, $m_k$")
_START = Axis("sigma_0/lr", r"initial weights in steps, $\sigma_0 / \eta$", ("sigma_0",), lambda p: p["sigma_0"] / p["lr"])
_SIGNAL = Axis("mu_norm/a", r"signal against noise, $\|\mu\| / a$", ("mu_norm", "s"), lambda p: p["mu_norm"] / _a(p))
_SNR = Axis("snr", r"signal-to-noise ratio, $\|\mu\| / (\sigma_p \sqrt{s})$", ("mu_norm",), lambda p: p["mu_norm"] / _noise(p))

_LENGTHS = (5, 10, 20, 40, 80)


def _starts(low: float, high: float, count: int) -> tuple[float, ...]:
    """Standard deviations of the initial weights, given in steps."""
    return tuple(float(f"{_BASE.optimizer.lr * steps:.12g}") for steps in geometric(low, high, count))


DIAGRAMS: Mapping[str, Diagram] = {diagram.name: diagram for diagram in (
    Diagram(
        "value",
        "Lemma 4.1 (the paper's; factor derived and threshold chosen here) as the signal comes near the size of a noise token: the ratio "
        "of growth is a_i/|mu| all the same, but Stage I lasts longer, and where |mu| exceeds an a_i it may never end.",
        _BASE, _SIGNAL, _S,
        tuple({"s": s, "mu_norm": ratio * _a({"sigma_p": _BASE.setting.sigma_p, "s": s})}
              for s in _LENGTHS for ratio in geometric(0.16, 1.28, 7)),
        ("lemma_4_1_value_noise", "lemma_4_1_key_noise_still", "t_one"), ("lemma_4_1_value_noise", "lemma_4_1_key_noise_still", "stages"),
    ),
    Diagram(
        "alignment",
        "Lemmas 4.2 and 4.3 (the paper's; sign rules, times and levels derived or chosen here): the sign rules need initial noise of "
        "many steps, and all pairs agree in time where noise tokens are short and initial noise is small against T_key.",
        _BASE, _START, _S, {"s": _LENGTHS, "sigma_0": _starts(3.75, 240.0, 7)},
        ("lemma_4_2_sign_rule", "sign_rule_refined", "lemma_4_2_alignment", "lemma_4_3_alignment_complete", "lemma_4_3_half_positive",
         "lemma_4_3_scale"),
    ),
    Diagram(
        "vote",
        "Lemma 4.4 (the paper's; its content and levels are the reading here): signals follow the vote of the noise, and softmax outputs "
        "are near 1/2 when Stage III begins, if initial weights are small against the clock.",
        _BASE, _START, _N, {"n": (5, 10, 20, 40, 80), "sigma_0": _starts(3.75, 240.0, 7)},
        ("lemma_4_4_query_vote", "lemma_4_4_key_vote", "lemma_4_4_softmax_half"),
    ),
    Diagram(
        "turns",
        "Lemmas 4.5 to 4.8 (the paper's; rates and times derived here): decay, turns and agreement of Stage IV, which large initial "
        "weights disturb, the sooner the more rows there are.",
        _BASE, _START, _M_K, {"m_k": (25, 50, 100, 200, 400), "sigma_0": _starts(7.5, 960.0, 8)},
        ("lemma_4_5_logit_slope", "lemma_4_5_s21_small", "lemma_4_5_s11_near_half", "lemma_4_6_key_turn", "lemma_4_6_key_agrees",
         "lemma_4_7_query_turn", "lemma_4_7_query_agrees", "lemma_4_8_end"),
    ),
    Diagram(
        "memorisation",
        "Theorem 3.2 (the paper's; levels chosen here) at d = 2000 with overlapping supports: the training loss falls whatever the signal, "
        "the test loss stays near log 2 where that is weak, and attention turns to the noise until |mu| comes near the size of a_i.",
        _OVERLAPPING, _SNR, _N,
        {"n": (5, 10, 20, 40), "mu_norm": tuple(snr * _noise(_OVERLAPPING.setting.to_dict()) for snr in geometric(0.0625, 4.0, 7))},
        ("theorem_3_2_loss", "theorem_3_2_attention", "theorem_3_2_test_loss", "test_loss@t_loss", "test_error@t_loss"),
        ("theorem_3_2_loss", "theorem_3_2_attention", "theorem_3_2_test_loss", "test"),
    ),
)}
"""Built-in diagrams by name, one a group of lemmas; each takes less than a minute or so on two cores."""
