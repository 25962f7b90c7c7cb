"""MusicFM's stem: two residual blocks of 2-D convolutions that halve bands and frames each, 100 Hz log-mels to 25 Hz vectors."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def halved(n: int) -> int:
    """What is left of n rows or frames behind one block."""
    return -(-n // 2)


class ResidualBlock(nn.Module):
    """[B, C, F, T] -> [B, C', ceil(F / 2), ceil(T / 2)]: two 3 x 3 convolutions beside one, each with batch normalisation; their sum, rectified."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        main = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(main + self.bn3(self.conv3(x)))


class Stem(nn.Module):
    """Normalised log-mels [B, F, M] -> [B, ceil(M / 4), D]. channels: of both blocks. width: D. n_mels: F."""

    def __init__(self, channels: int, width: int, n_mels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(ResidualBlock(1, channels), ResidualBlock(channels, channels))
        self.linear = nn.Linear(channels * halved(halved(n_mels)), width)

    def forward(self, mel: Tensor) -> Tensor:
        maps = self.conv(mel[:, None])  # [B, C, F / 4, T]
        vectors: Tensor = self.linear(maps.permute(0, 3, 1, 2).flatten(2))  # channels slow, bands fast
        return vectors
