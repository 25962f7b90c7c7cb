"""How scores and tracks are shown: charts, tables, pages."""
