"""Bottleneck adapters (Houlsby et al. 2019; Pfeiffer et al. 2021) as a method of PEFT.

    model = peft.get_peft_model(model, BottleneckConfig(bottleneck_size=64))

Importing this package registers the method; `import tunewright` sees to that whenever `peft` is imported.
"""

from __future__ import annotations

from peft.utils import register_peft_method

from .config import BottleneckConfig
from .layer import BottleneckLayer
from .model import BottleneckModel
from .peft_type import PEFT_TYPE

__all__ = ["BottleneckConfig", "BottleneckLayer", "BottleneckModel"]

register_peft_method(
    name=PEFT_TYPE.value.lower(),
    config_cls=BottleneckConfig,
    model_cls=BottleneckModel,
    prefix=BottleneckModel.prefix,
)
