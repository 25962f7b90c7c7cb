"""The command that finds the nearest recordings of a collection."""

from __future__ import annotations

from pathlib import Path

from models.errors import ConfigError

from ..data.find import demo_data
from ..families.base import Config
from ..prediction.similar import Collection, name_among, print_similar, tokens_of
from ..prediction.similar_pages import Search, write_search
from .context import Context
from .extract import asked_layers, check_asked, extract, settings_of
from .networks import as_trained, load_network
from .predict import asked_audio
from .predict import settings_of as prediction_settings


def similar(context: Context) -> list[str]:
    """Recordings nearest to predict.audio (a file, or the name of a track): cosine of predict.transformer_block over the config's tracks.

    Tracks that are not extracted yet are, as by extract_embeddings. predict.html writes a page: the nearest recordings, each with its player and, of
    a network with classes, a link to the page of what is heard in it.
    """
    config = as_trained(context)
    p, query = config.predict, asked_audio(config)
    wanted = "similar wants predict.format=store, one predict.transformer_block of 0 or more, and one file (or track) as predict.audio."
    if p.format != "store" or Path(query).is_dir():
        raise ConfigError(wanted)
    check_asked(context, config, frames=p.frames, pool=p.pool)
    layers, loaded = asked_layers(context, config)
    if len(layers) > 1 or layers[0] < 0:
        raise ConfigError(wanted)
    layer = layers[0]
    loaded = loaded or load_network(context, config)
    done = extract(context, config, layers, loaded)
    collection = Collection.open(done.paths[layer], done.names, *context.family.tokens(config), p.center)
    if Path(query).is_file():
        tokens = tokens_of(loaded.network, query, layer, settings_of(context, config, loaded, frames=p.frames))
        vector = collection.of_tokens(tokens)
    else:
        vector = collection.vector(query)
    found = collection.nearest(vector, p.top, [name_among(query, _audio_dir(config))])
    print_similar(query, found, p.center, loaded.weights)
    if p.html:
        search = Search(query, found, _audio_dir(config), layer, p.center)
        settings = prediction_settings(config, loaded.weights, loaded.precision)
        context.print(str(write_search(loaded.network, search, Path(p.out_dir) / "similar", settings)))
    return [name for name, _ in found]


def _audio_dir(config: Config) -> str | None:
    """Return the folder of the collection's audio: the config's, or that of the demo music where no data are named; None: not known."""
    c = config.datamodule
    if c.audio_dir is None and c.base_dir is None:
        return str(demo_data(c.demo_tracks)[1].parent / "audio")
    return c.audio_dir
