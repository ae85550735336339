#!/usr/bin/env -S python3 -SE
"""A llama-server without a model: it lives, answers, refuses and ends as the suite `local` has seen the real one do.

Beside it lie `plan.json`, how it lives: one object, or one for each start, the last of which holds for ever; what it was given,
`starts.jsonl` and `requests.jsonl`; what became of it, `events.jsonl`; and the gates that a test has opened, `gate.NAME`.
What a plan may say, and what the text of the last message may ask for, is where it is read: `PLAN` and `asked`.
Rule: it decides by its plan and by what it is asked. Where it waits, it waits for a gate.
"""
import json, os, re, select, signal, socket, sys, threading, time, zlib

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
LOCK = threading.RLock()
TOKEN_BYTES = 4
LOOK_SECONDS = 0.005
CACHED_PROMPTS_MAX = 32
PLAN = {
    "version": {"text": "version: 11434 (0a1b2c3d)\nbuilt with GNU 12.2.0 for Linux x86_64\n"},  # text; code or signal; hangs
    "dies": None,  # {"at": "start" or "load", "says": text, "code" or "signal"}
    "loads": None,  # a gate; without one it is ready at once
    "deaf": False,  # it hears no SIGTERM
    "forks": False,  # it has started another process, which hears none either
    "chatters": False,  # it talks for ever, with and without ends of lines
    "keeps_slot": False,  # it never sees that a client has hung up
    "window": None,  # another window of a slot than the arguments say
    "tools": True,  # whether its template has tools
    "says": "A few words of a model.",
}


def path(name):
    return os.path.join(HERE, name)


def note(name, what):
    with LOCK, open(path(name), "a") as file:
        file.write(json.dumps(what) + "\n")


def event(what, **more):
    note("events.jsonl", {"event": what, "pid": os.getpid(), **more})


def end(how):
    """Ends at once: by a signal, or with a code."""
    sys.stderr.write(how.get("says", ""))
    sys.stderr.flush()
    if "signal" in how:
        os.kill(os.getpid(), how["signal"])
        time.sleep(60)
    os._exit(how.get("code", 1))


def plan(starts):
    try:
        with open(path("plan.json")) as file:
            told = json.load(file)
    except FileNotFoundError:
        told = {}
    if isinstance(told, list):
        told = told[min(starts, len(told) - 1)]
    return {**PLAN, **told}


def starts_before():
    try:
        with open(path("starts.jsonl")) as file:
            return sum(1 for _ in file)
    except FileNotFoundError:
        return 0


def asked(body):
    """What the last message of a user asks for, as words `name=value`."""
    texts = [message["content"] for message in body["messages"] if message["role"] == "user"]
    text = texts[-1] if texts else ""
    if not isinstance(text, str):
        text = " ".join(part.get("text", "") for part in text)
    # What was asked before and not answered is sent in one message with it.
    text = text.rsplit("\n\n", 1)[-1]
    told = dict(re.findall(r"\b(words|reads|waits|breaks|calls|dies|dies-once)=(\S+)", text))
    once = told.pop("dies-once", None)
    if once:
        mark = path("died.%08x" % zlib.crc32(text.encode()))
        if not os.path.exists(mark):
            open(mark, "w").close()
            told["dies"] = once
    return told


class Gone(Exception):
    """The client has hung up."""


