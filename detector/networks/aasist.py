"""AASIST on self-supervised features, the back end of the paper's W2V2-AASIST and WavLM-AASIST.

AASIST is by Jung et al. 2022 (arXiv 2110.01200); this is the variant of the Codecfake authors (arXiv
2405.04880), who feed it with a 1024-channel hidden state in place of the wave. Parameter names are those of
their released networks, so that a state dict fits both.
Shape legend: B batch, C channels, H height (bands), W width (frames), N nodes.
"""

from itertools import pairwise

import torch
from torch import nn

from codecfake.detector.networks.graph_attention import (
    GraphAttentionLayer,
    GraphPool,
    HeterogeneousGraphAttentionLayer,
)

PROJECTED = 128
POOLED = 3
BANDS = PROJECTED // POOLED
ENCODER_CHANNELS = (1, 32, 32, 64, 64, 64, 64)
NODE_CHANNELS = 64
MIXED_CHANNELS = 32
TEMPERATURE = 2.0
MIXED_TEMPERATURE = 100.0
POOL_RATIO = 0.5
BRANCH_DROPOUT = 0.2
EMBEDDING_DROPOUT = 0.5


class ResidualBlock(nn.Module):
    """Two convolutions of unchanged size, and the input added to what they give.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        first: Whether this is the encoder's first block, which has no `bn1`.
    """

    def __init__(self, inputs: int, outputs: int, *, first: bool) -> None:
        super().__init__()
        if not first:
            # AASIST computes this norm and then convolves the input that was not normalised. Kept for the
            # names only, and never trained: data-parallel training refuses parameters without a gradient.
            self.bn1 = nn.BatchNorm2d(inputs).requires_grad_(False)
        self.conv1 = nn.Conv2d(inputs, outputs, (2, 3), padding=(1, 1))
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, (2, 3), padding=(0, 1))
        if inputs != outputs:
            self.conv_downsample = nn.Conv2d(inputs, outputs, (1, 3), padding=(0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, outputs, H, W)."""
        out = self.conv2(nn.functional.selu(self.bn2(self.conv1(x)), inplace=True))
        return out + (self.conv_downsample(x) if hasattr(self, "conv_downsample") else x)


class AASIST(nn.Module):
    """Spectro-temporal graph attention over a feature map of any number of frames.

    Args:
        height: Channels of the features, 1024 for XLS-R-300M and WavLM-large.
    """

    def __init__(self, height: int = 1024) -> None:
        super().__init__()
        self.LL = nn.Linear(height, PROJECTED)
        self.first_bn = nn.BatchNorm2d(1)
        pairs = pairwise(ENCODER_CHANNELS)
        self.encoder = nn.Sequential(
            *(
                nn.Sequential(ResidualBlock(inputs, outputs, first=number == 0))
                for number, (inputs, outputs) in enumerate(pairs)
            )
        )
        self.first_bn1 = nn.BatchNorm2d(NODE_CHANNELS)
        self.attention = nn.Sequential(
            nn.Conv2d(NODE_CHANNELS, 2 * NODE_CHANNELS, 1),
            nn.SELU(inplace=True),
            nn.BatchNorm2d(2 * NODE_CHANNELS),
            nn.Conv2d(2 * NODE_CHANNELS, NODE_CHANNELS, 1),
        )
        self.pos_S = nn.Parameter(torch.randn(1, BANDS, NODE_CHANNELS))
        self.GAT_layer_S = GraphAttentionLayer(NODE_CHANNELS, NODE_CHANNELS, TEMPERATURE)
        self.GAT_layer_T = GraphAttentionLayer(NODE_CHANNELS, NODE_CHANNELS, TEMPERATURE)
        self.pool_S = GraphPool(NODE_CHANNELS, POOL_RATIO)
        self.pool_T = GraphPool(NODE_CHANNELS, POOL_RATIO)
        for branch in (1, 2):
            self.register_parameter(f"master{branch}", nn.Parameter(torch.randn(1, 1, NODE_CHANNELS)))
            for step, channels in ((1, NODE_CHANNELS), (2, MIXED_CHANNELS)):
                layer = HeterogeneousGraphAttentionLayer(channels, MIXED_CHANNELS, MIXED_TEMPERATURE)
                self.add_module(f"HtrgGAT_layer_ST{branch}{step}", layer)
            self.add_module(f"pool_hS{branch}", GraphPool(MIXED_CHANNELS, POOL_RATIO))
            self.add_module(f"pool_hT{branch}", GraphPool(MIXED_CHANNELS, POOL_RATIO))
        self.out_layer = nn.Linear(5 * MIXED_CHANNELS, 2)
        self.drop_way = nn.Dropout(BRANCH_DROPOUT)
        self.drop = nn.Dropout(EMBEDDING_DROPOUT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score feature maps.

        Args:
            x: Shape (B, 1, H, W), W >= 3.

        Returns:
            Logits, shape (B, 2): bona fide, spoof.
        """
        x = self._encode(x)
        weights = self.attention(x)
        spectral = (x * weights.softmax(3)).sum(3).transpose(1, 2) + self.pos_S
        temporal = (x * weights.softmax(2)).sum(2).transpose(1, 2)
        spectral = self.pool_S(self.GAT_layer_S(spectral))
        temporal = self.pool_T(self.GAT_layer_T(temporal))

        branches = [self._branch(number, temporal, spectral) for number in (1, 2)]
        # One dropout for each of the six, in the order of the parts: both temporal, both spectral, both stacks.
        temporal, spectral, stack = (
            torch.maximum(*(self.drop_way(part) for part in parts)) for parts in zip(*branches, strict=True)
        )
        embedding = torch.cat(
            [
                temporal.abs().amax(1),
                temporal.mean(1),
                spectral.abs().amax(1),
                spectral.mean(1),
                stack.squeeze(1),
            ],
            dim=1,
        )
        return self.out_layer(self.drop(embedding))

    def _encode(self, x: torch.Tensor) -> torch.Tensor:
        """Map features (B, 1, H, W) to (B, 64, 42, W // 3)."""
        x = (self.LL.weight @ x.squeeze(1) + self.LL.bias[:, None]).unsqueeze(1)
        x = nn.functional.selu(self.first_bn(nn.functional.max_pool2d(x, POOLED)), inplace=True)
        return nn.functional.selu(self.first_bn1(self.encoder(x)), inplace=True)

    def _branch(
        self, number: int, temporal: torch.Tensor, spectral: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mixed attention, pooling, and mixed attention once more on top."""
        stack = getattr(self, f"master{number}")
        temporal, spectral, stack = getattr(self, f"HtrgGAT_layer_ST{number}1")(temporal, spectral, stack)
        spectral = getattr(self, f"pool_hS{number}")(spectral)
        temporal = getattr(self, f"pool_hT{number}")(temporal)
        more = getattr(self, f"HtrgGAT_layer_ST{number}2")(temporal, spectral, stack)
        return temporal + more[0], spectral + more[1], stack + more[2]
