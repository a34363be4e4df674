"""Runs and constructions on the disk."""
