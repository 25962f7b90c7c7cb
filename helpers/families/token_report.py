"""What is said at the end of a training that predicted masked tokens."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from models.tokens.objective import COLLAPSED

log = logging.getLogger(__name__)
LEARNED = 1.1  # x the majority token's accuracy from which on something was learned
USUAL_NOTES = 2  # of a training; what follows them is a warning


def token_notes(metrics: Mapping[str, float], codes: int) -> list[str]:
    """Return sentences: how many tokens are right, how evenly codes are used; then which codebooks say next to nothing.

    metrics: of the last epoch; [] where they have no accuracy of tokens. codes: of each codebook.
    """
    if "val_accuracy" not in metrics:
        return []
    right, most = metrics["val_accuracy"], metrics["val_majority"]
    how = "less often" if right < most else "no more often" if right == most else "hardly more often"
    spread = ", ".join(f"{name} {value:.1f}" for name, value in _perplexities(metrics).items())
    learned = right >= LEARNED * most
    return [
        f"Masked tokens of the validation: {100 * right:.1f} % right; always naming the most frequent token is right in {100 * most:.1f} %.",
        f"Tokens are spread like this many of {codes} codes (perplexity): {spread}.",
        *([] if learned else [f"The network is {how} right than always naming the most frequent token: train longer."]),
        *(f"Codebook {name} has collapsed: {text}." for name, text in collapsed_codebooks(metrics, codes).items()),
    ]


def report_tokens(metrics: Mapping[str, float], codes: int) -> None:
    """Log the notes: what was learned, and as warnings that it was not, or that a codebook says next to nothing."""
    for number, note in enumerate(token_notes(metrics, codes)):
        log.log(logging.INFO if number < USUAL_NOTES else logging.WARNING, "%s", note)


def collapsed_codebooks(metrics: Mapping[str, float], codes: int) -> dict[str, str]:
    """Return, of the codebooks whose tokens are nearly all the same, what to say of them."""
    return {
        name: f"its tokens are spread like {value:.1f} of {codes} codes; what it asks for is nearly constant. Look at the statistics that "
        "normalise its target"
        for name, value in _perplexities(metrics).items()
        if value < max(COLLAPSED * codes, 1.5)
    }


def _perplexities(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return perplexity by codebook."""
    prefix = "val_perplexity_"
    return {key.removeprefix(prefix): v for key, v in metrics.items() if key.startswith(prefix) and not key.endswith("_swa")}
