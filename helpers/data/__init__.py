"""Which tracks and labels a run is about, and whether they are fit for it."""
