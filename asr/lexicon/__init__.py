"""Pronunciation lexicons: how words are said, in phones; read, written, checked, built."""
