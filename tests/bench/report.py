"""What is printed: the machine, tables as Markdown has them, goals."""

import os
import pathlib
import platform
import statistics
import subprocess

_missed = []


def describe_machine():
    root = pathlib.Path(__file__).parents[2]
    disk = subprocess.run(["findmnt", "-nT", root, "-o", "FSTYPE,SOURCE"], capture_output=True, text=True)
    model = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(
        f"Linux {platform.release()}, {os.cpu_count()} cpus ({model}), {memory:.0f} GiB, "
        f"{' '.join(disk.stdout.split())}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def missed():
    return _missed


def table(head, *rows):
    """The first column is text, the others are figures."""
    rows = [[str(cell) for cell in row] for row in rows]
    width = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells):
        padded = [cells[0].ljust(width[0])] + [c.rjust(w) for c, w in zip(cells[1:], width[1:])]
        print("| " + " | ".join(padded) + " |")

    line(head)
    print("| " + " | ".join(["-" * width[0]] + ["-" * (w - 1) + ":" for w in width[1:]]) + " |")
    for row in rows:
        line(row)
    print(flush=True)


def ms(seconds):
    """The median with what the quarters around it span."""
    if len(seconds) < 4:
        return f"{statistics.median(seconds) * 1000:.1f} ms"
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return f"{middle * 1000:.1f} ms ({low * 1000:.1f}-{high * 1000:.1f})"


def mb(count):
    return f"{count / 1e6:.1f} MB"


def goal(what, value, most, unit=""):
    met = value <= most
    print(f"goal: {what} at most {most:g}{unit}: {value:.2f}{unit}, {'met' if met else 'MISSED'}", flush=True)
    if not met:
        _missed.append(what)
