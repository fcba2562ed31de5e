"""Makes the embedded model esm2-mini: 6 layers, width 128, 8 heads, deterministically initialised, untrained.

    python training/init_embedded.py OUTPUT_FOLDER

The files of the folder replace those in src/esmkit/models/embedded. The same torch version gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from esmkit.models.esm2 import Esm2
from esmkit.models.save import save_pretrained
from esmkit.types import ModelShape

SHAPE = ModelShape(num_layers=6, width=128, num_heads=8)
SEED = 20230316
WEIGHT_STD = 0.02
"""As ESM-2 was initialised; norms make the size of the embedding irrelevant."""
CONTACT_BIAS = -3.0
"""Few residues touch: without any signal the model says 5 %."""
ABOUT = {"slug": "esm2-mini", "trained": False}
README = """# esm2-mini: UNTRAINED

The small model inside the esmkit package, its default. It has the architecture of ESM-2 (6 layers, width 128, 8 heads,
LM head and contact head, 1.2 million parameters) and **random weights: it was never trained**. Embeddings, logits and
contacts from it have the right shapes and mean nothing. It is here so that every command can be tried and tested at
once, without a download. For science, use a real checkpoint: `esmkit models pull esm2-650m`.

Made by `training/init_embedded.py` (fixed seed, normal with standard deviation 0.02, contact bias -3), stored as
float16 safetensors in the layout of transformers' EsmForMaskedLM. Licence: Apache-2.0, as esmkit.
"""


def initialised() -> Esm2:
    """The model in fp32 with weights from a seeded generator; biases 0, norms 1."""
    generator = torch.Generator().manual_seed(SEED)
    model = Esm2(SHAPE).requires_grad_(False)
    for name, tensor in model.named_parameters():
        if "norm" in name:
            tensor.fill_(1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("weight"):
            tensor.normal_(0.0, WEIGHT_STD, generator=generator)
        else:
            tensor.zero_()
    model.contact_head.bias.fill_(CONTACT_BIAS)
    return model


def main() -> None:
    """Writes the folder named on the command line."""
    folder = save_pretrained(initialised(), Path(sys.argv[1]), dtype=torch.float16, about=ABOUT)
    (folder / "README.md").write_text(README, encoding="utf-8")


if __name__ == "__main__":
    main()
