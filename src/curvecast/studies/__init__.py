"""Hyper-parameter studies: BOHB, Hyperband and random search over objectives of this project."""
