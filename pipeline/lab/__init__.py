"""The lecture as a laboratory: toy rules that the pipeline's own model learns."""
