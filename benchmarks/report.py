"""What was measured, as a table, as JSON and as a picture, with the machine it was measured on."""

import datetime
import json
import os
import pathlib
import platform
import subprocess

from rich.console import Console
from rich.table import Table

from benchmarks.worker import NEEDS_TORCH
from benchmarks.workloads import WORKLOADS

OURS = {"keras_dgm, TensorFlow": "tf.function by hand", "keras_dgm, JAX": "JAX by hand"}


def machine():
    """What the figures were measured on: a dictionary of words."""
    with open("/proc/cpuinfo") as file:
        models = {line.split(":")[1].strip() for line in file if line.startswith("model name")}
    accelerator = "none"
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        accelerator = subprocess.run(query, capture_output=True, text=True).stdout.strip() or "none"
    except FileNotFoundError:
        pass
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} cores, {', '.join(sorted(models))}",
        "accelerator": accelerator,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load before": " ".join(f"{value:.1f}" for value in os.getloadavg()),
    }


def ratios(cells):
    """Time in `fit` over the loop by hand of the same backend: by row, by column."""
    out = {}
    for row, columns in cells.items():
        out[row] = {
            ours: columns[ours]["wall"] / columns[hand]["wall"]
            for ours, hand in OURS.items()
            if "wall" in columns.get(ours, {}) and "wall" in columns.get(hand, {})
        }
    return out


def standing(cells):
    """By row: our best column over PyTorch's best, and ours on TensorFlow over the best of all."""
    out = {}
    for row, columns in cells.items():
        walls = {name: cell["wall"] for name, cell in columns.items() if "wall" in cell}
        ours = [wall for name, wall in walls.items() if name in OURS]
        torch = [wall for name, wall in walls.items() if name in NEEDS_TORCH]
        default = walls.get(next(iter(OURS)))
        out[row] = (
            min(ours) / min(torch) if ours and torch else None,
            default / min(walls.values()) if default else None,
        )
    return out


def _milliseconds(cell):
    if "wall" not in cell:
        return "error" if "error" in cell else "-"
    return f"{1e3 * cell['wall']:.3g}"


def tables(cells, columns):
    """`(title, header, rows)` of each table."""
    over = ratios(cells)
    rows = [[row, *(_milliseconds(cells[row].get(name, {})) for name in columns)] for row in cells]
    yield "Milliseconds a step (median of the repeats)", ["workload", *columns], rows
    body = []
    for row in cells:
        images = WORKLOADS[row].rows_a_step
        body.append(
            [
                row,
                *(
                    f"{images / cells[row][name]['wall']:.3g}"
                    if "wall" in cells[row].get(name, {})
                    else "-"
                    for name in columns
                ),
            ]
        )
    yield "Rows of data (or chains) a second", ["workload", *columns], body
    ours = [name for name in OURS if name in columns]
    header = ["workload"]
    for name in ours:
        short = name.split(", ")[1]
        header += [f"{short}: fit / by hand", "fit / bare step", "CPU ms between epochs"]
    body = []
    for row in cells:
        line = [row]
        for name in ours:
            cell = cells[row].get(name, {})
            line += [
                f"{over[row][name]:.2f}" if name in over[row] else "-",
                f"{cell['wall'] / cell['bare']:.2f}" if "bare" in cell else "-",
                f"{1e3 * cell['epoch']:.0f}" if "epoch" in cell else "-",
            ]
        body.append(line)
    yield "What `fit` costs", header, body
    header = ["workload", "our best / PyTorch's best", "ours on TensorFlow / best column"]
    body = [
        [row, *("-" if value is None else f"{value:.2f}" for value in pair)]
        for row, pair in standing(cells).items()
    ]
    yield "Beside the others", header, body
    for title, key, form in (
        ("First step, tracing and compilation included (s)", "first_step", "{:.2f}"),
        ("Processor time a step (ms)", "cpu", "{:.3g}"),
        ("Peak resident memory over what the process had before the row (MiB)", "memory", "{:.0f}"),
        (
            "Loss in the first repeat (log-likelihood, log Z, mean potential)",
            "warm_up_loss",
            "{:.5g}",
        ),
    ):
        scale = 1e3 if key == "cpu" else 1.0
        body = [
            [
                row,
                *(
                    form.format(scale * cells[row][name][key])
                    if key in cells[row].get(name, {})
                    else "-"
                    for name in columns
                ),
            ]
            for row in cells
        ]
        yield title, ["workload", *columns], body


def show(cells, columns):
    """Prints the tables."""
    console = Console(width=200)
    for title, header, rows in tables(cells, columns):
        table = Table(title=title)
        for number, name in enumerate(header):
            table.add_column(name, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def markdown(cells, columns):
    """The tables as Markdown."""
    parts = []
    for title, header, rows in tables(cells, columns):
        lines = [f"### {title}", "", " | ".join(["", *header, ""]).strip()]
        lines.append("|" + " --- |" * len(header))
        lines += [" | ".join(["", *row, ""]).strip() for row in rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def write(directory, cells, columns, about):
    """Writes `results.json`, `results.png`, and `RESULTS.md` with the notes of `NOTES.md`."""
    folder = pathlib.Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"about": about, "columns": columns, "cells": cells, "fit_over_by_hand": ratios(cells)}
    (folder / "results.json").write_text(json.dumps(whole, indent=1) + "\n")
    head = "".join(f"- {name}: {value}\n" for name, value in about.items())
    notes = (pathlib.Path(__file__).parent / "NOTES.md").read_text()
    text = "\n".join(["# Results\n", head, markdown(cells, columns), notes])
    (folder / "RESULTS.md").write_text(text)
    picture(cells, columns, folder / "results.png")


def picture(cells, columns, path):
    """Each row's times, in units of its fastest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.4 * len(cells) + 1.5), layout="constrained")
    for number, row in enumerate(cells):
        walls = {n: c["wall"] for n, c in cells[row].items() if "wall" in c}
        best = min(walls.values(), default=1.0)
        for name, wall in walls.items():
            mark = "o" if name in OURS else "|"
            color = f"C{columns.index(name)}"
            axes.plot(wall / best, number, mark, color=color, markersize=9, markeredgewidth=2)
    for number, name in enumerate(columns):
        axes.plot([], [], "o" if name in OURS else "|", color=f"C{number}", label=name)
    axes.set_xscale("log")
    axes.set_yticks(range(len(cells)), list(cells))
    axes.invert_yaxis()
    axes.set_xlabel("time a step over the fastest column's")
    axes.legend(fontsize=7, loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)
