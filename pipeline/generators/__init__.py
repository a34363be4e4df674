"""What makes the candidates of a round: a model, perturbation, fresh starts, or a user's own."""
