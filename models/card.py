"""What is known of a published set of weights. A plain record: everything that names weights may import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelCard:
    """What is known of a published set of weights.

    Attributes:
        name: unique. family: the folder of models/ that builds the network.
        file: name of the weights' file. url: where it is released. format: who wrote it, which picks the family's conversion.
        n_classes: columns of its heads. labels: name of the label list in models/labels, None when the heads are not kept.
        sample_rate: Hz. front_end: name of the front end's settings. max_seconds: longest input of one pass.
        licence: of the weights; shown when they are downloaded. sha256: of the file, or its first digits; None when not known: kept on the first
            download then. size: of the file, bytes; None when not known. hashes_from: who says these two.
        hub: Hugging Face repository with the same weights, if any. note: what else a user should know.
        package: requirement ("name==version") whose wheel `file` is, in the package index that pip is set up for; the url is its home page then.
        command: that shows what the model does, for whoever lacks another's weights.
        encoder: of a head's weights: the card of the encoder that they belong to.
        aliases: short names, which mean this card wherever a name is given (torch.hub's and timm's names are these).
        default: the model that is taken where none is named; one card at most.
        parts: names of the files that it consists of, where these are several: a folder named as the card, or the hub's repository.
        embedding_rate: vectors per second; None where a pass gives one. depth: number of layers. embed_dim: width of their vectors.
        parameters: number of them, as published where that is said. scores: published, by task and metric.
        paradigm: how it was trained. training_hours: of audio. training_seconds: length of its training clips. released: ISO date.
    """

    name: str
    family: str
    file: str
    url: str
    format: str
    n_classes: int
    sample_rate: int
    front_end: str
    max_seconds: float
    licence: str
    labels: str | None = None
    sha256: str | None = None
    hub: str | None = None
    note: str = ""
    encoder: str | None = None
    aliases: tuple[str, ...] = ()
    default: bool = False
    parts: tuple[str, ...] = ()
    embedding_rate: float | None = None
    depth: int | None = None
    embed_dim: int | None = None
    parameters: int | None = None
    paradigm: str = ""
    training_hours: float | None = None
    training_seconds: float | None = None
    released: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    size: int | None = None
    hashes_from: str = ""
    package: str | None = None
    command: str = ""
