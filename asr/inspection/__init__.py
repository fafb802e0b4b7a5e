"""Looking inside a model: what its layers do while it hears a recording, how it is built, how far it remembers."""
