"""The search of a bisect: it finds the first bad candidate in few steps, and says what it does not know."""

import random
import subprocess
from math import ceil, log2

import pytest

from reports.bisection import candidates
from reports.bisection.search import FLICKERS, Answer, EndsDiffer, Log, Run, Search

TRIALS = 30


class Memory(Log):
    """A log without a file."""

    def __init__(self):
        self.runs = []

    def add(self, run):
        self.runs.append(run)


def names(count):
    return [str(i) for i in range(count)]


class Program:
    """Judges numbers; keeps whom it judged."""

    def __init__(self, run):
        self.run, self.judged = run, []

    def __call__(self, name):
        self.judged.append(int(name))
        return self.run(int(name))


def search(count, run, path=None, **options):
    program = Program(run)
    one = Search(Log(path) if path else Memory(), program, "0", str(count - 1), **options)
    one.check_ends()
    return one, program


def fails_from(first, absent=()):
    return lambda i: Run(str(i), None if i in absent else i >= first, absent=i in absent)


def flickers_from(first, share, dice, bad=99):
    return lambda i: Run(str(i), i >= bad or (i >= first and dice.random() < share))


def slower_from(first, ratio, noise, dice):
    return lambda i: Run(str(i), None, dice.lognormvariate(0, noise) * (ratio if i >= first else 1))


@pytest.mark.parametrize("count", [2, 3, 4, 5, 9, 17, 30])
def test_every_culprit_is_found_in_a_binary_search(count):
    for first in range(1, count):
        one, program = search(count, fails_from(first))
        assert one.find(names(count)) == Answer(str(first - 1), str(first), [])
        between = set(program.judged) - {0, count - 1}
        assert len(between) <= ceil(log2(count - 1)), f"{between} of {count} for {first}"


def test_candidates_that_cannot_be_installed_are_gone_round():
    one, program = search(9, fails_from(6, absent={4, 5}))
    assert one.find(names(9)) == Answer("3", "6", ["4", "5"])
    assert program.judged.count(4) == 1


def test_a_candidate_that_cannot_be_installed_does_not_hide_another():
    one, _ = search(9, fails_from(6, absent={4}))
    assert one.find(names(9)) == Answer("5", "6", [])


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_a_flicker_is_found(share):
    found = []
    for seed in range(TRIALS):
        dice = random.Random(seed)
        first = dice.randrange(1, 9)
        try:
            one, _ = search(9, flickers_from(first, share, dice))
            found.append(one.find(names(9)) == Answer(str(first - 1), str(first), []))
        except EndsDiffer:
            found.append(False)
    assert sum(found) >= 0.9 * TRIALS, f"{sum(found)} of {TRIALS}"


def test_a_good_candidate_that_fails_at_times_stays_good():
    for seed in range(TRIALS):
        one, _ = search(9, flickers_from(0, 0.05, random.Random(seed), bad=5))
        assert one.find(names(9)) == Answer("4", "5", [])


def test_a_speed_is_found_in_its_noise():
    found = []
    for seed in range(TRIALS):
        dice = random.Random(seed)
        first = dice.randrange(1, 9)
        one, _ = search(9, slower_from(first, 1.1, 0.03, dice))
        found.append(one.find(names(9)) == Answer(str(first - 1), str(first), []))
    assert sum(found) >= 0.95 * TRIALS, f"{sum(found)} of {TRIALS}"


def test_something_faster_is_found_too():
    one, _ = search(9, slower_from(3, 0.8, 0.02, random.Random(0)))
    assert one.find(names(9)) == Answer("2", "3", [])


def test_noise_alone_is_nothing_to_search():
    alarms = 0
    for seed in range(TRIALS):
        try:
            search(9, slower_from(99, 1, 0.05, random.Random(seed)), most=24)
            alarms += 1
        except EndsDiffer:
            pass
    assert alarms <= 2, f"{alarms} of {TRIALS} A/A runs"


@pytest.mark.parametrize("first", [0, 99], ids=["both bad", "both good"])
def test_equal_ends_are_nothing_to_search(first):
    with pytest.raises(EndsDiffer, match="given as good: .* given as bad: "):
        search(9, fails_from(first))


def test_reversed_ends_are_nothing_to_search():
    with pytest.raises(EndsDiffer, match="0, given as good: 3 of 3 runs failed"):
        search(9, lambda i: Run(str(i), i < 4))


