"""Scoring: transcripts read from any file, their errors with the proof, two systems compared, reports to look at."""
