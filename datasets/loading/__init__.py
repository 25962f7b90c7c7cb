"""Tracks to batches: data modules, loaders, samplers, clips."""
