"""What is said at the end of a training that predicted masked tokens."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from models.tokens.objective import COLLAPSED

log = logging.getLogger(__name__)
LEARNED = 1.1  # x the majority token's accuracy from which on something was learned


def report_tokens(metrics: Mapping[str, float], codes: int) -> None:
    """Log where tokens were not learned, or a codebook says next to nothing. metrics: of the last epoch. codes: of each codebook."""
    if "val_accuracy" not in metrics:
        return
    log.info(
        "Masked tokens of the validation: %.1f %% right; always naming the most frequent token is right in %.1f %%.",
        100 * metrics["val_accuracy"],
        100 * metrics["val_majority"],
    )
    if metrics["val_accuracy"] < LEARNED * metrics["val_majority"]:
        log.warning("The network hardly predicts more than the most frequent tokens: train longer (trainer.max_epochs).")
    for name, text in collapsed_codebooks(metrics, codes).items():
        log.warning("Codebook %s has collapsed: %s.", name, text)


def collapsed_codebooks(metrics: Mapping[str, float], codes: int) -> dict[str, str]:
    """Return, of the codebooks whose tokens are nearly all the same, what to say of them."""
    prefix = "val_perplexity_"
    values = {key.removeprefix(prefix): v for key, v in metrics.items() if key.startswith(prefix) and not key.endswith("_swa")}
    return {
        name: f"its tokens are spread like {value:.1f} of {codes} codes; what it asks for is nearly constant. Look at the statistics that "
        "normalise its target"
        for name, value in values.items()
        if value < max(COLLAPSED * codes, 1.5)
    }