class Server:
    def __init__(self, arguments, told):
        value = lambda name: arguments[len(arguments) - 1 - arguments[::-1].index(name) + 1]
        self.told = told
        self.alias = value("--alias")
        self.slots = int(value("-np"))
        self.window = told["window"] or int(value("-c")) // self.slots
        self.ping = float(value("--sse-ping-interval"))
        self.free = self.slots
        self.streams = 0
        self.prompts = []
        self.ready = False
        self.leaves = False
        host = value("--host")
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.bind(host)
        except OSError:
            end({"says": "srv: couldn't bind HTTP server socket, hostname: %s, port: 8080\n" % host})
        os.chmod(host, 0o755)
        self.socket.listen(128)

    def load(self):
        dies = self.told["dies"]
        gate = self.told["loads"]
        while gate and not os.path.exists(path("gate." + gate)):
            time.sleep(LOOK_SECONDS)
        if dies and dies["at"] == "load":
            end(dies)
        sys.stderr.write("main: model loaded\n")
        sys.stderr.flush()
        self.ready = True

    def on_term(self, *_):
        if self.leaves or not self.ready:
            os._exit(1 if self.leaves else 0)
        self.leaves = True
        event("term")
        threading.Thread(target=self.leave, daemon=True).start()

    def leave(self):
        # It hears its clients out, but writes them no word more.
        while self.streams:
            time.sleep(LOOK_SECONDS)
        os._exit(0)

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        file = connection.makefile("rb")
        try:
            while True:
                head = file.readline().split()
                if not head:
                    return
                length, goes_on = 0, True
                while (line := file.readline()) not in (b"\r\n", b""):
                    name, _, text = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(text)
                    goes_on &= line.lower().split() != [b"connection:", b"close"]
                self.route(connection, head[1].decode(), file.read(length))
                if not goes_on:
                    return
        except (OSError, Gone):
            pass
        finally:
            connection.close()

    def route(self, connection, target, body):
        if not self.ready:
            error = {"code": 503, "message": "Loading model", "type": "unavailable_error"}
            self.answer(connection, "503 Service Unavailable", {"error": error})
        elif target == "/health":
            self.answer(connection, "200 OK", {"status": "ok"})
        elif target == "/props":
            event("props")
            caps = {"supports_tools": self.told["tools"], "supports_tool_calls": self.told["tools"]}
            settings = {"params": {}, "n_ctx": self.window}
            self.answer(connection, "200 OK", {
                "default_generation_settings": settings, "total_slots": self.slots, "model_alias": self.alias,
                "modalities": {"vision": False, "video": False, "audio": False}, "chat_template": "",
                "chat_template_caps": caps, "build_info": "b11434-0a1b2c3d", "is_sleeping": False,
            })
        elif target == "/v1/models":
            meta = {"n_ctx": self.window, "n_ctx_train": 8192, "n_params": 64, "size": 256, "ftype": "F32"}
            architecture = {"input_modalities": ["text"], "output_modalities": ["text"]}
            model = {"id": self.alias, "object": "model", "owned_by": "llamacpp", "architecture": architecture, "meta": meta}
            self.answer(connection, "200 OK", {"object": "list", "data": [model]})
        elif target == "/v1/chat/completions":
            Reply(self, connection, json.loads(body)).give()
        else:
            error = {"code": 404, "message": "File Not Found", "type": "not_found_error"}
            self.answer(connection, "404 Not Found", {"error": error})

    def answer(self, connection, status, body):
        body = json.dumps(body).encode()
        head = "HTTP/1.1 %s\r\nServer: llama.cpp\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head.encode() % (status.encode(), len(body)) + body)


