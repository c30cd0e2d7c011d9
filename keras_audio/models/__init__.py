"""The model zoo: one file a network family, found by name.

```python
keras_audio.list_models("m34*")
model = keras_audio.create_model("m34_res_rb4", 10)
```
"""

from keras_audio.models import binaural, erann, m_nets, residual_blocks, resnet, two_path
from keras_audio.models.cut import cut_model
from keras_audio.models.registry import (
    ModelInfo,
    create_model,
    list_models,
    model_info,
    register_model,
)

__all__ = [
    "ModelInfo",
    "binaural",
    "create_model",
    "cut_model",
    "erann",
    "list_models",
    "m_nets",
    "model_info",
    "register_model",
    "residual_blocks",
    "resnet",
    "two_path",
]
