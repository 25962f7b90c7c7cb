"""Audio files to batches: track stores, groundtruths, sampling, data modules; a folder per data set.

Floors, each importing only those before it: utils < groundtruth < store < jobs < prepare < loading < collection < published < the data sets' folders.
The modules merge, raw_waveforms, mirdata_adapter and __main__ are commands above them all, which nothing imports.

Data sets may live outside this tree: for each folder that the environment variable MAEST_DATASETS names (separated as in PATH), the packages in its
folder datasets/ are packages of this one (docs/new_dataset.md).

This package stands where the name of Hugging Face's `datasets` is looked for when something runs from the checkout. Asking it for what only that
one has explains so. Libraries that see a package of this name (transformers looks for the name, not for what is in it) go on to ask
`isinstance(x, datasets.Dataset)`: those types exist here as empty ones, which nothing is an instance of and which cannot be made.
"""

from __future__ import annotations

import sys

from models._outside import folders_outside as _folders_outside

__path__ += _folders_outside("MAEST_DATASETS", "datasets")

_TYPES = frozenset({"Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict", "Features"})
_FUNCTIONS = frozenset(
    {
        *("load_dataset", "load_from_disk", "load_dataset_builder", "get_dataset_config_names", "get_dataset_split_names"),
        *("concatenate_datasets", "interleave_datasets", "Value", "ClassLabel", "Audio", "Image", "disable_caching"),
    }
)


def _explanation(name: str) -> str:
    return (
        f"this is the music suite's own package 'datasets', not Hugging Face's: it has no '{name}'. What needs that one must run "
        "from another folder than this checkout, so that Python finds the installed package."
    )


class _Absent(type):
    """Type of the empty types: using one in any way but isinstance and issubclass explains."""

    def __call__(cls, *args: object, **kwargs: object) -> object:
        raise ImportError(_explanation(cls.__name__))

    def __getattr__(cls, name: str) -> object:
        raise AttributeError(_explanation(cls.__name__))


def __getattr__(name: str) -> object:
    if name in _TYPES:
        globals()[name] = _Absent(name, (), {})
        return globals()[name]
    if name not in _FUNCTIONS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    # `from datasets import load_dataset` replaces an AttributeError by an ImportError without its text. The import system asks from this function.
    raise (ImportError if sys._getframe(1).f_code.co_name == "_handle_fromlist" else AttributeError)(_explanation(name))
