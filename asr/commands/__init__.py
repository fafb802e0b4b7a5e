"""The commands, by what they are about; each is thin, and imports what is heavy when it runs."""
