"""A generate-filter-retrain search pipeline for extremal combinatorics."""

__version__ = "0.1.0"
