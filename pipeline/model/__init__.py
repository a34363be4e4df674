"""The language model: architecture, training, sampling, checkpoints; torch lives here."""
