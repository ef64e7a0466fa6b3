"""Vocoders: from a log-mel to a waveform. `bigvgan` reads the published BigVGAN-v2 generators."""
