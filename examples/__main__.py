"""python -m examples: which example works where, in whose ways it is written, and what old scripts have to change."""

from pathlib import Path

from examples.compatibility import NOT_RUN, NOT_WORKING, PLACES, PUBLISHED

names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_RUN)
print(f"{'example':<30}", *[f"{place:<10}" for place in PLACES])
for name in names:
    print(
        f"{name:<30}",
        *[f"{'no' if place in NOT_WORKING.get(name, {}) else 'yes':<10}" for place in PLACES],
    )
for name, places in NOT_WORKING.items():
    for place, reason in places.items():
        print(f"{name} on {place}: {reason}")
print(f"\n{'published with bert4keras':<46}{'written like it here':<30}{'works with Keras 3 on'}")
for script, name in PUBLISHED.items():
    working = [place for place in PLACES[2:] if place not in NOT_WORKING.get(name, {})]
    print(f"{script:<46}{name:<30}{', '.join(working)}")
print("\nWhat a script of your own has to change: python -m bert4keras3.migrate SCRIPT")
