"""The order of the gallery: from the main figure to a system of one's own."""

from __future__ import annotations

EXAMPLES = (
    "four_stages", "one_step", "gradient_by_hand", "check_your_derivation", "exact_lumping", "signs_that_survive",
    "a_claim_of_your_own", "verdicts_over_seeds", "where_a_lemma_begins", "phase_of_a_lemma", "power_law", "scaled_logits",
    "three_tokens", "rules_side_by_side", "adam_that_forgets", "is_it_only_the_noise", "noisy_digits",
    "conserved_by_the_flow", "flow_without_parameters", "how_wide_is_infinite",
    "values_alone", "which_kernel_gets_stuck",
    "when_signs_win", "how_heterogeneous", "classes_that_drift",
    "your_own_system", "weights_from_elsewhere", "figures_for_a_paper",
)
"""Files of examples/, one idea each."""


class InOrder:
    """Key by which sphinx-gallery sorts examples; it is made of the folder's path and called with a file's name.

    Raises
    ------
    ValueError
        For an example that `EXAMPLES` leaves out.
    """

    def __init__(self, src_dir: str) -> None:
        self.src_dir = src_dir

    def __call__(self, filename: str) -> int:
        """Return the place of an example."""
        name = filename.removesuffix(".py")
        if name not in EXAMPLES:
            raise ValueError(f"examples/{filename} has no place in the gallery: put it into EXAMPLES of docs/_ext/order.py")
        return EXAMPLES.index(name)

    def __repr__(self) -> str:
        return type(self).__name__  # the same in every build, so that nothing is drawn anew for it
