"""Where weights are: cards, downloads, checkpoints."""
