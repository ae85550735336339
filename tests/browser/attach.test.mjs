// Files in a chat: pasted, dropped and chosen; what is sent of them, and what is refused in words.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { status, text } from "../clients/fake-upstream.mjs";
import { axeFinds, chatWith, mine, replies, written } from "./chats.mjs";
import { startOwned } from "./person.mjs";

const MIB = 1024 * 1024;
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const IMAGE = { name: "dot.png", mimeType: "image/png", buffer: PNG };
const NOTES = { name: "notes.md", mimeType: "", buffer: Buffer.from("# Café\n") };

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

/** What every model can do, as `/models` says it. */
const capabilities = (page, able) =>
  page.route("**/api/v1/models", async (route) => {
    const response = await route.fetch();
    const { data } = await response.json();
    for (const model of data.items) model.capabilities = able;
    await route.fulfill({ response, json: { data } });
  });

const box = (page) => page.getByRole("textbox", { name: "Message" });
const attached = (page) => page.getByRole("list", { name: "Attached files" });
const refused = (page) => page.locator(".composer").getByRole("alert");

/** Chooses files as the paper clip does. */
async function choose(page, ...files) {
  const [chooser] = await Promise.all([
    page.waitForEvent("filechooser"),
    page.getByRole("button", { name: "Attach files" }).click(),
  ]);
  await chooser.setFiles(files);
}

/** Gives the page a file as a paste into the box or a drop onto the messages does. */
const give = (page, kind, selector, { name, mimeType, buffer }) =>
  page.evaluate(
    ({ kind, selector, name, mimeType, base64 }) => {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], name, { type: mimeType }));
      const init = { bubbles: true, cancelable: true };
      const event =
        kind === "paste"
          ? new ClipboardEvent(kind, { ...init, clipboardData: data })
          : new DragEvent(kind, { ...init, dataTransfer: data });
      document.querySelector(selector).dispatchEvent(event);
      return event.defaultPrevented;
    },
    { kind, selector, name, mimeType, base64: buffer.toString("base64") },
  );

/** Drops a text of so many bytes. */
const dropText = (page, name, bytes) =>
  page.evaluate(
    ({ name, bytes }) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([new Uint8Array(bytes).fill(97)], name));
      document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer }));
    },
    { name, bytes },
  );

test("an image and a text are chosen, pasted and dropped, shown in the box, sent with the question and kept", async () => {
  await alm.signedIn(async (page) => {
    await capabilities(page, ["text", "tools", "images"]);
    const requests = await chatWith(alm, page, [text("Seen.")]);
    await choose(page, IMAGE, NOTES);
    await attached(page).getByRole("img", { name: "dot.png" }).waitFor();
    await attached(page).getByText("notes.md").waitFor();
    assert.equal(await give(page, "paste", ".composer textarea", { ...IMAGE, name: "pasted.png" }), true);
    assert.equal(await give(page, "drop", ".messages", { ...IMAGE, name: "dropped.png" }), true);
    await attached(page).getByRole("img", { name: "dropped.png" }).waitFor();
    await page.getByRole("button", { name: "Remove pasted.png" }).click();
    assert.equal(await attached(page).getByRole("listitem").count(), 3);
    assert.deepEqual(await axeFinds(page), []);

    await box(page).fill("What is it?");
    await page.keyboard.press("Enter");
    await replies(page).getByText("Seen.", { exact: true }).waitFor();
    await written(page);
    assert.equal(await attached(page).count(), 0);
    const { content } = requests.at(-1).body.messages.at(-1);
    const url = `data:image/png;base64,${PNG.toString("base64")}`;
    assert.deepEqual(
      content.map(({ type, image_url, text }) => (type === "image_url" ? image_url.url : text)),
      [url, "notes.md:\n# Café\n", url, "What is it?"],
    );
    await page.reload();
    await mine(page).getByRole("img", { name: "dot.png" }).waitFor();
    await mine(page).getByText("notes.md").waitFor();
  });
});

test("files go without a word, and come back into the box with what was refused", async () => {
  await alm.signedIn(async (page) => {
    await capabilities(page, ["text", "images"]);
    await chatWith(alm, page, [status(401), text("Seen.")]);
    await choose(page, NOTES);
    await attached(page).getByText("notes.md").waitFor();
    await box(page).press("Enter");
    await refused(page).waitFor();
    await attached(page).getByText("notes.md").waitFor();
    await box(page).press("Enter");
    await replies(page).getByText("Seen.", { exact: true }).waitFor();
    await written(page);
    assert.equal(await mine(page).count(), 1);
  });
});

test("what cannot be sent is refused at once, in words", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [text("No.")]);
    const zip = { name: "a.zip", mimeType: "application/zip", buffer: Buffer.from([0x50, 0x4b, 0, 0xff]) };
    const zeros = { name: "zeros.txt", mimeType: "text/plain", buffer: Buffer.from("a\0b") };
    for (const file of [zip, zeros, { ...zip, name: "a.heic", mimeType: "image/heic" }]) {
      await choose(page, file);
      await refused(page).getByText(`${file.name} cannot be attached. Attach images`).waitFor();
    }
    // The bound, one below it and one above: a body of 20 MiB less a quarter of one, three bytes in four letters.
    const most = Math.floor(((20 - 0.25) * MIB * 3) / 4);
    await dropText(page, "over.txt", most + 1);
    await refused(page).getByText("over.txt is too large: a message takes 20 MiB").waitFor();
    assert.equal(await attached(page).count(), 0);
    await dropText(page, "at.txt", most);
    await attached(page).getByText("at.txt").waitFor();
    await dropText(page, "more.txt", 1_000);
    await refused(page).getByText("With more.txt the message is too large").waitFor();
    await page.getByRole("button", { name: "Remove at.txt" }).click();
    await choose(page, ...Array.from({ length: 21 }, (_, at) => ({ ...NOTES, name: `${at}.txt` })));
    await refused(page).getByText("A message takes 20 files.").waitFor();
    assert.equal(await attached(page).getByRole("listitem").count(), 20);
  });
});

test("a model that cannot see is not sent an image, and the page says so", async () => {
  await alm.signedIn(async (page) => {
    await capabilities(page, ["text"]);
    const requests = await chatWith(alm, page, [text("Read.")]);
    await choose(page, IMAGE, NOTES);
    await attached(page).getByText("notes.md").waitFor();
    await box(page).fill("What is it?");
    await box(page).press("Enter");
    await refused(page).getByText("cannot see images. Choose another model, or remove the image.").waitFor();
    assert.equal(requests.length, 0);
    assert.equal(await box(page).inputValue(), "What is it?");
    await page.getByRole("button", { name: "Remove dot.png" }).click();
    await box(page).press("Enter");
    await replies(page).getByText("Read.", { exact: true }).waitFor();
    await written(page);
  });
});
