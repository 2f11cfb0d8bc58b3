"""Recipes, tuning and ablations: decoding and scoring many times over."""
