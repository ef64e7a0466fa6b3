"""Metrics of the field, NumPy in and numbers out: two-class detection, its intervals, calibration and score files.

Nothing here imports torch. Higher scores mean more bona fide.
"""
