// Clients of Python, libraries and commands: see expectations.mjs.

import { suite } from "./expectations.mjs";

suite("python");
