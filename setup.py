"""The installed package `maest` is models/ with all packages in it; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=["maest", *(f"maest.{name}" for name in find_packages("models"))], package_dir={"maest": "models"})
