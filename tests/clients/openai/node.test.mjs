// Clients that are libraries for JavaScript: see expectations.mjs.

import { suite } from "./expectations.mjs";

suite("node");
