"""A Python program that carries alm inside: starts it, learns where it is from one line, asks, and takes it along when it goes.

ALM=./alm python3 python.py "What can you do?"
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

question, folder = (sys.argv[1:] + ["Hello", "data"][len(sys.argv) - 1 :])[:2]


def ask(url, org, key):
    """Asks the built-in agent, and shows the answer as it comes."""
    body = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
    headers = {"authorization": f"Bearer {key}", "x-alumia-org": org, "content-type": "application/json"}
    try:
        response = urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1/chat", body, headers))
    except urllib.error.HTTPError as error:
        sys.exit(json.load(error)["error"]["message"])
    with response:
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[len("data: ") :])
            if chunk["type"] == "text-delta":
                print(chunk["delta"], end="", flush=True)
            if chunk["type"] == "error":
                sys.exit(chunk["errorText"])
    print()


# Its standard input is a pipe of ours. When we are gone, however that came, the pipe ends, and alm drains and goes as well.
command = [os.environ.get("ALM", "alm"), "serve", "--sidecar", "--data-dir", folder, "--provision", "-"]
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as alm:
    # What there should be: an organization, and a key that is made anew at each start.
    alm.stdin.write(json.dumps({"org": "acme", "key": {"name": "app"}}).encode() + b"\n")
    alm.stdin.flush()
    said = json.loads(alm.stdout.readline())
    if said["alm"] != "ready":
        sys.exit(said["message"])
    ask(said["url"], said["org"], said["key"])
    alm.stdin.close()
