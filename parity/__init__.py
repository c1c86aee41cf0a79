"""The proof: cases (data) → record (inside a pairing) → compare with the goldens (NumPy only).

What runs inside a pairing is `record`, in Python 3.7 syntax with NumPy and the framework; processes meet as
files: goldens in `goldens/`, records in `results/records/<pairing>/`.
"""
