"""Weights on several devices are loaded and saved slice by slice: on_eight_devices.py has the facts, for JAX."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bert4keras3.backend import framework
from bert4keras3.launch import HOST, free_ports

CHECKS = Path(__file__).with_name("on_eight_devices.py")


def start(folder, devices, **variables):
    """Start pytest on the checks, with a number of virtual devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = dict(os.environ, XLA_FLAGS=flags, SHARED_FOLDER=str(folder), **variables)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(CHECKS)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.skipif(framework != "jax", reason="keras.distribution splits weights on JAX alone")
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_slices_on_eight_devices(processes, tmp_path):
    address = f"{HOST}:{free_ports(1)[0]}"
    started = []
    for number in range(processes):
        job = {} if processes == 1 else {"COORDINATOR": address, "PROCESS": str(number)}
        started.append(start(tmp_path, 8 // processes, **job))
    outputs = []
    try:
        outputs = [one.communicate(timeout=300)[0] for one in started]
    finally:
        for one in started:
            one.kill()
    assert all(one.returncode == 0 for one in started), "\n".join(outputs)
