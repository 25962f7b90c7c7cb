"""What a config.gin says of a network and of its training, as plain settings: which class is which, what may be left out, what cannot be honoured."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from ..errors import ConfigError, nearest
from ..settings import FLAG, Choice, Maybe, Number, Numbers, Rules, check_settings, shown
from ..tokens.masking import Noise, check_noise
from ..tokens.quantizers import FiniteScalarQuantizer, RandomProjectionQuantizer
from .conformer import KERNEL, Conformer
from .cqt import CQT
from .encodec import EnCodec
from .gin_config import GinConfig, Reference
from .representations import MelSpectrogram, Representation, Waveform

log = logging.getLogger(__name__)
REPRESENTATIONS: dict[str, type[Representation]] = {kind.__name__: kind for kind in (MelSpectrogram, CQT, Waveform, EnCodec)}
RANDOM_CODEBOOK, FSQ = "random_codebook", "finite_scalar_quantizer"
NAME = "name"  # of a representation's settings: its class
# bindings of a training that say nothing of the network: read as they are, by whoever trains
TRAINING = (
    "AudioDataset",
    "AudioDataModule",
    "DiscotubeAudioDataModule",
    "CosineAnnealingCallback",
    "train",
    "build_dev_datamodule",
)


@dataclass(frozen=True)
class Masking:
    """The bindings of MaskingModel: what is masked and what is predicted.

    lr, weight_decay: of the optimiser. num_codebooks: per target. codebook_size, codebook_dim: of each. mask_seconds: of a span.
    mask_prob: that a span is masked. seed: of the quantisers. diff_input: see RandomProjectionQuantizer. plot_tokens: show which tokens are used.
    masking_noise_type: what stands in place of masked patches. quantizer_type: random_codebook or finite_scalar_quantizer.
    levels, preserve_symmetry: of the latter.
    """

    lr: float = 1e-4
    weight_decay: float = 1e-2
    num_codebooks: int = 1
    codebook_size: int = 8192
    codebook_dim: int = 16
    mask_seconds: float = 0.4
    mask_prob: float = 0.6
    seed: int = 0
    diff_input: bool = False
    plot_tokens: bool = False
    masking_noise_type: Noise = "random_normal"
    quantizer_type: str = RANDOM_CODEBOOK
    quantization_targets: bool = False
    levels: Sequence[int] = (6, 6, 6, 6, 6)
    preserve_symmetry: bool = True

    def __post_init__(self) -> None:
        check_noise(self.masking_noise_type)
        if self.num_codebooks < 1 or self.codebook_size < 2:
            raise ConfigError(
                f"num_codebooks and codebook_size are 1 and 2 or more; got {self.num_codebooks}, {self.codebook_size}."
            )
        if not 0 < self.mask_prob < 1 or not self.mask_seconds > 0:
            raise ConfigError(
                f"mask_prob lies between 0 and 1 and mask_seconds above 0; got {self.mask_prob} and {self.mask_seconds}."
            )
        if self.quantizer_type not in (RANDOM_CODEBOOK, FSQ):
            raise ConfigError(
                f"quantizer_type is '{self.quantizer_type}'; choose {RANDOM_CODEBOOK} or {FSQ}."
                f"{nearest(self.quantizer_type, (RANDOM_CODEBOOK, FSQ))}"
            )
        if self.quantizer_type == FSQ:
            size = FiniteScalarQuantizer(self.levels).codebook_size
            if size != self.codebook_size:
                raise ConfigError(
                    f"codebook_size is {self.codebook_size}, the product of the FSQ levels {list(self.levels)} is {size}: make them equal."
                )

    def quantizer(self, patch_dim: int, codebook: int) -> RandomProjectionQuantizer | FiniteScalarQuantizer:
        """Return one codebook's quantiser of patches of so many numbers."""
        if self.quantizer_type == FSQ:
            return FiniteScalarQuantizer(self.levels, patch_dim, self.preserve_symmetry, self.seed + codebook)
        return RandomProjectionQuantizer(patch_dim, self.codebook_dim, self.codebook_size, self.seed + codebook, self.diff_input)


