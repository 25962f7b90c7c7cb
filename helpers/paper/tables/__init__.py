"""The tables, a module for a few of a kind. A module with a function under `@table` is a table; that is all a new table takes."""
