// Sends a photo, a clip or a text to the program that serves this page, and shows its answer.
const drop = document.getElementById("drop");
const input = document.getElementById("file"); // null on the page of a run on texts
const text = document.getElementById("text"); // null on the others
const status = document.getElementById("status");
const answer = document.getElementById("answer");
let file = null;
let asked = 0;

function say(words, isError = false) {
  status.textContent = words;
  status.classList.toggle("error", isError);
  if (isError) answer.replaceChildren();
}

function size(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

async function ask(explain = null) {
  const limit = Number((input ?? text).dataset.limit);
  if (file.size > limit) return say(`${file.name}: too large: ${size(file.size)}, more than ${size(limit)}`, true);
  const turn = ++asked;
  answer.classList.add("old");
  say(`looking at ${file.name} …`);
  try {
    const response = await fetch(explain === null ? "answer" : `answer?explain=${explain}`, { method: "POST", body: file });
    const html = await response.text();
    if (turn !== asked) return; // another file was chosen meanwhile
    if (!response.ok) return say(`${file.name}: ${html}`, true);
    answer.innerHTML = html; // comes from a template that escapes its values
    say(`${file.name}, ${size(file.size)}`);
    const button = explain === null ? null : answer.querySelector(`[data-explain="${explain}"]`);
    (button ?? answer).focus({ preventScroll: button !== null });
  } catch {
    if (turn === asked) say(`${file.name}: no answer; the program may have stopped, or the file may have changed`, true);
  } finally {
    if (turn === asked) answer.classList.remove("old");
  }
}

function take(files) {
  if (!files.length) return;
  if (files.length > 1) return say("choose one file at a time", true);
  [file] = files;
  ask();
}

function takeText() {
  file = new File([text.value], "your text", { type: "text/plain;charset=utf-8" }); // the page's own encoding
  ask();
}

input?.addEventListener("change", () => {
  take(input.files);
  input.value = ""; // so that the same file can be chosen again
});
document.getElementById("ask")?.addEventListener("click", takeText);
text?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) takeText();
});
answer.addEventListener("click", (event) => {
  const button = event.target.closest("[data-explain]");
  if (button) ask(button.dataset.explain);
});
// Accept drops anywhere on the page: otherwise a photo that is dropped beside the field replaces the page.
for (const kind of input ? ["dragover", "dragleave", "drop"] : []) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}
