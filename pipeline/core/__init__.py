"""What everything else is built of: bit sets, populations, symmetry, random streams."""
