"""Makes calls with biolmai 0.2 to 0.5 or biolm-sdk: `python modern.py PACKAGE CALLS`.

To be run by the Python that has the package.
A call: `name`, `action`, `items` (dictionaries, lists of them, or with `type` whatever that says), `params`, `client`
(arguments of the client), `platform_url` (where biolm-sdk shall look for schemas instead of biolm.ai). Prints what came
back, by name, as JSON; of an exception its type and text.
"""

import importlib
import json
import sys
import time


def main() -> None:
    package = importlib.import_module(sys.argv[1])

    def called(call):
        options = call.get("client", {})
        if "platform_url" in call:
            importlib.import_module("biolm.core.http")._PLATFORM_API_URL = call["platform_url"]
        if "type" in call:
            return package.BioLM(
                entity="esm2-8m", action=call["action"], type=call["type"], items=call["items"], **options
            )
        api = package.BioLMApi("esm2-8m", **options)
        if call["action"] == "log_prob":  # has no method of its own
            return api.call("log_prob", call["items"])
        return getattr(api, call["action"])(items=call["items"], params=call.get("params"))

    answers = {}
    for call in json.loads(sys.argv[-1]):
        started = time.monotonic()
        try:
            answer = {"returned": called(call)}
        except Exception as error:
            answer = {"raised": type(error).__name__, "text": str(error)}
        answers[call["name"]] = answer | {"seconds": time.monotonic() - started}
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
