/** The page of an entry: proves its place in the log, and checks what was signed in it. */

import { base64, hex } from "./bytes.js";
import { STATEMENTS, SignedTree, checkEnvelope, proofText } from "./entry.js";
import { Panel, element } from "./panel.js";
import { Reader } from "./tiles.js";

const MAX_SHOWN = 20_000;
const panel = new Panel();
const index = Number(panel.place.dataset.index);

async function prove() {
  try {
    const { key } = await panel.keys();
    const { note, head } = await panel.head(new Reader("/log"), key);
    const tree = new SignedTree(new Reader("/log"), head);
    const proven = await tree.line(index);
    const { entry } = await tree.whole(index, proven.line);
    included(proven, head, key, note);
    show("body", "#body", entry.body);
    await statements(tree, entry);
  } catch (error) {
    panel.verdict.replaceChildren();
    panel.failed(error);
  }
}

function included(proven, head, key, note) {
  const values = { index, size: head.size, key: key.id, n: proven.proof.length };
  panel.holds(panel.say("included", values), [
    panel.say("root", { root: hex(head.root) }), panel.say("leaf", { leaf: hex(proven.leaf) }),
  ]);
  const hashes = proven.proof.map((hash) => `${base64(hash)}\n`).join("");
  const list = element("pre", "", hashes);
  list.tabIndex = 0;
  const save = element("a", "button", panel.say("save"));
  const file = new Blob([proofText(index, proven, note)], { type: "text/plain" });
  save.href = URL.createObjectURL(file);
  save.download = `${index}.tlog-proof`;
  const more = element("details", "", element("summary", "", panel.say("proof")), list);
  panel.verdict.append(more, element("p", "", save));
}

/** Each statement gets its own verdict; what the server showed is replaced by what was verified. */
async function statements(tree, entry) {
  for (const row of STATEMENTS[entry.type] ?? []) {
    const [field] = row;
    if (entry.body[field] === null || entry.body[field] === undefined) continue;
    const place = document.querySelector(`[data-statement="${field}"]`);
    const keyEntry = Number(place?.dataset.keyEntry ?? NaN);
    try {
      if (!Number.isSafeInteger(keyEntry)) {
        (place ?? panel.verdict).append(element("p", "note", panel.say("statement-key")));
        continue;
      }
      const found = await checkEnvelope(tree, entry, row, keyEntry);
      const said = panel.say("statement-holds", { entry: keyEntry });
      place.replaceChildren(element("p", "done", said));
      show(null, `[data-payload="${field}"]`, JSON.parse(found.payload));
    } catch (error) {
      panel.failed(error, place ?? panel.alarm);
    }
  }
}

/** Put verified JSON into the place of what the server showed. */
function show(noteId, selector, value) {
  const text = JSON.stringify(value, null, 1);
  const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  document.querySelector(selector).textContent = cut;
  if (noteId !== null) {
    const note = document.getElementById(`${noteId}-said`);
    note.textContent = panel.say("shown-verified");
    note.hidden = false;
  }
}

/** The entry in plain words: the same page that the link in its place leads to. */
async function tell() {
  const place = document.getElementById("told");
  if (place.dataset.from === undefined) return;
  const answer = await fetch(place.dataset.from, { cache: "no-store" });
  if (!answer.ok) return; // the link stays, and its page says why not
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  place.replaceChildren(...page.getElementById("told").childNodes);
}

void prove();
void tell();
