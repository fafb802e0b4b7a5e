"""From letters to phones: how a word that no dictionary has is said."""
