"""Graph attention and graph pooling of AASIST (Jung et al. 2022, arXiv 2110.01200, sections 3.2 to 3.4).

The nodes of a graph are frames or bands; every node is joined with every other and with itself. Parameter
names are those of the released networks, so that a state dict fits both.
Shape legend: B batch, N nodes, S and T nodes of the two kinds of a mixed graph, D and E channels,
P = N (N + 1) / 2 pairs of nodes.
"""

from functools import lru_cache

import torch
from torch import nn

INPUT_DROPOUT = 0.2
POOL_DROPOUT = 0.3


@lru_cache(maxsize=64)
def _pairs(nodes: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Both ends of every pair i <= j, each (P,), and the pair of every cell of the map (N * N,)."""
    with torch.inference_mode(mode=False):  # a cached inference tensor could not be used in training
        first, second = torch.triu_indices(nodes, nodes, device=device)
        cells = torch.empty(nodes, nodes, dtype=torch.int64, device=device)
        cells[first, second] = cells[second, first] = torch.arange(first.numel(), device=device)
    return first, second, cells.flatten()


def _column(channels: int) -> nn.Parameter:
    """Weights (E, 1) that turn the E channels of an edge into its attention score."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(channels, 1)))


def _normalised(norm: nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
    """Batch norm over the channels of (B, N, E), then SELU."""
    return nn.functional.selu(norm(x.flatten(0, 1)).view_as(x))


class _Attention(nn.Module):
    """What both kinds of layers share: edges between all nodes, projection, norm."""

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.att_proj = nn.Linear(inputs, outputs)
        self.proj_with_att = nn.Linear(inputs, outputs)
        self.proj_without_att = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)
        self.input_drop = nn.Dropout(INPUT_DROPOUT)

    def _edges(self, nodes: torch.Tensor) -> torch.Tensor:
        """Features of all pairs of ``nodes`` (B, N, D): shape (B, P, E).

        The product of two nodes does not depend on their order, so half of the map is enough.
        """
        first, second, _ = _pairs(nodes.shape[1], nodes.device)
        return torch.tanh(self.att_proj(nodes.index_select(1, first) * nodes.index_select(1, second)))

    def _attend(self, nodes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Mix ``nodes`` (B, N, D) by the scores (B, P) of their pairs: shape (B, N, E)."""
        count = nodes.shape[1]
        cells = _pairs(count, nodes.device)[2]
        attention = (scores.index_select(1, cells).unflatten(1, (count, count)) / self.temperature).softmax(2)
        return _normalised(self.bn, self.proj_with_att(attention @ nodes) + self.proj_without_att(nodes))


class GraphAttentionLayer(_Attention):
    """Attention between nodes of one kind.

    Args:
        inputs: Channels D of a node.
        outputs: Channels E of a node of the output.
        temperature: What the attention scores are divided by.
    """

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__(inputs, outputs, temperature)
        self.att_weight = _column(outputs)

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        """Map nodes (B, N, D) to (B, N, E)."""
        nodes = self.input_drop(nodes)
        return self._attend(nodes, (self._edges(nodes) @ self.att_weight).squeeze(2))


class HeterogeneousGraphAttentionLayer(_Attention):
    """Attention between nodes of two kinds, with a stack node that gathers from all of them.

    Args:
        inputs: Channels D of a node.
        outputs: Channels E of a node of the output.
        temperature: What the attention scores are divided by.
    """

    def __init__(self, inputs: int, outputs: int, temperature: float) -> None:
        super().__init__(inputs, outputs, temperature)
        self.proj_type1 = nn.Linear(inputs, inputs)
        self.proj_type2 = nn.Linear(inputs, inputs)
        self.att_projM = nn.Linear(inputs, outputs)
        self.att_weight11 = _column(outputs)
        self.att_weight22 = _column(outputs)
        self.att_weight12 = _column(outputs)
        self.att_weightM = _column(outputs)
        self.proj_with_attM = nn.Linear(inputs, outputs)
        self.proj_without_attM = nn.Linear(inputs, outputs)

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, stack: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Attend within and between two groups of nodes.

        Args:
            first: Nodes of the first kind, shape (B, T, D).
            second: Nodes of the second kind, shape (B, S, D).
            stack: The stack node, shape (B, 1, D) or (1, 1, D).

        Returns:
            Both groups and the stack node, shapes (B, T, E), (B, S, E) and (B, 1, E).
        """
        counts = first.shape[1], second.shape[1]
        nodes = self.input_drop(torch.cat([self.proj_type1(first), self.proj_type2(second)], dim=1))

        edges = torch.tanh(self.att_projM(nodes * stack))
        attention = (edges @ self.att_weightM / self.temperature).softmax(1)
        gathered = attention.transpose(1, 2) @ nodes
        stack = self.proj_with_attM(gathered) + self.proj_without_attM(stack)

        nodes = self._attend(nodes, self._scores(nodes, counts[0]))
        return *nodes.split(counts, dim=1), stack

    def _scores(self, nodes: torch.Tensor, first_count: int) -> torch.Tensor:
        """Scores (B, P); a pair is weighted by how many of its two nodes are of the second kind."""
        one, other, _ = _pairs(nodes.shape[1], nodes.device)
        kinds = (one >= first_count).long() + (other >= first_count).long()
        columns = torch.stack([self.att_weight11, self.att_weight12, self.att_weight22]).squeeze(2)
        return (self._edges(nodes) * columns.index_select(0, kinds)).sum(2)


class GraphPool(nn.Module):
    """Keep the better half of the nodes, best first, each weighted by its score.

    Args:
        channels: Channels D of a node.
        ratio: Share of the nodes that stay; at least one does.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.proj = nn.Linear(channels, 1)
        self.drop = nn.Dropout(POOL_DROPOUT)

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        """Map nodes (B, N, D) to (B, max(N * ratio, 1), D)."""
        scores = self.proj(self.drop(nodes)).sigmoid()
        kept = scores.topk(max(int(nodes.shape[1] * self.ratio), 1), dim=1).indices
        return (nodes * scores).take_along_dim(kept, dim=1)
