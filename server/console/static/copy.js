/**
 * Buttons that copy a command. Without JavaScript they stay hidden: the command can be selected.
 *
 * A button's `data-copy` is the id of what it copies; `data-copied` is what it says for a moment
 * afterwards. Buttons that htmx brings in later are shown as they come.
 */

const SAID_MS = 2000;

/** Shows every button that can work here. */
function show() {
  for (const button of document.querySelectorAll("button[data-copy][hidden]")) {
    button.hidden = false;
  }
}

/**
 * Copies what a button names, and says so.
 *
 * @param {HTMLButtonElement} button
 * @returns {Promise<void>}
 */
async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const told = button.querySelector("span");
  if (source === null || told === null || told.textContent === button.dataset.copied) return;
  await navigator.clipboard.writeText(source.textContent);
  const before = told.textContent;
  told.textContent = button.dataset.copied;
  setTimeout(() => {
    told.textContent = before;
  }, SAID_MS);
}

if (navigator.clipboard) {
  show();
  document.body.addEventListener("htmx:afterSwap", show);
  document.body.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button !== null) copy(button).catch(() => {});
  });
}
