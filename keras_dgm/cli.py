"""The command `keras-dgm`: train, sample, measure, list, show, fetch, verify, publish models."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from keras_dgm import datasets, presets
from keras_dgm.datasets.load import BINARIZATIONS
from keras_dgm.gallery import make_gallery
from keras_dgm.presets import cards, hub, integrity, recipes

_console = Console(highlight=False, soft_wrap=True)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)
_SPLITS = click.Choice(["train", "valid", "test"])
_UNITS = click.Choice(["nats", "bits_per_dim"])


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keras-dgm")
def commands() -> None:
    """Deep generative models for Keras.

    A MODEL is a name that `keras-dgm list` shows, a folder that save_to_preset wrote, https://...
    or hf://user/name. An error is one line; --traceback shows where it arose.
    """


@commands.command()
@click.argument("recipe")
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the recipe's own number.")
@click.option("-o", "--output", type=click.Path(), help="The folder to write [runs/NAME].")
def train(recipe: str, epochs: int | None, output: str | None) -> None:
    """Train the model of RECIPE, a name of the zoo or the path of a script.

    Writes a preset with its metrics, a picture of samples and a card, and prints the held-out
    figure.
    """
    path = recipes.find_recipe(recipe)
    folder = Path(output) if output else Path("runs") / recipes.recipe_name(path)
    recipes.load_recipe(recipe).train(epochs=epochs, directory=str(folder))
    if not (folder / integrity.METADATA).is_file():
        raise ValueError(f"The recipe {path} ended without writing the preset {folder}.")
    metrics = _metrics(folder)
    for name, figure in metrics.get("figures", {}).items():
        _console.print(f"{_figure_name(name, metrics)}: {cards.figure_text(figure)}")
    if (folder / integrity.SAMPLES).is_file():
        _console.print(f"Samples: {folder / integrity.SAMPLES}")
    _console.print(f"Model:   {folder}")


@commands.command()
@click.argument("model")
@click.option("-n", "--number", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), default="samples.png", show_default=True
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--mean", is_flag=True, help="Expected pixels in place of drawn ones.")
@click.option("--revision", help="The content asked for, as `show` prints it.")
def sample(
    model: str, number: int, output: str, seed: int, mean: bool, revision: str | None
) -> None:
    """Draw samples from MODEL into a picture (.png) or an array (.npy)."""
    path = Path(output)
    if path.suffix not in (".png", ".npy"):
        raise ValueError(f"The output {output!r} should end with .png or .npy.")
    loaded = presets.from_preset(model, revision=revision)
    if not hasattr(loaded, "sample"):
        raise ValueError(f"{model} is a {type(loaded).__name__}, which draws no samples.")
    if mean and "mean" not in inspect.signature(loaded.sample).parameters:
        raise ValueError(f"{model} has no expected pixels: leave out --mean.")
    images = loaded.sample(number, seed=seed, **({"mean": True} if mean else {}))
    if path.suffix == ".npy":
        np.save(path, images)
    else:
        presets.draw_samples(images, path)
    _console.print(f"{len(images)} samples of {model}: {path}")


@commands.command()
@click.argument("model")
@click.option("--data", help="A data set's name [the one on the model's card].")
@click.option("--binarize", type=click.Choice(["none", *BINARIZATIONS]))
@click.option("--split", type=_SPLITS, help="[the one on the card, else test]")
@click.option("--limit", type=click.IntRange(min=2), help="Use the first LIMIT data points only.")
@click.option("--num-samples", type=click.IntRange(min=1), help="Draws a point [card, else 5000].")
@click.option("--unit", type=_UNITS, help="[the one on the card, else nats]")
@click.option("--seed", type=int, help="[the one on the card, else 0]")
@click.option("--revision", help="The content asked for, as `show` prints it.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(model: str, revision: str | None, as_json: bool, **options: Any) -> None:
    """Measure MODEL on held-out data, as its card does unless told otherwise."""
    folder = presets.download(model, revision)
    metrics = _metrics(folder)
    loaded = presets.from_preset(folder)
    given = [f"--{key.replace('_', '-')}" for key, value in options.items() if value is not None]
    if not given and recipes.is_installed(model):
        figures = recipes.measure(model, loaded, verbose=int(not as_json))
    elif "num_samples" in inspect.signature(getattr(loaded, "log_likelihood", main)).parameters:
        figures = {"log_likelihood": _log_likelihood(loaded, metrics, options, not as_json)}
    else:
        raise ValueError(
            f"How a {type(loaded).__name__} is measured is said by its recipe: "
            + (f"{', '.join(given)} cannot change that." if given else f"{model} has none here.")
        )
    if as_json:
        click.echo(json.dumps(figures, indent=2))
        return
    for name, figure in figures.items():
        _console.print(f"{_figure_name(name, metrics, options)}: {cards.figure_text(figure)}")
        card = metrics.get("figures", {}).get(name)
        if card:
            _console.print(f"on the card: {cards.figure_text(card)}")


def _log_likelihood(model: Any, metrics: dict, options: dict, progress: bool) -> dict[str, Any]:
    data = metrics.get("data", {})
    card = metrics.get("figures", {}).get("log_likelihood", {})
    arguments = dict(data.get("arguments", {}))
    if options["data"] not in (None, data.get("name")):
        arguments = {"name": options["data"]}
    if not arguments:
        raise ValueError("The model's card names no data set: say which with --data NAME.")
    if options["binarize"]:
        arguments["binarize"] = None if options["binarize"] == "none" else options["binarize"]
    split = options["split"] or data.get("split", "test")
    images = datasets.load(**arguments).splits[split].images[: options["limit"]]
    return presets.log_likelihood_figure(
        model,
        images,
        num_samples=options["num_samples"] or card.get("num_samples", 5000),
        unit=options["unit"] or card.get("unit", "nats"),
        seed=card.get("seed", 0) if options["seed"] is None else options["seed"],
        verbose=int(progress),
    )


@commands.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print the entries as JSON.")
def list_command(as_json: bool) -> None:
    """List the models of the registry, and of $KERAS_DGM_ZOO_URL where it is set."""
    entries = presets.list_presets(remote=True)
    if as_json:
        rows = {name: {**vars(e), "files": list(e.files)} for name, e in entries.items()}
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "class", "parameters", "size", "held-out figure", "description")
    for name, entry in entries.items():
        figure = cards.figure_text(entry.metric) if entry.metric else ""
        size = integrity.readable_size(entry.size)
        parameters = f"{entry.parameters:,}"
        table.add_row(name, entry.class_name, parameters, size, figure, entry.description)
    _console.print(table if entries else "The registry is empty.")


@commands.command()
@click.argument("model")
@click.option("--revision", help="The content asked for.")
def show(model: str, revision: str | None) -> None:
    """Show the card of MODEL."""
    folder = presets.download(model, revision)
    metadata = integrity.read_json(folder / integrity.METADATA)
    path = folder / integrity.CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else None
    click.echo(text or cards.card(folder.name, metadata, _metrics(folder)))
    records = integrity.parse_metadata(metadata, str(folder))
    click.echo(f"Revision: {integrity.revision_of(records)}\nFolder:   {folder}")


@commands.command()
@click.option(
    "-o", "--output", type=click.Path(file_okay=False), default="gallery", show_default=True
)
@click.option("--names", help="Models, separated by commas [all that are installed].")
@click.option("--seed", type=int, default=0, show_default=True)
def gallery(output: str, names: str | None, seed: int) -> None:
    """Write a static page of models: samples, walks, reconstructions, curves and figures."""
    chosen = None if names is None else [name for name in names.split(",") if name]
    page = make_gallery(output, chosen, seed, say=_console.print)
    _console.print(f"Gallery: {page}")


@commands.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--revision", help="The content asked for.")
def download(models: tuple[str, ...], revision: str | None) -> None:
    """Fetch MODELS to this machine and check them."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=_errors, transient=True) as bar:
        for model in models:
            tasks: dict[str, Any] = {}

            def show_progress(name: str, done: int, total: int, tasks=tasks, model=model) -> None:
                if name not in tasks:
                    tasks[name] = bar.add_task(f"{model} {name}", total=total)
                bar.update(tasks[name], completed=done)

            folder = presets.download(model, revision, progress=show_progress)
            _console.print(f"{model}: {folder}")