class Reply:
    """One answer, as a stream or whole."""

    def __init__(self, server, connection, body):
        self.server, self.connection, self.body = server, connection, body
        self.streams, self.asked = body.get("stream", False), asked(body)
        self.sees = not server.told["keeps_slot"]
        self.text, self.last_sent, self.has_slot = [], time.monotonic(), False
        note("requests.jsonl", body)

    def give(self):
        server = self.server
        prompt = json.dumps(self.body.get("tools", "")) + json.dumps(self.body["messages"])
        tokens = len(prompt) // TOKEN_BYTES
        if tokens >= server.window:
            message = "the request exceeds the available context size, try increasing it"
            error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
            error |= {"n_prompt_tokens": tokens, "n_ctx": server.window}
            return server.answer(self.connection, "400 Bad Request", {"error": error})
        self.take_slot()
        try:
            with LOCK:
                server.streams += 1
            self.speak(prompt, tokens)
        except (OSError, Gone):
            event("hung up")
            raise
        finally:
            while not self.sees and not os.path.exists(path("gate.free")):
                time.sleep(LOOK_SECONDS)
            self.give_slot()
            with LOCK:
                server.streams -= 1

    def give_slot(self):
        """Before the last words of an answer, as the real one."""
        with LOCK:
            if not self.has_slot:
                return
            self.has_slot = False
            self.server.free += 1
        event("free")

    def take_slot(self):
        server, waits = self.server, False
        while True:
            with LOCK:
                if server.free:
                    server.free -= 1
                    self.has_slot = True
                    return
            if not waits:
                waits = True
                event("queued")
            self.pause(pings=False)

    def speak(self, prompt, tokens):
        server = self.server
        if self.streams:
            head = "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            self.connection.sendall(head.encode())
            self.chunk({"role": "assistant", "content": None})
        self.dies("prompt")
        self.wait("reads")
        shared = (len(os.path.commonprefix([prompt, old])) // TOKEN_BYTES for old in server.prompts)
        # From the last token the answer is made.
        cached = min(tokens - 1, max([0, *shared]))
        server.prompts = [*server.prompts, prompt][-CACHED_PROMPTS_MAX:]
        if "breaks" in self.asked:
            error = {"code": 500, "message": "The model produced output that does not match the template", "type": "server_error"}
            self.send({"error": error})
            return self.close()
        name = self.asked.get("calls")
        if name and self.body["messages"][-1]["role"] == "user":
            call = {"index": 0, "id": "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9aB3dE", "type": "function"}
            self.chunk({"tool_calls": [{**call, "function": {"name": name, "arguments": "{"}}]})
            self.chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]})
            return self.finish("tool_calls", tokens, cached, 4)
        count = int(self.asked.get("words", 0))
        words = ["w%d " % n for n in range(count)] or re.findall(r"\S+\s*", server.told["says"])
        limit = min(self.body.get("max_tokens") or server.window, server.window - tokens)
        for n, word in enumerate(words[:limit]):
            self.hold()
            self.chunk({"content": word})
            self.text.append(word)
            if n == 0:
                self.dies("answer")
                self.wait("waits")
        self.finish("length" if len(words) > limit else "stop", tokens, cached, len(words[:limit]))

    def dies(self, where):
        at, _, how = self.asked.get("dies", "").partition(":")
        if at == where:
            event("dies")
            end({"says": "GGML_ASSERT failed\n", **({"code": int(how[4:])} if how.startswith("exit") else {"signal": int(how)})})

    def wait(self, name):
        gate = self.asked.get(name)
        if gate:
            event(name)
        while gate and not os.path.exists(path("gate." + gate)):
            self.pause()

    def hold(self):
        while self.server.leaves:
            self.pause()

    def pause(self, pings=True):
        """A moment, after which the client may have gone."""
        if pings and self.streams and time.monotonic() - self.last_sent > self.server.ping:
            self.write(b":\n\n")
        if not self.sees:
            return time.sleep(LOOK_SECONDS)
        if select.select([self.connection], [], [], LOOK_SECONDS)[0] and not self.connection.recv(1, socket.MSG_PEEK):
            raise Gone

    def write(self, data):
        self.last_sent = time.monotonic()
        try:
            self.connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        except OSError:
            if self.sees:
                raise

    def send(self, what):
        if self.streams:
            self.write(b"data: %s\n\n" % json.dumps(what).encode())

    def chunk(self, delta, finish=None, **more):
        self.send({"choices": [{"finish_reason": finish, "index": 0, "delta": delta}], **self.around(), **more})

    def around(self, kind="chat.completion.chunk"):
        return {"created": int(time.time()), "id": "chatcmpl-1", "model": self.server.alias, "object": kind}

    def finish(self, reason, tokens, cached, said):
        self.give_slot()
        usage = {"completion_tokens": said, "prompt_tokens": tokens, "total_tokens": tokens + said}
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
        timings = {"cache_n": cached, "prompt_n": tokens - cached, "prompt_ms": 2.0 * (tokens - cached)}
        timings |= {"predicted_n": said, "predicted_ms": 10.0 * said, "predicted_per_second": 100.0}
        if not self.streams:
            message = {"role": "assistant", "content": "".join(self.text)}
            choice = {"finish_reason": reason, "index": 0, "message": message}
            whole = {"choices": [choice], "usage": usage, "timings": timings, **self.around("chat.completion")}
            return self.server.answer(self.connection, "200 OK", whole)
        self.chunk({}, reason)
        self.send({"choices": [], "usage": usage, "timings": timings, **self.around()})
        self.write(b"data: [DONE]\n\n")
        self.close()

    def close(self):
        if self.streams:
            self.connection.sendall(b"0\r\n\r\n")


def chatter():
    while True:
        sys.stderr.write("x" * 4096 + ("\n" if time.monotonic() % 2 < 1 else ""))
        time.sleep(LOOK_SECONDS)


def fork():
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execvp("sleep", ["sleep", "1000"])
    note("forked.jsonl", child)


def main():
    starts, arguments = starts_before(), sys.argv[1:]
    told = plan(starts)
    if arguments == ["--version"]:
        version = told["version"]
        while version.get("hangs"):
            time.sleep(1)
        if "text" not in version:
            end(version)
        sys.stderr.write(version["text"])
        return
    if arguments == ["--list-devices"]:
        print("Available devices:\n  (none)")
        return
    note("starts.jsonl", {"pid": os.getpid(), "args": arguments, "env": dict(os.environ)})
    if told["dies"] and told["dies"]["at"] == "start":
        end(told["dies"])
    if told["forks"]:
        fork()
    server = Server(arguments, told)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if told["deaf"] else server.on_term)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for work in [server.load] + [chatter] * told["chatters"]:
        threading.Thread(target=work, daemon=True).start()
    server.serve()


main()
