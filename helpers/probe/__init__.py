"""One head on one split of embeddings."""

from ..extraction.tokens import select_tokens

__all__ = ["select_tokens"]
