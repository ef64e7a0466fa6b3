"""Blocks of networks that several systems share: norms, convolutions, attention, pooling, state-space mixers, experts."""
