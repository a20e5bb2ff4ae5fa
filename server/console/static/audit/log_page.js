/** The page of the log: verifies all of it when asked, and looks at its head at once. */

import { Panel } from "./panel.js";
import { Reader } from "./tiles.js";
import { verifyLog } from "./verify.js";

const panel = new Panel();
const form = document.getElementById("keys-form");
const typed = document.getElementById("keys");
const forget = document.getElementById("forget");
const working = document.getElementById("working");
const bar = document.getElementById("progress");
const done = document.getElementById("done");
const before = document.getElementById("before");
let asked = false; // to verify: then what a mere look found comes too late to be said

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void verify();
});
forget.addEventListener("click", () => {
  asked = true;
  panel.forget();
  panel.clear();
  typed.value = "";
  showBefore();
  panel.verdict.textContent = panel.say("forgotten");
});

/** At once: what was verified before, and whether the newest head can follow it. */
async function look() {
  const kept = panel.remembered();
  if (kept?.yours) typed.value = kept.keys;
  showBefore();
  try {
    const { key } = await panel.keys(typed.value);
    const { head } = await panel.head(new Reader("/log"), key);
    if (!asked) panel.verdict.textContent = panel.say("head", { size: head.size, key: key.id });
  } catch (error) {
    if (!asked) panel.failed(error);
  }
}

async function verify() {
  asked = true;
  const button = form.querySelector("button");
  const began = performance.now();
  button.disabled = true;
  panel.clear();
  progress(0, 1);
  working.hidden = false;
  try {
    const keys = await panel.keys(typed.value);
    const kept = panel.remembered();
    const found = await verifyLog({ reader: new Reader("/log"), ...keys, before: kept, progress });
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    panel.holds(panel.say("holds", found.head), lines(found, keys, kept, seconds));
    panel.remember(found.head, keys, typed.value.trim());
    showBefore();
  } catch (error) {
    panel.failed(error);
  } finally {
    working.hidden = true;
    button.disabled = false;
  }
}

function lines(found, { key, yours }, kept, seconds) {
  const said = [panel.say(yours ? "signed-yours" : "signed-theirs", { key: key.text })];
  for (const { who, time } of found.cosigned) {
    said.push(panel.say("cosigned", { who, time: panel.moment(Number(time)) }));
  }
  if (found.cosigned.length === 0) said.push(panel.say("cosigned-nobody"));
  if (found.strangers.length > 0) {
    said.push(panel.say("strangers", { who: found.strangers.join(", ") }));
  }
  const then = found.continued;
  said.push(then === null ? panel.say("first")
    : panel.say("continues", { size: then.size, time: panel.moment(kept.time) }));
  said.push(panel.say("took", { seconds }));
  return said;
}

function progress(now, all) {
  bar.max = all;
  bar.value = now;
  done.textContent = all === 1 ? "" : panel.say("working", { done: now, all });
}

function showBefore() {
  const kept = panel.remembered();
  forget.hidden = kept === null;
  before.hidden = kept === null;
  if (kept !== null) {
    before.textContent = panel.say("before", { size: kept.size, time: panel.moment(kept.time) });
  }
}

void look();
