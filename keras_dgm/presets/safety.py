"""Judges a preset's config.json before anything is built from it: no foreign code, no giants.

Keras builds a model by looking up the classes that its config names, so a config is a program in a
small language. Here that language is cut down to Keras' own layers, initialisers and the like and
to the registered classes of keras_dgm; all else is refused by name, and nothing of it is run.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import keras

from .integrity import SIZE_VARIABLE, largest_bytes, readable_size

PACKAGE = "keras_dgm"
_KERAS_MODULES = (
    "keras.layers",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.activations",
    "keras.dtype_policies",
    "keras.quantizers",
    "keras.random",
    "keras.losses",
    "keras.optimizers.schedules",
    "keras.models",
    "keras.src.layers",
    "keras.src.models",
    "keras.src.ops",
    "keras.src.initializers",
)
_KERAS_TOP = {"Functional", "Model", "Sequential", "Input", "DTypePolicy", "SeedGenerator"}
_REFUSED = {
    "Lambda": "it runs a function of its author's",
    "TorchModuleWrapper": "it loads a pickle",
    "TFSMLayer": "it loads a program from a path",
    "JaxLayer": "it runs a function of its author's",
    "FlaxLayer": "it runs a function of its author's",
    "StringLookup": "it reads a file from a path",
    "IntegerLookup": "it reads a file from a path",
    "IndexLookup": "it reads a file from a path",
    "TextVectorization": "it reads a file from a path",
}
_PLAIN = {"__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__keras_tensor__"}
_LARGEST_NUMBER = 2**31
_REGISTERED = re.compile(r"([\w.]+)>(\w+)")


def without_compilation(config: Any) -> Any:
    """A copy of a serialised model without optimisers and losses: a preset holds the model."""
    if isinstance(config, dict):
        kept = {key: value for key, value in config.items() if key != "compile_config"}
        return {key: without_compilation(value) for key, value in kept.items()}
    if isinstance(config, (list, tuple)):
        return [without_compilation(value) for value in config]
    return config


def foreign_modules(config: Any) -> set[str]:
    """The modules of the classes in a config that are neither Keras' nor keras_dgm's."""
    if isinstance(config, dict):
        found = set().union(*(foreign_modules(value) for value in config.values()))
        module = config.get("module") if "class_name" in config else None
        if config.get("class_name") == "function":
            function = keras.saving.get_registered_object(str(config.get("config")))
            module = getattr(function, "__module__", module)
        if isinstance(module, str) and module.split(".")[0] not in ("keras", PACKAGE, "builtins"):
            found.add(module)
        return found
    if isinstance(config, (list, tuple)):
        return set().union(*(foreign_modules(value) for value in config))
    return set()


def check_config(config: Any, where: str, trusted_modules: Sequence[str] = ()) -> None:
    """Refuses a config that names anything but what a preset may hold.

    Args:
        config: the parsed config.json.
        where: its path, for messages.
        trusted_modules: names of modules whose registered classes are accepted too; they are
            imported when a config names them.

    Raises:
        ValueError: naming the lambda, function, class, path or size that is refused.
    """
    for module in trusted_modules:
        importlib.import_module(module)
    try:
        _Judge(where, tuple(trusted_modules)).judge(config, "")
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply to be a model's. Refused.") from None


class _Judge:
    def __init__(self, where: str, trusted: tuple[str, ...]):
        self.where, self.trusted = where, trusted

    def judge(self, value: Any, key: str) -> None:
        if isinstance(value, dict):
            if "class_name" in value:
                self._judge_object(value)
            for name, inner in value.items():
                self._judge_name(name)
                self.judge(inner, name)
        elif isinstance(value, list):
            for inner in value:
                self.judge(inner, key)
            if key.endswith("shape"):
                self._judge_shape(value)
        elif isinstance(value, str):
            self._judge_string(value, key)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if isinstance(value, int) and abs(value) > _LARGEST_NUMBER and "seed" not in key:
                self._refuse(f"the enormous number {value} for {key!r}")

    def _judge_object(self, value: dict[str, Any]) -> None:
        name, module = value["class_name"], value.get("module")
        if name in _PLAIN:
            return
        if name == "__lambda__":
            self._refuse("a lambda, which is code")
        if not isinstance(name, str) or not isinstance(module, str):
            self._refuse(f"{name!r} of the module {module!r}, which says not where it comes from")
        if name == "function":
            self._judge_function(value.get("config"), module)
        elif module == "keras" or module.startswith("keras."):
            self._judge_keras(name, module, value.get("registered_name"))
        else:
            self._judge_registered(name, module, value.get("registered_name"))

    def _judge_function(self, name: Any, module: str) -> None:
        plain = isinstance(name, str) and name not in ("get", "serialize", "deserialize")
        if module in ("builtins", "keras.activations") and plain:
            if callable(getattr(keras.activations, str(name), None)):
                return
        # Keras writes every function as one of "builtins": its registered name says whose it is.
        found = keras.saving.get_registered_object(str(name))
        if inspect.isfunction(found) and self._is_ours_or_trusted(found.__module__):
            return
        self._refuse(
            f"the function {name!r} of {module}: only Keras' activations and registered functions "
            "of keras_dgm and trusted_modules may be named"
        )

    def _judge_keras(self, name: str, module: str, registered: Any) -> None:
        if name in _REFUSED:
            self._refuse(f"the layer {name}: {_REFUSED[name]}")
        known = module == "keras" and name in _KERAS_TOP
        known = known or any(module == m or module.startswith(m + ".") for m in _KERAS_MODULES)
        if not known or registered not in (None, name):
            self._refuse(f"{module}.{name} (registered as {registered!r}), no part of a model")

    def _judge_registered(self, name: str, module: str, registered: Any) -> None:
        """A class of the library or of a trusted module, which must be registered with Keras."""
        trusted = self._is_trusted(module)
        ours = module.startswith(PACKAGE + ".") and registered == f"{PACKAGE}>{name}"
        if not ours and not trusted:
            self._refuse(
                f"the class {module}.{name}, which is neither Keras' nor keras_dgm's. If you trust "
                f"its author, pass trusted_modules=[{module!r}]"
            )
        found = keras.saving.get_registered_object(registered) if registered else None
        # A class of the library keeps its registered name when it moves to another module.
        known = isinstance(found, type) and found.__name__ == name
        known = known and self._is_ours_or_trusted(found.__module__)
        if not known:
            self._refuse(f"the class {module}.{name}, which is not registered as {registered!r}")

    def _is_trusted(self, module: str) -> bool:
        """Whether the caller named the module, which is then imported to register its classes."""
        trusted = any(module == m or module.startswith(m + ".") for m in self.trusted)
        if trusted:
            importlib.import_module(module)
        return trusted

    def _is_ours_or_trusted(self, module: str) -> bool:
        return module.startswith(PACKAGE + ".") or self._is_trusted(module)

    def _judge_string(self, text: str, key: str) -> None:
        if key == "name":
            self._judge_name(text)
        matched = _REGISTERED.fullmatch(text)
        if matched and key not in ("registered_name", "config") and matched[1] != PACKAGE:
            found = keras.saving.get_registered_object(text)
            if not self._is_ours_or_trusted(getattr(found, "__module__", "")):
                self._refuse(f"the registered object {text!r} for {key!r}")

    def _judge_name(self, name: str) -> None:
        if "\0" in name or "\\" in name or name.startswith("/") or ".." in name.split("/"):
            self._refuse(f"the name {name!r}, which climbs out of its folder")

    def _judge_shape(self, shape: list[Any]) -> None:
        sizes = [size for size in shape if isinstance(size, int) and not isinstance(size, bool)]
        if math.prod(sizes) > largest_bytes():
            self._refuse(f"the enormous shape {tuple(shape)}")

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(f"{self.where} is refused: it names {what}. Nothing of it was run.")


_building = threading.local()
_patching = threading.RLock()


@contextlib.contextmanager
def bounded_variables(where: str) -> Iterator[None]:
    """Within it, this thread may create variables of `largest_bytes()` together and no more.

    A config of a hundred bytes can ask for a terabyte; the refusal comes before the memory.
    """
    limit = largest_bytes()

    def counted(self, initializer, shape=None, dtype=None, *args, **options):
        left = getattr(_building, "left", None)
        if left is not None and shape is not None and None not in tuple(shape):
            width = 8 if "64" in str(dtype) else 4
            size = width * math.prod(int(n) for n in tuple(shape))
            if size > left:
                raise ValueError(
                    f"{where} is refused: its model needs a variable of shape {tuple(shape)}, "
                    f"{readable_size(size)}, which takes it above the limit of "
                    f"{readable_size(limit)}. If you trust it, set {SIZE_VARIABLE} higher."
                )
            _building.left = left - size
        return created(self, initializer, shape, dtype, *args, **options)

    with _patching:
        created = keras.Variable.__init__
        _building.left = limit
        keras.Variable.__init__ = counted
        try:
            yield
        finally:
            keras.Variable.__init__ = created
            _building.left = None
