"""How heterogeneous are the gradients of the models here, and are the sharp blocks those with the large gradients?

Weighted by gradients, curvature bounds the iterations of gradient descent; weighted by sizes, those of sign updates. The two differ only
where both gradients and curvature differ between blocks, and together. A row a model, each at its initial weights.

    python examples/how_heterogeneous.py
"""

from __future__ import annotations

from dynsim.systems import attention_kernels, cooccurrence, signal_noise
from dynsim.systems.gradient_heterogeneity import Heterogeneity, Transformer, cut_blocks, dense, measure


def compute(d: int = 32) -> dict[str, Heterogeneity]:
    """Return the measures of every model; `d` is the width of the transformers."""
    bags = cooccurrence.dense(cooccurrence.preset("tiny"))
    found = {
        "signal_noise": measure(signal_noise.dense(signal_noise.preset("tiny"), seed=0)),
        "cooccurrence": measure(bags, blocks=cut_blocks(bags, leave_out=("tau",))),  # the clock is no weight
    }
    attention = attention_kernels.dense(attention_kernels.Regression(trained="QKVO"))
    for number, kernel in enumerate(attention.kernels):
        found[f"attention, {kernel.title}"] = measure(attention, blocks=cut_blocks(attention, only=(number, 0)))
    for norm in ("post", "pre", "none"):
        found[f"transformer, {norm}"] = measure(dense(Transformer(norm=norm, d=d)))
    return found


def main() -> None:
    """Print a line a model."""
    print("model                  Gini g  max/min g  Gini h  Lambda_G  Lambda_P  ratio    phi      R  R_exact")
    for name, m in compute().items():
        s = m.scalars()
        print(f"{name:22s} {s['gradient_gini']:6.3f} {s['gradient_max_over_min']:10.3g} {s['hessian_gini']:7.3f} {s['Lambda_G']:9.3g} "
              f"{s['Lambda_P']:9.3g} {s['ratio']:6.2f} {s['phi']:6.3f} {s['R']:6.2f} {s['R_exact']:8.2f}")


if __name__ == "__main__":
    main()
