"""The claims harness: arms at equal budget, seeds, statistics, and a rule that was written before the run.

It knows no system. A system's ``claims.py`` gives `Claim` objects whose functions train and measure; `runner` runs
them, `results` writes down what came out.
"""
