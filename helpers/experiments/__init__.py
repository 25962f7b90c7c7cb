"""Sacred: the experiment, run folders, records, provenance. Nothing else below the scripts knows Sacred."""