def test_an_end_that_cannot_be_installed_is_said():
    with pytest.raises(EndsDiffer, match="the end 8 could not be judged: no wheel"):
        search(9, lambda i: Run(str(i), False, note="no wheel", absent=i == 8))


def test_one_run_of_each_is_enough_if_asked_for():
    one, program = search(9, fails_from(4), most=1)
    assert one.find(names(9)) == Answer("3", "4", [])
    assert max(program.judged.count(i) for i in range(9)) == 1


def test_a_step_that_stays_undecided_is_said():
    """Each second run of it fails, and the ends do not."""
    counts = {}

    def run(i):
        counts[i] = counts.get(i, 0) + 1
        return Run(str(i), i > 4 or (i == 4 and counts[i] % 2 == 0))

    one, _ = search(9, run, most=6)
    assert one.find(names(9)) == Answer("3", "5", ["4"])
    assert one.verdict("4") == FLICKERS


def test_a_crash_says_nothing_about_a_speed():
    slow = slower_from(6, 1.5, 0.01, random.Random(0))
    one, _ = search(9, lambda i: Run("4", True, note="crashed") if i == 4 else slow(i))
    assert one.find(names(9)) == Answer("5", "6", [])
    assert one.verdict("4") == "not judged"


@pytest.mark.parametrize("after", (1, 4, 7, 11))
def test_an_interrupted_search_goes_on(tmp_path, after):
    """The second search repeats no run of the first, whose last line may be cut short."""
    done = []

    def run(i):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(i)
        return fails_from(6)(i)

    path = tmp_path / "runs"
    with pytest.raises(KeyboardInterrupt):
        search(9, run, path)[0].find(names(9))
    with open(path, "a") as file:
        file.write('{"candidate": "4", "fai')
    one, program = search(9, fails_from(6), path)
    assert one.find(names(9)) == Answer("5", "6", [])
    whole, everything = search(9, fails_from(6))
    whole.find(names(9))
    assert done + program.judged == everything.judged


def test_lock_files_become_states_that_differ_by_one_package(tmp_path):
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text(
        "# a comment\nkeras==3.12.0 \\\n    --hash=sha256:00\nNumPy==2.1.0  # why\nh5py==3.1\nold==1\n"
    )
    bad.write_text("-r other.txt\nkeras==3.15.1\nnumpy==2.4.0; python_version > '3'\nh5py==3.1\nnew==2\n")
    states, packages = candidates.lock_candidates(candidates.read_lock(good), candidates.read_lock(bad))
    assert packages == ["keras", "numpy", "new", "old"]
    assert states[0].pins == ("h5py==3.1", "keras==3.12.0", "numpy==2.1.0", "old==1")
    assert states[-1].pins == ("h5py==3.1", "keras==3.15.1", "new==2", "numpy==2.4.0")
    assert [len(set(a.pins) ^ set(b.pins)) for a, b in zip(states, states[1:], strict=False)] == [2, 2, 1, 1]


@pytest.mark.parametrize("line", ["keras>=3", "keras", "keras==3.*", "keras @ file:///keras.whl", "=="])
def test_a_lock_file_without_a_version_names_its_line(tmp_path, line):
    path = tmp_path / "lock.txt"
    path.write_text(f"numpy==2.1.0\n{line}\n")
    with pytest.raises(ValueError, match=r"lock.txt:2: expected a pin as keras==3.12.0"):
        candidates.read_lock(path)


def test_commits_follow_first_parents_and_paths(tmp_path):
    def git(*words):
        options = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *options, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "--quiet")
    for i in range(4):
        (tmp_path / ("library" if i % 2 else "notes")).write_text(str(i))
        git("add", ".")
        git("commit", "--quiet", "-m", f"change {i}")
    found = candidates.commits(tmp_path, "HEAD~3..HEAD")
    assert [one.title.split(" ", 1)[1] for one in found] == [f"change {i}" for i in range(4)]
    found = candidates.commits(tmp_path, "HEAD~3..HEAD", ["library"])
    assert [one.title.split(" ", 1)[1] for one in found] == ["change 0", "change 1", "change 3"]
    for span, reason in (
        ("HEAD", "expected GOOD..BAD"),
        ("HEAD..HEAD", "no commit"),
        ("a..b", "has no commit a"),
    ):
        with pytest.raises(ValueError, match=reason):
            candidates.commits(tmp_path, span)
