"""The command that finds the nearest recordings of a collection."""

from __future__ import annotations

from pathlib import Path

from models.errors import ConfigError
from models.untrained import untrained

from ..prediction.predict import RANDOM
from ..prediction.predict import predict as tag_audio
from ..prediction.similar import Collection, name_among, print_similar, tokens_of
from .context import Context
from .extract import asked_layers, extract, settings_of
from .networks import as_trained, load_network
from .predict import asked_audio
from .predict import settings_of as prediction_settings


def similar(context: Context) -> list[str]:
    """Recordings nearest to predict.audio (a file, or the name of a track): cosine of predict.transformer_block over the config's tracks.

    Tracks that are not extracted yet are, as by extract_embeddings. With predict.html a file's page shows them too, where the network has classes.
    """
    config = as_trained(context)
    p, query = config.predict, asked_audio(config)
    layers = asked_layers(context, config)
    if p.format != "store" or len(layers) > 1 or layers[0] < 0 or Path(query).is_dir():
        raise ConfigError(
            "similar wants predict.format=store, one predict.transformer_block of 0 or more, and one file (or track) as predict.audio."
        )
    layer = layers[0]
    loaded = load_network(context, config)
    done = extract(context, config, layers, loaded)
    collection = Collection.open(done.paths[layer], done.names, *context.family.tokens(config), p.center)
    left_out = [name_among(query, config.datamodule.audio_dir)]
    if not Path(query).is_file():
        found = collection.nearest(collection.vector(query), p.top, left_out)
        print_similar(query, found, p.center)
        return [name for name, _ in found]
    tokens = tokens_of(loaded.network, query, layer, settings_of(context, config, loaded))
    found = collection.nearest(collection.of_tokens(tokens), p.top, left_out)
    print_similar(query, found, p.center)
    if p.html and loaded.network.has_classes and not untrained(loaded.network) and loaded.weights != RANDOM:
        note = "Nearest recordings are by the cosine of the block's embeddings" + (
            ", the collection's mean taken off." if p.center else "."
        )
        settings = prediction_settings(config, loaded.weights, loaded.precision)
        written = tag_audio(
            loaded.network, query, Path(p.out_dir) / "similar", settings, neighbours=lambda name: found, notes=[note]
        ).written
        context.print(*map(str, written))
    return [name for name, _ in found]
