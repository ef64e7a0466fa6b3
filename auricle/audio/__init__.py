"""Audio files and signals: read, check, resample, level, spectra, channels, noise, many files at once.

Every decision on bad audio is taken here, once. Only `spectral` and `ahead` import torch.
"""
