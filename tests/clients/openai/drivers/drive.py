"""Runs one driver of this folder: a JSON line on standard input asks for something, one on standard output says what came of it.

Usage: drive.py MODULE CLASS. Such a class has `chat(at, prompt)`, `stream(at, prompt)`, `tool(at, prompt, tool)`, perhaps `models(at)`.
"""

import contextlib
import importlib
import json
import sys
from types import SimpleNamespace


def run(driver, want):
    at = SimpleNamespace(**want["at"])
    if want["does"] == "models":
        return driver.models(at)
    if want["does"] == "tool":
        tool = SimpleNamespace(**want["tool"], call=lambda **_: want["output"])
        return {"text": driver.tool(at, want["prompt"], tool)}
    if want["does"] == "chat":
        text, tokens = driver.chat(at, want["prompt"])
        return {"text": text, "tokens": tokens}
    pieces = []
    with contextlib.closing(driver.stream(at, want["prompt"])) as stream:
        for piece in stream:
            pieces += [piece] if piece else []
            if pieces and want["stop"]:
                break
    return {"pieces": pieces}


def main(module, name):
    # What is printed on the way is not an answer.
    out, sys.stdout = sys.stdout, sys.stderr
    driver = getattr(importlib.import_module(module), name)()
    for line in sys.stdin:
        try:
            said = run(driver, json.loads(line))
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), file=out, flush=True)


main(*sys.argv[1:])
