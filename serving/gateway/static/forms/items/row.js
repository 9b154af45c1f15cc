// A row of a table: a field for each column, filled with an example.

const CSS = `
  .row { display: grid; grid-template-columns: 1fr minmax(6rem, 9rem); gap: 0.4rem 0.75rem; align-items: center;
    max-height: 34rem; overflow: auto; font-size: 0.9375rem; }
  .row label { display: contents; overflow-wrap: anywhere; }
  .row input, .row select { width: 100%; padding: 0.35rem 0.5rem; border: 1px solid var(--line); border-radius: 8px;
    background: var(--page); color: var(--text); font: inherit; font-variant-numeric: tabular-nums; text-align: end; }
  .row input:invalid { border-color: var(--alarm); }`;

/** Text as a shell takes it between single quotes. */
const quoted = (text) => text.replaceAll("'", String.raw`'\''`);

export default function create(place, page) {
  page.style(CSS);
  place.className = "row";
  const { columns, example, choices = [], optional = false } = page.model;
  const fields = columns.map((name, index) => {
    const label = document.createElement("label");
    const kind = choices[index]?.length ? "select" : "input";
    const [words, field] = ["span", kind].map((tag) => label.appendChild(document.createElement(tag)));
    words.textContent = name;
    if (kind === "select") {
      field.append(...choices[index].map((word, place) => new Option(word, place)));
      if (optional) field.append(new Option("(missing)", ""));
    } else Object.assign(field, { type: "number", step: "any", required: !optional });
    place.append(label);
    return field;
  });

  function ask() {
    const complete = fields.every((input) => input.checkValidity());
    page.begin(complete ? { values: fields.map((input) => input.value) } : null);
    if (complete) page.ask();
  }

  fields.forEach((field) => field.addEventListener("input", ask));

  return {
    files: "",
    first: { values: example },
    begin(subject) {
      if (subject?.values === example) fields.forEach((input, index) => (input.value = example[index]));
    },
    body: async ({ values }) => page.json(named(values)),
    curl: (address) =>
      `curl -H "Content-Type: application/json" -d '{"${page.model.field}": ${quoted(named(example))}}' ${address}`,
  };

  function named(values) {
    return `{${columns.map((name, index) => `${JSON.stringify(name)}: ${value(index, values[index])}`).join(", ")}}`;
  }

  /** A field's value in JSON. */
  function value(index, given) {
    if (given === "") return "null";
    return choices[index]?.length ? JSON.stringify(choices[index][given]) : given;
  }
}
