"""Published data sets: their tables, downloads, archives."""
