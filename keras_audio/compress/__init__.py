"""Smaller networks: structured pruning, half precision, and what a network weighs.

```python
pruned = prune_round(model, 0.2)     # whole kernels to zero, held there by any optimizer
print(pruned.table())
count_weights(model).kilobytes       # by the rule of Pajusco et al. 2020, Table 1
smaller = shrink(model).model        # without the zeroed kernels, with the same outputs
half = half_precision(model)         # every weight rounded to float16, and the input
save_half(half, "weights.npz")
```
"""

from keras_audio.compress.counting import LayerCount, WeightCount, count_weights
from keras_audio.compress.half import (
    RoundToHalf,
    half_precision,
    load_half,
    save_half,
    stored_bytes,
)
from keras_audio.compress.pruning import PrunedLayer, PruningRound, hold_zeros, prune_round
from keras_audio.compress.shrinking import ShrunkLayer, ShrunkModel, shrink

__all__ = [
    "LayerCount",
    "PrunedLayer",
    "PruningRound",
    "RoundToHalf",
    "ShrunkLayer",
    "ShrunkModel",
    "WeightCount",
    "count_weights",
    "half_precision",
    "hold_zeros",
    "load_half",
    "prune_round",
    "save_half",
    "shrink",
    "stored_bytes",
]
