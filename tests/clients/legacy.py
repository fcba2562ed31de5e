"""Makes calls with the classes of biolmai 0.1: `python legacy.py CALLS`, run by the Python that has it.

A call: `name`, `class`, `action`, `sequences`, `params`, `changes` (attributes of the class to change), `unchecked`
(true sends what the client itself would refuse), `token`. Prints what came back, by name, as JSON.
"""

import json
import os
import sys
from contextlib import redirect_stdout


def main() -> None:
    import biolmai  # not at the top: pytest imports this file, looking for examples

    def called(call):
        base = getattr(biolmai, call["class"])
        changes = call.get("changes", {}) | ({"encode_input_classes": (str,)} if call.get("unchecked") else {})
        os.environ["BIOLMAI_TOKEN"] = call.get("token", token)
        model = type(base.__name__, (base,), changes)()
        options = {"params": call["params"]} if "params" in call else {}
        return getattr(model, call["action"])(call["sequences"], **options)

    token = os.environ["BIOLMAI_TOKEN"]
    with redirect_stdout(sys.stderr):  # the client prints "Requesting ..."
        answers = {call["name"]: called(call) for call in json.loads(sys.argv[-1])}
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
