"""Work shared out: processes of this machine, clusters, plans of shards, files' marks."""