@dataclass(frozen=True)
class OmarSettings:
    """A config.gin, read.

    Attributes:
        conformer: arguments of Conformer. input: of the input representation, its class under "name". targets: of the target representations, in
            their order. masking: of the training. checkpoint: base name of the weight file, None where the file names none.
        training: class -> parameter -> value of what else the file binds of a training.
    """

    conformer: Mapping[str, Any]
    input: Mapping[str, Any]
    targets: tuple[Mapping[str, Any], ...]
    masking: Masking
    checkpoint: str | None = None
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of the clips of its training; 30 where the file does not say."""
        frames = self.training.get("AudioDataset", {})
        if not {"num_frames", "orig_freq"} <= set(frames):
            return 30.0
        for name in ("num_frames", "orig_freq"):
            check_settings({name: frames[name]}, {name: Number(1, 1e12)}, "AudioDataset of a config.gin")
        return float(frames["num_frames"] / frames["orig_freq"])


_INPUTS = ("MelSpectrogram", "CQT", "Waveform")
_RULES: Rules = {
    "sr": Number(100, 768_000), "win_len": Number(2, 65_536), "hop_len": Number(1, 65_536), "power": Number(0.01, 100, whole=False),
    "n_mel": Number(1, 4096), "norm": Maybe(Choice(("slaney",))), "mel_scale": Choice(("slaney", "htk")),
    "norm_mean": Maybe(Number(-1e9, 1e9, whole=False)), "norm_std": Maybe(Number(1e-9, 1e9, whole=False)),
    "patch_size": Maybe(Numbers(Number(1, 1_000_000), 2, 2)), "stretch_factor": Number(0.01, 100, whole=False),
    "freq_mask_param": Number(0, 65_536), "time_mask_param": Number(0, 65_536), "bins_per_octave": Number(1, 1000), "n_bins": Number(2, 4096),
    "f_min": Number(0.1, 100_000, whole=False), "magnitude": FLAG, "logC": FLAG,
}  # fmt: skip


# of EnCodec; their base names beside the config are meant, as with ckpt_path, or beside its folder (one of several models)
_FILES = ("weights_path", "stats_path")

_MASKING: Rules = {
    "lr": Number(0, 1e6, whole=False), "weight_decay": Number(0, 1e6, whole=False), "num_codebooks": Number(1, 1024),
    "codebook_size": Number(2, 1 << 22), "codebook_dim": Number(1, 65_536), "mask_seconds": Number(-1e6, 1e6, whole=False),
    "mask_prob": Number(-1e6, 1e6, whole=False), "seed": Number(0, (1 << 63) - 1), "diff_input": FLAG, "plot_tokens": FLAG,
    "masking_noise_type": Choice(get_args(Noise)), "quantizer_type": Choice((RANDOM_CODEBOOK, FSQ)), "quantization_targets": FLAG,
    "levels": Numbers(Number(2, 65_536), 1, 64), "preserve_symmetry": FLAG,
}  # fmt: skip


def check_representation(settings: Any, what: str, error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for settings of an input representation that cannot be. EnCodec's latents are targets only: they need files of their own."""
    if not isinstance(settings, Mapping) or settings.get(NAME) not in _INPUTS:
        raise error(f"{what}: input is {shown(settings)}; wanted settings with a name, {', '.join(_INPUTS)}.")
    check_settings({key: value for key, value in settings.items() if key != NAME}, _RULES, f"{what}, its input", error)


def make_representation(settings: Mapping[str, Any]) -> Representation:
    """Return the representation of `settings`: its class under "name", and its arguments. Raises ConfigError for what it has not."""
    name = settings.get(NAME)
    if name not in REPRESENTATIONS:
        raise ConfigError(
            f"There is no representation '{name}'; choose {', '.join(REPRESENTATIONS)}.{nearest(str(name), REPRESENTATIONS)}"
        )
    arguments = {key: value for key, value in settings.items() if key != NAME}
    _check_arguments(name, REPRESENTATIONS[name], arguments, "the settings of a representation")
    return REPRESENTATIONS[name](**arguments)


