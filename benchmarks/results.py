"""Runs a benchmark, shows what it prints, and appends it to RESULTS.md, in the section of this machine.

python benchmarks/results.py benchmarks/bench_NAME.py [ARGUMENTS]
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = (
    "# Results of the benchmarks\n"
    "One section for each machine; within it the newest run of a benchmark takes the place of its last one. The load counts the benchmark itself.\n"
)


def merged(text: str, machine: str, entry: str, output: str, day: str) -> str:
    """Return the page with this run of `entry` in the section of `machine`, in place of the last one there."""
    block = f"### {entry}\n{day}\n```\n{output.strip()}\n```\n"
    sections = (text or HEAD).split("\n## ")
    for i, section in enumerate(sections[1:], 1):
        if section.splitlines()[0] == machine:
            parts = section.rstrip("\n").split("\n### ")
            kept = [part for part in parts[1:] if part.splitlines()[0] != entry]
            sections[i] = "\n### ".join([parts[0], *kept, block.removeprefix("### ")]).rstrip("\n") + "\n"
            return "\n## ".join(sections)
    return "\n## ".join([*sections, f"{machine}\n{block}"])


def main() -> int:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        print(__doc__)
        return 2
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import torch  # also tells how many threads the benchmark has

    from benchmarks.timing import machine_line

    lines = []
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "130"}
    with subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    if process.returncode == 0:
        entry = " ".join([Path(sys.argv[1]).name, *sys.argv[2:]])
        known = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else ""
        day = f"{date.today()}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
        RESULTS.write_text(merged(known, machine_line(), entry, "\n".join(lines), day), encoding="utf-8")
    return process.returncode


if __name__ == "__main__":
    raise SystemExit(main())
