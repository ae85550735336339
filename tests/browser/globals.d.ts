// The types that scripts of the pages and of /docs share, and what they find beside what they import. The types of the API
// are in `api.d.ts`, which `api-types.mjs` writes.

/** What can be put into an element; what is null, undefined or false is left out. */
type Child = Node | string | number | boolean | null | undefined | Child[];

/** Attributes of an element; `on…` are listeners. */
interface Attributes {
  [listener: `on${string}`]: (event: any) => unknown;
  [name: string]: any;
}

/** The element that `h("p.quiet")` makes. */
type ElementOf<Name extends string> = Name extends `${infer Tag}.${string}`
  ? ElementOf<Tag>
  : Name extends keyof HTMLElementTagNameMap
    ? HTMLElementTagNameMap[Name]
    : HTMLElement;

/** A control of a form. */
type Control = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** What a call takes besides its body; `asks: false` never asks for a password. */
interface CallOptions {
  signal?: AbortSignal;
  headers?: Record<string, string>;
  asks?: boolean;
}

/** What a price is known by. */
type Priced = Pick<Api.Model, "pricing" | "local"> & { paidElsewhere?: boolean };

/** The models to choose from, the one for where none is chosen, and those that were last used. */
interface KnownModels {
  models: Api.Model[];
  usual: string;
  recent: Api.Model[];
}

/** A page of a list. */
interface Items<T> {
  items: T[];
  hasMore: boolean;
  nextCursor: string | null;
}

/** What a section of the settings is given; a call takes it as its options. */
interface Page {
  main: HTMLElement;
  me: Api.Me;
  role: Api.Role;
  slug: string;
  /** What follows the section in the fragment. */
  rest: string[];
  isOwner: boolean;
  signal: AbortSignal;
}

/** What the person can do with a session, and what is called when lists of sessions may have changed. */
interface SessionActions {
  rename: (session: Api.Session) => Promise<Api.Session | undefined>;
  remove: (session: Api.Session) => Promise<boolean>;
  changed: (id: string) => unknown;
}

/** What is known of a call that waits before the server was asked about it. */
type WaitingCall = Pick<CallToAnswer, "approvalId" | "toolName" | "input"> & Partial<CallToAnswer>;

/** What is known of calls that wait for an answer, or did: the card of one, and why one was denied. */
interface Answers {
  cardOf(part: any): HTMLElement | undefined;
  reasonOf(part: any): string | undefined;
}

/** What the parts of the section of tools share. */
interface ToolContext {
  page: Page;
  reload: (tested?: string) => Promise<void>;
}

/** Where a reply goes: in the place of another, or on from the parts of one. */
interface ReplyPlace {
  from?: Element | null;
  before?: any[];
  /** Whether it was asked here, so that all of it is seen. */
  isWatched?: boolean;
  /** How many then stand there. */
  versions?: number;
}

/** Shows what follows the section in the fragment. */
type Follow = (rest: string[]) => unknown;

/** A row of a plot. */
interface PlotRow {
  label: string;
  value: number;
  text: string;
  /** What it is made of, the same in each row that has any. */
  parts?: { label: string; value: number }[];
}

/** A message while it arrives. */
interface Arriving {
  id: string | null;
  role?: string;
  parts: any[];
  metadata: any;
  state: "arriving" | "complete" | "stopped" | "failed";
  error: { message: string } | null;
  /** What it waits for, in words. */
  waits: string | null;
  /** Parts whose end has not come, by kind and id. */
  open: Map<string, any>;
}

/** A message on the page: stored, arriving, or just asked. */
interface ShownMessage {
  id?: string | null;
  role?: string;
  parts: any[];
  metadata?: any;
  status?: string;
  state?: string;
  createdAt?: string;
  /** How often its place was written, and which of these it is. */
  versions?: number;
  version?: number;
  isOlder?: boolean;
  isWatched?: boolean;
  waits?: string | null;
  error?: { message: string } | null;
}

/** The reply in the live panel of /docs. */
interface LiveReply {
  text: string;
  raw: string;
  events: number;
  state: string;
}

/** Swagger UI, from its bundle. */
declare const SwaggerUIBundle: any;

/** A call that waits for a person. */
type CallToAnswer = {
  approvalId: string;
  sessionId: string;
  sessionLabel?: string;
  agentName?: string | null;
  toolName: string;
  input: any;
  policy: string;
  askedAt: string;
  expiresAt: string;
  status: string;
  decidedBy?: any;
};
/** What became of an answer. */
type CallAnswer = { approval: CallToAnswer; remaining: number; resumed: boolean; refusal: string | null };
/** What a test of an MCP server found. */
type ServerTestResult = {
  ok: boolean;
  stages: { name: string; ok: boolean; durationMs: number; error?: string | null }[];
  tools: { name: string }[];
  quarantined: { name: string; fault: string }[];
  log: string;
};
/** What a tool answered that was tried. */
type ToolTryResult = {
  ok: boolean;
  output?: any;
  error?: string | null;
  status?: number | null;
  durationMs: number;
  request?: { method: string; url: string; headerNames: string[] };
};
