"""Hypotheses rescored by how their words sound, and names looked up by pronunciation."""
