"""Blocks of networks for several systems: norms, convolutions, attention, pooling, state-space mixers, experts."""
