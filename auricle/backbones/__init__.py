"""Pretrained models behind one small interface each, with a tiny random build of the same class.

Together with the audio language model this is the only room that imports Transformers (extra ``hf``), and it does so
when a model is built, not when it is imported.
"""
