"""MoE-Adapter (arXiv 2601.02967): one ear for speech, music and sound. Its task world; the rest of it is to come."""
