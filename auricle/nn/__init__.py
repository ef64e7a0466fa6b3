"""Blocks of networks that several systems share: norms, convolutions, attention, pooling and state-space mixers."""
