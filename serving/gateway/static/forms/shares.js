// The classes of a mask: their colours, and the share of each.

const COLOURS = [[15, 107, 104], [201, 88, 32], [102, 77, 173], [178, 40, 84], [60, 120, 30], [140, 110, 0]];

const CSS = `
  .shares { display: grid; gap: 0.3rem; margin-top: 0.75rem; list-style: none; font-variant-numeric: tabular-nums; }
  .shares li { display: flex; align-items: center; gap: 0.6rem; overflow-wrap: anywhere; }
  .shares i { flex: none; width: 0.9rem; height: 0.9rem; border: 1px solid var(--line); border-radius: 3px; }
  .shares b { margin-left: auto; }`;

/** Red, green and blue of a class by its place; nothing for the background. */
export const colour = (place) => place && COLOURS[(place - 1) % COLOURS.length];

/** What shows shares by name in a list, with nothing none; `more` gives what is told of a class besides. */
export default function create(list, page) {
  page.style(CSS);
  list.className = "shares";
  return (found, more = () => "") =>
    list.replaceChildren(
      ...page.model.classes.map((name, index) => {
        const row = document.createElement("li");
        row.append(document.createElement("i"), name, document.createElement("b"));
        if (index) row.firstChild.style.background = `rgb(${colour(index)})`;
        row.lastChild.textContent = found ? [page.percent(found[name]), more(name)].filter(Boolean).join(" · ") : "";
        return row;
      }),
    );
}
