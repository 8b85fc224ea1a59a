"""The transformer on general tokens: L >= 2 tokens a sample, every token arbitrary. Derivation: docs/derivations/general_tokens.md."""

from .data import TokenData, draw_tokens, initial_weights
from .model import TOKEN_OBSERVABLES, TokenTransformer, from_tokens

__all__ = ["TOKEN_OBSERVABLES", "TokenData", "TokenTransformer", "draw_tokens", "from_tokens", "initial_weights"]
