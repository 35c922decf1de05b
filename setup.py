"""What pyproject.toml cannot say: the folder zoo/ travels inside the wheel as keras_dgm/zoo."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["keras_dgm", "keras_dgm.*"]), "keras_dgm.zoo"],
    package_dir={"keras_dgm.zoo": "zoo"},
    package_data={
        "keras_dgm": ["py.typed", "gallery/page/*"],
        "keras_dgm.zoo": ["*.json", "*.md", "*/*.json", "*/*.md", "*/*.py", "*/*.h5", "*/*.png"],
    },
)
