"""Training on top of the same model that answers: `mlm` is masked-language-model training.

Data flows one way here too: corpus -> stream (order, crops, packing) -> masking -> objective -> mlm (the loop), which
keeps its state in a folder and says what happens through an observer. Nothing here prints or knows a command line.
"""
