// @ts-check

// Models: where they come from, whether they work, what they cost, and which one is the default.

import { call } from "../../lib/api.js";
import { ask } from "../../lib/dialog.js";
import { busy, el, fill, h, notify } from "../../lib/dom.js";
import { count, number } from "../../lib/format.js";
import { modelPicker } from "../../lib/picker.js";
import { editProvider } from "./edit.js";
import { localModels, showLocalModels } from "./local.js";
import { connect } from "./providers.js";
import { testPanel } from "./provider-test.js";
import { loading, nothing } from "../../lib/states.js";
import { showModels } from "./table.js";

/** @typedef {{ page: Page, reload: (tested?: string) => Promise<void>, tested?: string }} ProviderContext */

/**
 * Shows the section.
 * @param {Page} page
 */
export async function models(page) {
  const found = h("div");
  const chosen = h("div.field");
  const own = h("div");
  const providers = h("div", loading());
  const all = h("div", loading());
  /** @type {(() => void) | undefined} */
  let stop;
  /** @param {string} [tested] the provider to test at once */
  const reload = async (tested) => {
    // Waited for together, so that nothing moves when the last has come. The look takes a second at most.
    const [list, models, org, ours, local] = await Promise.all([
      call("GET", "/providers", undefined, page),
      call("GET", "/models", undefined, page),
      call("GET", "/org", undefined, page),
      localModels(page),
      page.isOwner ? call("GET", "/providers/local", undefined, page).catch(() => ({ items: [] })) : { items: [] },
    ]);
    // A server that was found is offered, in the place of the news that there is none.
    const isOffered = list.items.length === 0 && local.items.length > 0;
    if (isOffered) fill(providers);
    else showProviders(providers, list.items, ours.length > 0, { page, reload, tested });
    showModels(all, models.items);
    showDefault(chosen, models.items, org, page);
    showLocal(found, local.items, { page, reload });
    stop?.();
    stop = showLocalModels(own, ours, page);
  };
  const add = async () => {
    const provider = await connect();
    if (!provider) return;
    if (!provider.local && provider.models.length > 0) await editProvider(provider, { asks: true });
    await reload(provider.id);
  };
  fill(
    page.main,
    h(
      "div.head",
      h("h1", "Models"),
      page.isOwner && el("button.primary", { type: "button", onclick: add }, "Connect a provider"),
    ),
    h(
      "p.lead",
      "A provider is any server with an OpenAI-compatible API: on this machine, on your network, or a hosted service.",
    ),
    own,
    found,
    providers,
    h("h2", "Default model"),
    chosen,
    h("h2", "All models"),
    all,
  );
  await reload();
}

/** How often is looked whether a server has loaded its model. */
const LOADING_MS = 2_000;

/**
 * Offers the model servers of this machine that are not connected yet; one that loads its model, once that is done.
 * @param {HTMLElement} found
 * @param {Api.LocalServer[]} servers
 * @param {ProviderContext} context
 */
function showLocal(found, servers, { page, reload }) {
  /** @param {Api.LocalServer} server */
  const offer = ({ slug, name, baseUrl, models, isLoading }) => {
    /** @param {any} event */
    const take = (event) =>
      busy(event.target, "Connecting…", async () => {
        const body = { slug, kind: "openai-compatible", baseUrl, models: models.map((id) => ({ id })) };
        const made = await call("POST", "/providers", body);
        await reload(made.id);
      });
    const state = isLoading ? " and is loading its model…" : ` with ${count(models.length, "model")}.`;
    return h(
      "div.offer-card",
      h("p", h("strong", name ?? slug), " is running at ", h("code", baseUrl), state),
      !isLoading && el("button.primary", { type: "button", onclick: take }, "Connect"),
    );
  };
  fill(found, servers.map(offer));
  if (!servers.some(({ isLoading }) => isLoading)) return;
  setTimeout(async () => {
    if (page.signal.aborted) return;
    const local = await call("GET", "/providers/local", undefined, page).catch(() => undefined);
    if (local) showLocal(found, local.items, { page, reload });
  }, LOADING_MS);
}

