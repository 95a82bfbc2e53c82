"""LCNN (light CNN), the back end of the paper's Mel-LCNN and W2V2-LCNN.

Parameter names are those of the authors' released networks, so that a state dict fits both.
Shape legend: B batch, C channels, H height (bands), W width (frames).
"""

import torch
from torch import nn

DROPOUT = 0.7
MAPPED_FEATURES = 80


class MaxFeatureMap(nn.Module):
    """Halve the channels: the larger of channel c and channel c + C/2, in place of a ReLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, ...) to (B, C/2, ...)."""
        first, second = x.chunk(2, dim=1)
        return torch.maximum(first, second)


def _block(
    inputs: int, outputs: int, kernel: int, *, pool: bool = False, norm: bool = False
) -> nn.Sequential:
    """Convolution of unchanged size to 2 x ``outputs`` channels, maxima over space and channels, norm."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, 2 * outputs, kernel, padding=kernel // 2)]
    # Both are maxima, so their order does not matter to the result; pooling first is a third faster.
    if pool:
        layers.append(nn.MaxPool2d(2))
    layers.append(MaxFeatureMap())
    if norm:
        layers.append(nn.BatchNorm2d(outputs, affine=False))
    return nn.Sequential(*layers)


class LCNN(nn.Module):
    """Nine convolutions with max-feature-map activations, then two linear layers and the class scores.

    Args:
        input_shape: Height and width of the input image, for example (80, 505).
        enc_dim: Size of the embedding before the class scores.
    """

    def __init__(self, input_shape: tuple[int, int], enc_dim: int = 256) -> None:
        super().__init__()
        self.conv1 = _block(1, 32, 5, pool=True)
        self.conv2 = _block(32, 32, 1, norm=True)
        self.conv3 = _block(32, 48, 3, pool=True, norm=True)
        self.conv4 = _block(48, 48, 1, norm=True)
        self.conv5 = _block(48, 64, 3, pool=True)
        self.conv6 = _block(64, 64, 1, norm=True)
        self.conv7 = _block(64, 32, 3, norm=True)
        self.conv8 = _block(32, 32, 1, norm=True)
        self.conv9 = _block(32, 32, 3, pool=True)
        self.out = nn.Sequential(
            nn.Dropout(DROPOUT),
            nn.Linear(self.flattened(input_shape), 2 * MAPPED_FEATURES),
            MaxFeatureMap(),
            nn.Linear(MAPPED_FEATURES, enc_dim),
        )
        self.fc_mu = nn.Linear(enc_dim, 2)
        self.to(memory_format=torch.channels_last)  # 1.3 to 1.7 times as fast on a CPU

    @staticmethod
    def flattened(input_shape: tuple[int, int]) -> int:
        """Numbers per image after the convolutions, which halve both sides four times."""
        height, width = input_shape
        return 32 * (height // 16) * (width // 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score images.

        Args:
            x: Shape (B, 1, H, W).

        Returns:
            Logits, shape (B, 2): bona fide, spoof.
        """
        x = x.contiguous(memory_format=torch.channels_last)
        for number in range(1, 10):
            x = getattr(self, f"conv{number}")(x)
        return self.fc_mu(self.out(x.flatten(1)))