@commands.command()
def verify() -> None:
    """Hash every installed and every fetched model again. Exits with 1 when one is damaged."""
    faults = presets.verify()
    for folder, fault in faults.items():
        _console.print(fault or f"{folder}: whole", style="red" if fault else None)
    damaged = sum(bool(fault) for fault in faults.values())
    _console.print(f"{len(faults)} models, {damaged} damaged.")
    if damaged:
        sys.exit(1)


@commands.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("address", metavar="hf://USER/NAME")
@click.option("--private", is_flag=True, help="Visible to its owner only.")
def publish(folder: Path, address: str, private: bool) -> None:
    """Upload the preset FOLDER to the Hugging Face Hub, checked whole first."""
    _console.print(hub.publish(folder, address, private))


def _metrics(folder: Path) -> dict[str, Any]:
    path = folder / integrity.METRICS
    return integrity.read_json(path) if path.is_file() else {}


def _figure_name(name: str, metrics: dict, options: dict | None = None) -> str:
    data = metrics.get("data", {})
    where = (options or {}).get("data") or data.get("name")
    split = (options or {}).get("split") or data.get("split", "test")
    return f"Held-out {name.replace('_', ' ')}" + (f" on {where}/{split}" if where else "")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line: an error is one line on stderr and the exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    traceback = "--traceback" in arguments
    arguments = [argument for argument in arguments if argument != "--traceback"]
    try:
        code = commands.main(arguments, prog_name="keras-dgm", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _errors.print("Interrupted.")
        sys.exit(130)
    except (ValueError, OSError) as error:
        if traceback:
            raise
        _errors.print(f"Error: {error}", markup=False, style="red")
        sys.exit(2)
    except Exception as error:
        if traceback:
            raise
        text = f"Error: {type(error).__name__}: {error} (--traceback shows where)"
        _errors.print(text, markup=False, style="red")
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
