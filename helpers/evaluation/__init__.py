"""Many probes as one experiment: sweeps, few labels, fine-tuning, baselines, cross-validation, studies."""
