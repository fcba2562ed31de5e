"""The sizes of the embedded model, read from its config.json: another one in its place changes no test."""

import json
from importlib.resources import files

from esmkit.types import ModelShape

_CONFIG = json.loads((files("esmkit.models") / "embedded" / "config.json").read_text(encoding="utf-8"))
SHAPE = ModelShape(_CONFIG["num_hidden_layers"], _CONFIG["hidden_size"], _CONFIG["num_attention_heads"])
