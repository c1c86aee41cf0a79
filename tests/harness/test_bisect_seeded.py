"""Twelve seeded regressions: six in releases of a package, six in commits. Bisect names each, unattended.

The releases are wheels that the test builds and pip installs into real environments; the commits are of a toy
repository. Programs beside them judge, by their exit code or by a number that they print.
"""

import re
import subprocess
import sys
import zipfile

import pytest

from pairings import environments
from reports.__main__ import main
from reports.bisection import places

# The toy package before its regressions: {what: source}.
TOY = {
    "numbers": "def gelu(x):\n    return x * (1 + math.erf(x / math.sqrt(2))) / 2\n",
    "gradients": """def gradient(x):
    cdf = (1 + math.erf(x / math.sqrt(2))) / 2
    return cdf + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
""",
    "speed": "def work(rounds=100):\n    return sum(i * i for _ in range(rounds) for i in range(1000))\n",
    "memory": "def table():\n    return b'x' * 16_000_000\n",
    "import": "LOADED = True\n",
    "flicker": "def steady():\n    return 1.0\n",
}
# {what: its source from the regression on}
BROKEN = {
    "numbers": """def gelu(x):
    return x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
""",
    "gradients": "def gradient(x):\n    return (1 + math.erf(x / math.sqrt(2))) / 2\n",
    "speed": TOY["speed"].replace("100", "130"),
    "memory": TOY["memory"].replace("16", "48"),
    "import": "import a_module_that_nobody_has\n",
    "flicker": "def steady():\n    return float(os.urandom(1)[0] < 128)\n",
}
GELU = "lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2"
# {what: (option of bisect, program that judges)}
PROGRAMS = {
    "numbers": (
        "--run",
        f"gelu = {GELU}\nworst = max(abs(toy_bisect.gelu(i / 10) - gelu(i / 10)) for i in range(-40, 40))\n"
        "sys.exit(f'off by {worst:.2g}' if worst > 1e-6 else 0)",
    ),
    "gradients": (
        "--run",
        f"gelu, h = {GELU}, 1e-5\n"
        "worst = max(abs(toy_bisect.gradient(x) - (gelu(x + h) - gelu(x - h)) / (2 * h)) for x in (-2, -0.5, 1, 2))\n"
        "sys.exit(f'off by {worst:.2g}' if worst > 1e-6 else 0)",
    ),
    "speed": (
        "--measure",
        "toy_bisect.work()\nstart = time.process_time()\ntoy_bisect.work()\nprint(time.process_time() - start)",
    ),
    "memory": (
        "--measure",
        "held = toy_bisect.table()\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)",
    ),
    "import": ("--run", "print(toy_bisect.LOADED)"),
    "flicker": ("--run", "sys.exit(toy_bisect.steady() != 1.0)"),
}
# (what, number of releases or commits, the first that has the regression)
RELEASES = (
    ("numbers", 9, 6),
    ("gradients", 5, 2),
    ("speed", 5, 3),
    ("memory", 9, 1),
    ("import", 2, 1),
    ("flicker", 5, 4),
)
COMMITS = (
    ("numbers", 13, 5),
    ("gradients", 9, 8),
    ("speed", 9, 2),
    ("memory", 6, 3),
    ("import", 12, 7),
    ("flicker", 9, 4),
)


def source(broken):
    """The toy package with one of its parts broken, or with none."""
    parts = {**TOY, **({broken: BROKEN[broken]} if broken else {})}
    return "import math\nimport os\n" + "".join(parts.values())


def build_wheel(folder, version, text, package="toy_bisect"):
    """What pip needs of a wheel: a module, METADATA, WHEEL and RECORD."""
    folder.mkdir(exist_ok=True)
    info = f"{package}-{version}.dist-info"
    files = {
        f"{package}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{package}-{version}-py3-none-any.whl", "w") as wheel:
        for name, content in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, content)


@pytest.fixture
def bisect(tmp_path, monkeypatch, capsys):
    """Run a bisect in folders of its own, with the wheels of one folder alone. Returns (exit code, output)."""
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def run(*words):
        options = ["--results", str(tmp_path / "results"), "--directory", str(tmp_path)]
        code = main(["bisect", *options, *map(str, words)])
        return code, capsys.readouterr().out

    return run


def program(folder, what):
    """(option, command) that judge; the program lies outside of what is judged."""
    option, text = PROGRAMS[what]
    path = folder / "judge.py"
    path.write_text(f"import math, resource, sys, time\nimport toy_bisect\n{text}\n")
    return option, path


def pytest_ids(rows):
    return [f"{what}-{count}" for what, count, _ in rows]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "count", "first"), RELEASES, ids=pytest_ids(RELEASES))
def test_bisect_names_the_release(bisect, tmp_path, what, count, first):
    for i in range(count):
        build_wheel(tmp_path / "wheels", f"1.{i}", source(what if i >= first else None))
    option, path = program(tmp_path, what)
    ends = ("--package", "toy-bisect", "--good", "1.0", "--bad", f"1.{count - 1}")
    code, out = bisect(option, f"python {path}", *ends)
    assert code == 0, out
    assert f"good with toy-bisect 1.{first - 1}, bad from toy-bisect 1.{first} on" in out, out
    made = len(list((tmp_path / "environments").iterdir()))
    assert made - 2 <= (count - 1).bit_length(), out


