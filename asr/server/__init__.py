"""A local HTTP server: OpenAI's transcription API over one recognizer, and a page to use it with."""
