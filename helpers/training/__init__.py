"""Training of any objective: one Lightning module, its callbacks, and resuming."""
