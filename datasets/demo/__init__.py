"""Procedural music with labels one can hear."""
