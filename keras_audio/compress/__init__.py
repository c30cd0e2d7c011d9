"""Smaller networks: structured pruning, and what a network weighs.

```python
pruned = prune_round(model, 0.2)     # whole kernels to zero, held there by any optimizer
print(pruned.table())
count_weights(model).kilobytes       # by the rule of Pajusco et al. 2020, Table 1
```
"""

from keras_audio.compress.counting import LayerCount, WeightCount, count_weights
from keras_audio.compress.pruning import PrunedLayer, PruningRound, hold_zeros, prune_round

__all__ = [
    "LayerCount",
    "PrunedLayer",
    "PruningRound",
    "WeightCount",
    "count_weights",
    "hold_zeros",
    "prune_round",
]
