"""What is known, and what is claimed."""
