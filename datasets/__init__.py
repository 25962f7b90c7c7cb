"""Audio files to batches: track stores, groundtruths, sampling, data modules; a folder per data set.

This package stands where the name of Hugging Face's `datasets` is looked for when something runs from the checkout. Asking it for what only that
one has explains so.
"""

from __future__ import annotations

import sys

_HUGGING_FACE = frozenset(
    {
        *("load_dataset", "load_from_disk", "load_dataset_builder", "get_dataset_config_names", "get_dataset_split_names"),
        *(
            "Dataset",
            "DatasetDict",
            "IterableDataset",
            "IterableDatasetDict",
            "Features",
            "Value",
            "ClassLabel",
            "Audio",
            "Image",
        ),
        *("concatenate_datasets", "interleave_datasets", "disable_caching"),
    }
)


def __getattr__(name: str) -> object:
    if name not in _HUGGING_FACE:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    text = (
        f"this is the music suite's own package 'datasets', not Hugging Face's: it has no '{name}'. What needs that one must run "
        "from another folder than this checkout, so that Python finds the installed package."
    )
    # `from datasets import load_dataset` replaces an AttributeError by an ImportError without its text. The import system asks from this function.
    raise (ImportError if sys._getframe(1).f_code.co_name == "_handle_fromlist" else AttributeError)(text)
