"""Asks an agent and prints its reply as it arrives. Python 3.9 or newer, nothing to install.

    ALM_KEY=alm_live_… python3 ask.py "What can you show me?"
"""

import json
import os
import sys
import urllib.error
import urllib.request

url = os.environ.get("ALM_URL", "http://127.0.0.1:2560")
question = sys.argv[1] if len(sys.argv) > 1 else "Hello"
request = urllib.request.Request(
    f"{url}/api/v1/chat",
    data=json.dumps({"messages": [{"role": "user", "content": question}]}).encode(),
    headers={"Content-Type": "application/json", "Authorization": f"Bearer {os.environ['ALM_KEY']}"},
)

try:
    response = urllib.request.urlopen(request)
except urllib.error.HTTPError as refused:
    sys.exit(json.load(refused)["error"]["message"])

with response:
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[len(b"data: ") :])
        if chunk["type"] == "text-delta":
            print(chunk["delta"], end="", flush=True)
        if chunk["type"] == "error":
            sys.exit(chunk["errorText"])
print()
