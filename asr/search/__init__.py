"""Beam search: from a matrix of log-probabilities to the likeliest token sequences, with a language model."""
