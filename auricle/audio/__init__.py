"""Audio files and signals: read, check, resample, level, spectra, channels, noise.

Every decision on bad audio is taken here, once. Only `spectral` imports torch.
"""
