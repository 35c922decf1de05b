"""`python -m benchmarks`: measures, prints, writes."""

import argparse
import os
import shlex
import sys

from benchmarks import driver, report
from benchmarks.worker import COLUMNS
from benchmarks.workloads import WORKLOADS


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", nargs="+", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--columns", nargs="+", default=list(COLUMNS), choices=list(COLUMNS))
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats, after one warm-up")
    parser.add_argument("--minutes", type=float, help="begin no further row after so many")
    parser.add_argument("--threads", type=int, help="of each library; its own default without")
    parser.add_argument(
        "--peer-python", help="interpreter that has torch, pyro, pythae, torchebm, if not this one"
    )
    parser.add_argument("--quick", action="store_true", help="a quarter of the steps, 5 repeats")
    parser.add_argument("--smoke", action="store_true", help="one step and one repeat of each")
    parser.add_argument("--output", help="folder for RESULTS.md, results.json, results.png")
    options = parser.parse_args(arguments)
    about = report.machine()
    # Where things lie on this machine is nobody else's business.
    words = [os.path.basename(word) if os.path.isabs(word) else word for word in sys.argv[1:]]
    about["command"] = "python -m benchmarks " + shlex.join(words)
    divide = 10**6 if options.smoke else 4 if options.quick else 1
    cells, versions = driver.run(
        options.rows,
        options.columns,
        repeats=1 if options.smoke else options.repeats,
        divide=divide,
        threads=options.threads,
        minutes=options.minutes,
        peer_python=options.peer_python,
        say=lambda line: print(line, file=sys.stderr, flush=True),
        bare=not options.smoke,
    )
    about["versions"] = ", ".join(f"{n} {v}".strip() for n, v in sorted(versions.items()))
    about["repeats"] = options.repeats
    for name, value in about.items():
        print(f"{name}: {value}")
    columns = [name for name in options.columns if any(name in row for row in cells.values())]
    report.show(cells, columns)
    if options.output:
        report.write(options.output, cells, columns, about)
    return any("error" in cell for row in cells.values() for cell in row.values())


if __name__ == "__main__":
    sys.exit(main())
