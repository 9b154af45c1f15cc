// Several answers about one item, one below the other, each as its own form shows it.

const CSS = `
  .part + .part { margin-top: 1.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
  .part h3 { margin-bottom: 0.75rem; color: var(--muted); font-size: 1rem; font-weight: 600; overflow-wrap: anywhere; }`;

const scripts = new Map(); // of the forms that were needed so far, by their names

export async function prepare(model, script) {
  for (const { kind } of Object.values(model.answers)) scripts.set(kind, await script("answers", kind));
}

export default function create(place, page) {
  page.style(CSS);
  const spoken = {};

  /** The page as the script of one answer sees it: its own form is the model's. */
  function pageOf(name) {
    const own = Object.create(page, {
      model: { get: () => ({ ...page.model, ...page.model.answers[name] }) },
    });
    own.speak = (text) => {
      spoken[name] = text && `${name.replaceAll("_", " ")}: ${text}`;
      page.speak(Object.values(spoken).filter(Boolean).join("; "));
    };
    return own;
  }

  const parts = Object.entries(page.model.answers).map(([name, { kind }]) => {
    const part = document.createElement("section");
    part.className = "part";
    part.innerHTML = "<h3></h3><div></div>";
    part.firstChild.textContent = name.replaceAll("_", " ");
    place.append(part);
    return [name, scripts.get(kind).default(part.lastChild, pageOf(name))];
  });

  return {
    show(answer) {
      for (const [name, part] of parts) part.show(answer && { ...answer, ...answer.answers[name] });
    },
    waiting() {
      for (const [, part] of parts) part.waiting();
    },
    curl: "",
  };
}
