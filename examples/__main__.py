"""python -m examples: which example works where, and what scripts for old versions of Keras have to change."""

from pathlib import Path

from examples.compatibility import NOT_RUN, NOT_WORKING, OLD_WAYS, PLACES

names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_RUN)
print("%-24s" % "example", *["%-10s" % place for place in PLACES])
for name in names:
    print(
        "%-24s" % name,
        *["%-10s" % ("no" if place in NOT_WORKING.get(name, {}) else "yes") for place in PLACES],
    )
for name, places in NOT_WORKING.items():
    for place, reason in places.items():
        print("%s on %s: %s" % (name, place, reason))
print("\nOn Keras 3 instead of")
for what, _, way in OLD_WAYS:
    print("  %s\n      %s" % (what, way))
