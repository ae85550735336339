// @ts-check

// Opens a session, or a new chat.

import { call } from "../lib/api.js";
import { fill } from "../lib/dom.js";
import { knownModels } from "../lib/picker.js";
import { Chat } from "./chat.js";
import { keepUp, keys } from "./live.js";

/**
 * Shows a session in `element`, or with `id: null` one that is yet to be created. `changed(id)` is called when lists of
 * sessions may have changed, with the id of one that was just created; `rename` and `remove` ask the person and return the result.
 * @param {HTMLElement} element
 * @param {{ id: string | null, agent?: string, hit?: { at: string, words: string }, isOwner: boolean, signal: AbortSignal } & SessionActions} options
 */
export async function showChat(element, { id, agent, hit, isOwner, signal, rename, remove, changed }) {
  const [known, agents, session] = await Promise.all([
    knownModels({ signal }),
    call("GET", "/agents?limit=100", undefined, { signal }),
    id && call("GET", `/sessions/${encodeURIComponent(id)}`, undefined, { signal }),
  ]);
  const chat = new Chat({
    known,
    agents: agents.items,
    session,
    agent,
    isOwner,
    signal,
    rename,
    remove,
    changed,
  });
  if (session && hit) await chat.history.open(hit.at);
  else if (session) await chat.showHistory();
  else fill(chat.view.messages, chat.suggestions());
  fill(element, chat.view.element);
  if (chat.waiting.some) chat.tellWaiting();
  chat.box.focus();
  keys(chat);
  keepUp(chat);
  if (!session) return;
  if (hit) chat.showHits(hit);
  else chat.view.toEnd();
  if (chat.history.later) return;
  // Not awaited: it lasts as long as a reply does.
  chat.follow();
}
