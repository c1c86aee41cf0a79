"""Speed and memory. `nox -s bench-…` runs scenarios × implementations side by side and writes rows: see measure.py.

`studies/` holds the measurements of one question each. `results/` keeps rows that the documentation shows.
"""
