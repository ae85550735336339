// Clients that are programs: see expectations.mjs.

import { suite } from "./expectations.mjs";

suite("programs");
