"""Configurations compared at equal CPU time."""
