// Numbers, typed or pasted: all in one list, or nested as the item is.

const HTML = `
  <label class="numbers"><span></span>
    <textarea id="values" rows="8" spellcheck="false" autocomplete="off"></textarea>
  </label>`;

const CSS = `
  .numbers span { display: block; margin-bottom: 0.5rem; color: var(--muted); }
  .numbers textarea { width: 100%; padding: 0.6rem; border: 1px solid var(--line); border-radius: 8px;
    background: var(--page); color: var(--text); font: 0.875rem/1.5 ui-monospace, monospace; resize: vertical; }`;

export default function create(place, page) {
  page.style(CSS);
  place.innerHTML = HTML;
  const text = place.querySelector("textarea");
  const size = page.model.shape.reduce((product, side) => product * side, 1);
  place.querySelector("span").textContent = `${size} numbers (${page.model.shape.join("×")}), with commas between them`;
  text.addEventListener("input", () => {
    if (text.value.trim()) {
      page.begin({ text: text.value });
      page.ask();
    } else page.begin(null);
  });
  return {
    files: "",
    begin(subject) {
      if (!subject) text.value = "";
    },
    async body(subject) {
      const sent = subject.text.trim();
      return page.json(sent.startsWith("[") ? sent : `[${sent.replace(/[\s,;]+/g, " ").trim().replaceAll(" ", ", ")}]`);
    },
    curl: (address) =>
      `curl -H "Content-Type: application/json" -d '{"${page.model.field}": [${Array(size).fill(0).join(", ")}]}' ${address}`,
  };
}
