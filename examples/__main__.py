"""python -m examples: which example works where, in whose ways it is written, and what old scripts have to change."""

from pathlib import Path

from examples.compatibility import NOT_RUN, NOT_WORKING, PLACES, PUBLISHED

names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_RUN)
print("%-30s" % "example", *["%-10s" % place for place in PLACES])
for name in names:
    print(
        "%-30s" % name,
        *["%-10s" % ("no" if place in NOT_WORKING.get(name, {}) else "yes") for place in PLACES],
    )
for name, places in NOT_WORKING.items():
    for place, reason in places.items():
        print(f"{name} on {place}: {reason}")
print("\n%-46s%-30s%s" % ("published with bert4keras", "written like it here", "works with Keras 3 on"))
for script, name in PUBLISHED.items():
    working = [place for place in PLACES[2:] if place not in NOT_WORKING.get(name, {})]
    print("%-46s%-30s%s" % (script, name, ", ".join(working)))
print("\nWhat a script of your own has to change: python -m bert4keras3.migrate SCRIPT")
