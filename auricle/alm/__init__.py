"""The audio language model: encoder, interface, chat format, supervised tuning, sampling, GRPO and answer scoring.

Models come from Transformers (extra ``hf``), our own as well as public ones. `interface.AudioLanguageModel` makes them
one.
"""
