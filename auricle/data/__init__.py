"""Manifests, the embedded corpus and spoofed speech."""
