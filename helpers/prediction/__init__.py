"""Audio files to tags, tables, pages and neighbours."""
