"""The lecture as a laboratory: toy rules that the product's own model learns; see `pipeline lab`."""
