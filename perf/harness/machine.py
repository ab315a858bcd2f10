"""What a figure belongs to: the machine, its kernel and the commit."""
import glob
import os
import platform
import re
import subprocess


def _first(pattern, path, default="unknown"):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.M)
    except OSError:
        return default
    return found.group(1).strip() if found else default


def _said(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (done.stdout.strip() or done.stderr.strip()) if done.returncode == 0 else "unknown"


def _mitigations():
    found = []
    for path in sorted(glob.glob("/sys/devices/system/cpu/vulnerabilities/*")):
        if _first(r"^(Mitigation)", path, ""):
            found.append(os.path.basename(path))
    return found


def _ghz():
    """Of the time-stamp counter, by the name of the processor or, without one there, by its clock now."""
    named = _first(r"^model name.*@ *([0-9.]+) *GHz", "/proc/cpuinfo", "")
    return float(named) if named else round(float(_first(r"^cpu MHz[^:]*: (.*)$", "/proc/cpuinfo", "0")) /
                                            1e3, 3) or None


def facts(top):
    return {"cpu": _first(r"^model name[^:]*: (.*)$", "/proc/cpuinfo"),
            "cores": os.cpu_count(),
            "ghz": _ghz(),
            "architecture": platform.machine(),
            "kernel": platform.release(),
            "memory_kb": int(_first(r"^MemTotal:\s+(\d+)", "/proc/meminfo", "0")),
            "hugepages": int(_first(r"^HugePages_Total:\s+(\d+)", "/proc/meminfo", "0")),
            "hypervisor": _first(r"^flags.*\b(hypervisor)\b", "/proc/cpuinfo", "none"),
            "mitigations": _mitigations(),
            "commit": _said("git", "-C", top, "describe", "--always", "--dirty"),
            "nginx": _said("nginx", "-v").removeprefix("nginx version: "),
            "haproxy": _said("haproxy", "-v").split("\n")[0].split(" - ")[0]}


def same_kind(one, other):
    """The facts that differ and without which two results cannot be compared."""
    return [name for name in ("cpu", "cores", "architecture", "kernel")
            if one.get(name) != other.get(name)]