/**
 * @param {HTMLElement} element
 * @param {Api.Provider[]} providers
 * @param {boolean} hasOwn whether the server runs a model itself
 * @param {ProviderContext} context
 */
function showProviders(element, providers, hasOwn, context) {
  if (providers.length === 0) {
    const text = hasOwn
      ? "The model above replies. It needs no network and costs nothing."
      : "Until you connect one, the built-in demo model replies. It needs no setup, and says that it is a demo. With llama.cpp's " +
        "llama-server and one GGUF file the server runs a model itself: alm serve --gguf FILE.";
    return fill(element, nothing("No provider yet", text));
  }
  return fill(
    element,
    h(
      "ul.cards",
      providers.map((provider) => h("li.card", card(provider, context))),
    ),
  );
}

/**
 * @param {Api.Provider} provider
 * @param {ProviderContext} context
 */
function card(provider, { page, reload, tested }) {
  const { id, slug, baseUrl, cassette, local, hasApiKey, apiKeyEnv, models } = provider;
  const test = testPanel(provider);
  /**
   * @param {string} text
   * @param {(event: any) => unknown} onclick
   * @param {boolean} [danger]
   */
  const button = (text, onclick, danger) =>
    el(
      danger ? "button.small.danger" : "button.small",
      { type: "button", onclick, "aria-label": `${text} ${slug}` },
      text,
    );
  /** @param {any} event */
  const refresh = (event) =>
    busy(event.target, "Refreshing…", async () => {
      const { models } = await call("POST", `/providers/${id}/refresh`);
      notify(`${slug} has ${count(models.length, "model")}.`);
      await reload();
    });
  const remove = async () => {
    if (
      !(await ask(
        `Remove ${slug}?`,
        "This organization loses its models. Agents that use them fail until they are given another.",
        "Remove",
      ))
    )
      return;
    await call("DELETE", `/providers/${id}`);
    notify(`Removed ${slug}.`);
    await reload();
  };
  const edit = () => editProvider(provider).then((done) => done && reload(id));
  const testButton = button("Test", () => test.ask(testButton));
  // One that was just connected is tested at once.
  if (tested === id) queueMicrotask(() => test.run(testButton));
  const offered = models.filter(({ offered }) => offered !== false).length;
  const offer = offered === models.length ? number(offered) : `${number(offered)} of ${number(models.length)}`;
  const key = hasApiKey ? "stored encrypted" : apiKeyEnv ? `from ${apiKeyEnv}` : "none";
  return [
    h(
      "div.card-head",
      h("h2", slug),
      h(`span.badge.${local ? "live" : "off"}`, local ? "this machine" : "remote"),
      page.isOwner &&
        h(
          "div.card-actions",
          testButton,
          button("Refresh", refresh),
          button("Edit", edit),
          button("Remove", remove, true),
        ),
    ),
    h(
      "dl.facts",
      h("div", h("dt", cassette ? "Cassette" : "Base URL"), h("dd", h("code", cassette ? cassette.file : baseUrl))),
      h("div", h("dt", "Key"), h("dd", key)),
      provider.paidElsewhere && h("div", h("dt", "Paid"), h("dd", "elsewhere")),
      h("div", h("dt", "Models"), h("dd", offer)),
    ),
    test.element,
  ];
}

/**
 * @param {HTMLElement} element
 * @param {Api.Model[]} models
 * @param {Api.Org} org
 * @param {Page} page
 */
function showDefault(element, models, org, page) {
  const choice = {
    none: `Built-in: ${org.builtInModel}`,
    chosen: org.defaultModel,
    changed: async (/** @type {string} */ model) => {
      try {
        await call("PATCH", "/org", { defaultModel: model || null });
        before = model;
        notify(`Saved: ${picker.control.value}.`);
      } catch (error) {
        picker.choose(before);
        notify(error.message);
      }
    },
  };
  const attributes = { id: "default-model", disabled: !page.isOwner };
  const picker = modelPicker("defaultModel", { models, recent: [], usual: "" }, choice, attributes);
  let before = picker.value();
  fill(
    element,
    el("label.plain", { for: "default-model" }, "Used when neither the chat nor its agent names a model"),
    picker.control,
  );
}
