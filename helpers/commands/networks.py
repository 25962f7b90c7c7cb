"""The network of a command that uses it as it is: as large as its file says, on its device, in eval mode."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from models.encoder import AudioEncoder
from models.errors import ConfigError
from models.onnx_windows import INT8, ONNX
from models.untrained import check_trained

from ..families.base import Config, Family
from ..reports.wording import RANDOM
from ..runtime.devices import resolve_accelerator
from .context import Context

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A network that is ready to compute. weights: their name, RANDOM for random ones. precision: to compute in, as the config says it."""

    network: AudioEncoder
    weights: str
    precision: str


def as_trained(context: Context) -> Config:
    """Return the config of a command that uses a network as it is: an own checkpoint says its sizes, which then need no words."""
    return context.family.like_checkpoint(context.config, context.family.section(context.config).checkpoint)


def load_network(context: Context, config: Config, classes: bool = False, use: str | None = None) -> Loaded:
    """Return the config's network on its device, in eval mode. Random weights are said.

    Args:
        context: of the command.
        config: names the network.
        classes: the command names classes.
        use: what the command does with the network's head; None: nothing.

    Raises ConfigError for a network without the classes that are named, naming the key that gives it some, and for random weights that nobody
    asked for where the head is used; WeightsError for a head that its file did not fill.
    """
    net = context.family.in_use(config, context.seed)
    weights = context.family.weights_name(config)
    if classes:
        check_classes(context, config, net)
    if use is not None:
        check_head(context, net, weights, use)
    device = resolve_accelerator(config.trainer.accelerator)
    warn_of_random(weights)
    return Loaded(net.to("cuda" if device == "gpu" else "cpu").eval(), weights or RANDOM, str(config.trainer.precision))


def check_precision(config: Config) -> None:
    """Raise ConfigError for a precision that was asked for by name, and that the backend does not compute in."""
    backend, precision = config.predict.backend, str(config.trainer.precision)
    if backend in (ONNX, INT8) and precision not in ("auto", "32", "32-true"):
        raise ConfigError(
            f"predict.backend={backend} does not compute in {precision}: leave trainer.precision out, or take predict.backend=torch."
        )


def check_head(context: Context, net: AudioEncoder, weights: str | None, use: str) -> None:
    """Raise WeightsError for a head that its file did not fill, and ConfigError as `check_named`."""
    check_named(context, weights, use)
    check_trained(net, use)


def check_named(context: Context, weights: str | None, use: str) -> None:
    """Raise ConfigError for random weights that were not asked for: by <family>.pretrained=False on the command line or in a named config."""
    family = context.family.name
    if weights is None and not context.experiment.is_set(f"{family}.pretrained"):
        raise ConfigError(
            f"No weights are named, so this network cannot {use}: its answers would be random. Name trained ones by {family}.checkpoint=PATH, or a "
            f"published network ({family}.arch=NAME {family}.pretrained=True, or a named config of such). {family}.pretrained=False says that random "
            "ones are meant."
        )


def warn_of_random(weights: str | None) -> None:
    """Say that a network is untrained, where no weights are named."""
    if weights is None:
        log.warning("This network has RANDOM weights (pretrained=False, no checkpoint): a baseline, nothing else.")


def check_trainable(family: Family, net: AudioEncoder, labels: Sequence[str]) -> None:
    """Raise ConfigError for a network whose checkpoints could not be used: it names another family, or not the classes that it learns."""
    if net.family != family.name:
        raise ConfigError(
            f"{type(net).__name__}.family is {net.family!r}, and the family's name is {family.name!r}: its checkpoints could not be "
            "read again. The network must say the name of its family."
        )
    if labels and net.has_classes and len(net.label_names) != len(labels):
        raise ConfigError(
            f"{type(net).__name__}.label_names has {len(net.label_names)} names, and the data have {len(labels)} labels: no command "
            "could say what its classes are. A network with has_classes names them."
        )


def check_classes(context: Context, config: Config, net: AudioEncoder) -> None:
    """Raise ConfigError for a network without classes, naming the keys that give it some."""
    if net.has_classes:
        return
    family, section = context.family, context.family.section(config)
    head = f"a head by {family.name}.head_checkpoint=HEAD (the head.safetensors of a probe of its embeddings, or a published head), or "
    raise ConfigError(
        f"The network of {family.weights_name(config) or 'this config'} has no head, and so no classes: name "
        f"{head if hasattr(section, 'head_checkpoint') else ''}a checkpoint that was trained on labels ({family.name}.checkpoint=PATH)."
    )