def settings_of(config: GinConfig) -> OmarSettings:
    """Return what a config.gin says. Raises ConfigError, naming class and parameter, for what is lacking or cannot be honoured."""
    build = config.of("build_module")
    net = build.get("net")
    if isinstance(net, Reference) and net.key != "conformer":
        raise ConfigError(
            f"{config.source}: build_module.net is @{net.name}; the networks that are known here are conformers (@Conformer)."
        )
    said = build.get("representation")
    listed = isinstance(said, (list, tuple))
    found = list(said) if isinstance(said, (list, tuple)) else [said]
    references = [one for one in found if isinstance(one, Reference)]
    if not references or len(references) < len(found):
        raise ConfigError(
            f"{config.source} binds no build_module.representation: one @Class or a list of them is wanted "
            f"({', '.join(REPRESENTATIONS)})."
        )
    targets = tuple(_representation(config, one, single=not listed) for one in references)
    model = config.of("MaskingModel")
    named = model.pop("input_representation", None)
    if named is None and listed and len(targets) > 1:
        raise ConfigError(f"{config.source} has several representations and names no MaskingModel.input_representation.")
    if named is not None and not isinstance(named, Reference):
        raise ConfigError(f"{config.source}: MaskingModel.input_representation is {named!r}, wanted @Class.")
    chosen = targets[0] if named is None else _representation(config, named, single=False)
    conformer = config.of("Conformer")
    _check_arguments("Conformer", Conformer, conformer, config.source)
    if lacking := [key for key in ("embed_dim", "depth", "num_heads") if key not in conformer]:
        raise ConfigError(
            f"{config.source} does not bind Conformer.{', Conformer.'.join(lacking)}: the network's size is not known."
        )
    if (kernel := conformer.get("conv_kernel_size", KERNEL)) != KERNEL:
        log.info("%s: Conformer.conv_kernel_size is %s and has no effect: the networks have %d.", config.source, kernel, KERNEL)
    fsq = {key: value for key, value in config.of("FiniteScalarQuantizer").items() if key in ("levels", "preserve_symmetry")}
    return OmarSettings(
        _without(conformer, "conv_kernel_size", "num_patches", "patch_size"),
        chosen,
        targets,
        _masking({**model, **fsq}, config.source),
        _base_name(build.get("ckpt_path")),
        {name: config.of(name) for name in TRAINING if config.of(name)},
    )


def _representation(config: GinConfig, reference: Reference, single: bool) -> dict[str, Any]:
    """Settings of a representation that the file names, under its class's name or an alias of it."""
    names = {name.lower(): name for name in REPRESENTATIONS}
    if reference.key not in names:
        raise ConfigError(
            f"{config.source} names the representation @{reference.name}; there are {', '.join(REPRESENTATIONS)}."
            f"{nearest(reference.name, REPRESENTATIONS)}"
        )
    name = names[reference.key]
    arguments = config.of(name)
    _check_arguments(name, REPRESENTATIONS[name], arguments, config.source)
    if not single and "patch_size" not in arguments and name != "EnCodec":
        raise ConfigError(f"{config.source} has several representations and does not bind {name}.patch_size.")
    arguments = {key: list(v) if isinstance(v, tuple) else v for key, v in arguments.items()}
    for key in [key for key in _FILES if name == "EnCodec" and arguments.get(key) is not None]:
        said = _named(arguments.pop(key), f"{config.source}: {name}.{key}")
        if config.folder is not None:  # beside a text there is nothing
            places = [config.folder / said, config.folder.resolve().parent / said]
            arguments[key] = str(next((place for place in places if place.exists()), places[0]))
    return {NAME: name, **arguments}


def _check_arguments(name: str, kind: type, given: Mapping[str, Any], source: str) -> None:
    known = [p for p in inspect.signature(kind).parameters if p != "self"]
    if wrong := [key for key in given if key not in known]:
        raise ConfigError(f"{source}: {name} has no parameter '{wrong[0]}'.{nearest(wrong[0], known)} It has {', '.join(known)}.")
    if loose := [key for key, value in given.items() if isinstance(value, Reference)]:
        raise ConfigError(f"{source}: {name}.{loose[0]} is a class; a value is wanted.")


def _masking(found: Mapping[str, Any], source: str) -> Masking:
    known = {one.name for one in fields(Masking)}
    for key in sorted(set(found) - known):
        log.warning("%s: MaskingModel.%s is not known here and has no effect.%s", source, key, nearest(key, known))
    values = {key: value for key, value in found.items() if key in known and value is not None}
    named = {"masking_noise_type", "quantizer_type"}  # Masking says which texts there are
    ruled = {key: value for key, value in values.items() if key not in named or not isinstance(value, str)}
    check_settings(ruled, _MASKING, f"{source}: MaskingModel")
    return Masking(**values)


def _named(path: Any, what: str) -> str:
    """The base name of a file or folder that stands beside a config, which opens nothing elsewhere."""
    name = _base_name(path.rstrip("/\\")) if isinstance(path, str) and path.isprintable() else None
    if name is None:
        raise ConfigError(f"{what} is {shown(path)}; the name of a file or folder beside the config is wanted.")
    return name


def _base_name(path: Any) -> str | None:
    """The file's name of a path on whoever's machine: nothing else of it is used."""
    if not isinstance(path, str):
        return None
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    return name if name not in ("", ".", "..") else None


def _without(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in names}