def make_repository(folder, what, count, first):
    """A commit for each release, between others that change nothing that is judged."""
    folder.mkdir()

    def git(*words):
        options = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True)

    git("init", "--quiet")
    for i in range(count):
        (folder / "toy_bisect.py").write_text(source(what if i >= first else None))
        (folder / "notes.txt").write_text(f"commit {i}\n")
        git("add", ".")
        git("commit", "--quiet", "-m", f"change {i}")


@pytest.mark.parametrize(
    ("what", "count", "first"),
    [
        pytest.param(*row, marks=() if row[0] == "import" else pytest.mark.slow, id=f"{row[0]}-{row[1]}")
        for row in COMMITS
    ],
)
def test_bisect_names_the_commit(bisect, tmp_path, what, count, first):
    make_repository(tmp_path / "repository", what, count, first)
    option, path = program(tmp_path, what)
    span = ("--repository", "repository", "--commit", f"HEAD~{count - 1}..HEAD")
    code, out = bisect(option, f"{sys.executable} {path}", *span)
    assert code == 0, out
    assert re.search(rf"good with \w+ change {first - 1}, bad from \w+ change {first} on", out), out


@pytest.mark.slow
def test_two_lock_files_first_give_the_package_and_then_its_version(bisect, tmp_path):
    for i in range(5):
        build_wheel(tmp_path / "wheels", f"1.{i}", source("numbers" if i >= 3 else None))
        for other in ("toy_a", "toy_b", "toy_c"):
            build_wheel(tmp_path / "wheels", f"2.{i}", "", other)
    option, path = program(tmp_path, "numbers")
    for name, i in (("good", 0), ("bad", 4)):
        pins = (f"toy-a==2.{i}", f"toy-bisect==1.{i}", f"toy-b==2.{i}", f"toy-c==2.{i}", "")
        (tmp_path / f"{name}.txt").write_text("\n".join(pins))
    code, out = bisect(option, f"python {path}", "--good", "good.txt", "--bad", "bad.txt")
    assert code == 0, out
    assert "good with toy-bisect 1.2, bad from toy-bisect 1.3 on" in out, out
    assert len(list((tmp_path / "environments").iterdir())) <= 2 + 2 + 2, out


@pytest.mark.slow
def test_releases_that_cannot_be_installed_or_were_never_final_are_said_or_left_out(bisect, tmp_path):
    for i in range(5):
        build_wheel(tmp_path / "wheels", f"1.{i}", source("numbers" if i >= 3 else None))
    build_wheel(tmp_path / "wheels", "1.3rc1", source("numbers"))
    (tmp_path / "wheels" / "toy_bisect-1.2-py3-none-any.whl").write_bytes(b"damaged")
    option, path = program(tmp_path, "numbers")
    words = (option, f"python {path}", "--package", "toy-bisect", "--good", "1.0", "--bad", "1.4")
    code, out = bisect(*words)
    assert code == 1 and "rc1" not in out, out
    assert "good with toy-bisect 1.1, bad from toy-bisect 1.3 on" in out, out
    assert "toy-bisect 1.2: not judged: pip could not install toy-bisect==1.2" in out, out
    again, out = bisect(*words)
    assert again == 1 and "runs are known from" in out and "toy-bisect 1.3: failed" not in out, out


def test_an_unknown_release_names_those_that_there_are(bisect, tmp_path):
    build_wheel(tmp_path / "wheels", "1.0", source(None))
    code, out = bisect("--run", "true", "--package", "toy-bisect", "--good", "1.0", "--bad", "7.0")
    assert code == 1 and "toy-bisect 7.0: no such release for this Python; the newest are 1.0" in out, out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--run", "true"), "give --good and --bad"),
        (("--run", "true", "--commit", "a..b", "--package", "keras"), "--commit names both ends"),
        (("--case", "bert-mlm", "--commit", "a..b"), "--case and --scenario need --pairing"),
        (("--run", "true", "--good", "a.txt", "--bad", "b.txt"), "there is no lock file"),
        (
            ("--scenario", "bert-base-load", "--mode", "call", "--pairing", "jax", "--commit", "a..b"),
            "has load",
        ),
    ],
)
def test_options_that_do_not_go_together_are_one_line(bisect, words, reason):
    code, out = bisect(*words)
    assert code == 1 and reason in out and "Traceback" not in out


def test_both_ends_good_are_nothing_to_search(bisect, tmp_path):
    make_repository(tmp_path / "repository", None, 3, 99)
    span = ("--repository", "repository", "--commit", "HEAD~2..HEAD")
    code, out = bisect("--run", "true", *span, "--runs", "2")
    assert code == 1 and "nothing to search" in out and "0 of 2 runs failed" in out, out


def test_a_command_may_say_that_it_cannot_judge(bisect, tmp_path):
    make_repository(tmp_path / "repository", "import", 5, 3)
    check = "grep -q 'commit 2' notes.txt && exit 125; grep -q a_module toy_bisect.py && exit 1 || exit 0"
    code, out = bisect("--run", check, "--repository", "repository", "--commit", "HEAD~4..HEAD")
    assert code == 1 and "1 between them could not be judged" in out and "exit code 125" in out, out


def test_a_command_that_hangs_is_ended(bisect, tmp_path):
    make_repository(tmp_path / "repository", "import", 3, 1)
    hang = "grep -q [a]_module toy_bisect.py && sleep 60 || true"
    options = ("--repository", "repository", "--commit", "HEAD~2..HEAD", "--timeout", "2", "--runs", "1")
    code, out = bisect("--run", hang, *options)
    assert code == 0 and f"{hang}: good with" in out and "no end after 2 s" in out, out
