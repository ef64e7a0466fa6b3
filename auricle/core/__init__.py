"""Errors, configs, run folders, report data, seeds and names: the ground floor.

Nothing here imports torch, so that looking (`auricle list`, `auricle --help`) is instant.
"""
