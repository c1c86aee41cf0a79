"""The process and the machine that it runs on: versions, processor, peak memory."""

import platform
import resource
import signal
import sys


def reset_peak_memory():
    """Start a new peak of the resident memory, if the kernel allows it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def peak_memory():
    """Peak resident memory in bytes since the last reset (since the process began, if there is no /proc)."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def provenance(library_name):
    """Versions and machine of this process."""
    return {
        "versions": module_versions(
            library_name, "keras", "tensorflow", "jax", "torch", "transformers", "numpy"
        ),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor_name(),
    }


def module_versions(*names):
    """{name: version} of the modules that are loaded."""
    modules = {name: sys.modules.get(name) for name in names}
    return {name: getattr(module, "__version__", None) for name, module in modules.items() if module}


def describe_exit(code):
    """How a process ended, by its return code."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def processor_name():
    return next(cpuinfo("model name"), None) or platform.processor()


def cpuinfo(*starts):
    """Yield the values of the lines of /proc/cpuinfo that start so; nothing without that file."""
    try:
        with open("/proc/cpuinfo") as file:
            yield from (line.split(":", 1)[1].strip() for line in file if line.startswith(starts))
    except OSError:
        return
