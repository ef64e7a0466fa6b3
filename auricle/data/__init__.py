"""Data: manifests, the embedded corpus, spoofed speech. Lhotse CutSets in, Lhotse CutSets out."""
