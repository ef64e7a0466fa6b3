"""The audio language model: encoder, adapter, chat format, supervised tuning, sampling, GRPO and answer scoring.

Models come from Transformers (extra ``hf``), our own as well as public ones; `auricle.alm.adapter` makes them one.
"""
