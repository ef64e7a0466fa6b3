"""State-space mixers: Mamba, Mamba2, Hydra, Gated DeltaNet, and pairs of them that run in both directions.

Each mixer takes (B, T, D) frames and a mask and offers several forms of one computation: a plain recurrence (the
definition), a dual form (one matrix over all pairs of frames) where one exists, and a chunked form.
"""
