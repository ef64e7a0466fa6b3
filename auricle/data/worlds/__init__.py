"""Worlds: procedural data whose truth is known for every sample, so that a claim can be tested with a known answer."""
