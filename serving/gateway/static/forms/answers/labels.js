// The likeliest label, large, and a bar for the probability of each, or of the likeliest few.

import seen from "../seen.js";

const MOST_BARS = 10; // of more labels than that,
const TOP_BARS = 5; // the likeliest are shown

const HTML = `
  <div class="result">
    <p>
      <span class="prediction none">–</span>
      <span class="confidence">no answer yet</span>
    </p>
  </div>
  <ol class="bars" aria-label="Probability of each label"></ol>`;
const BAR = `<span class="label"></span><span class="track"><span class="fill"></span></span><span class="percent"></span>`;

const CSS = `
  .bars { display: grid; grid-template-columns: fit-content(40%) 1fr 4.8em; gap: 0.45rem 0.75rem; list-style: none;
    font-variant-numeric: tabular-nums; }
  .bars li { display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; align-items: center;
    min-height: 1.5em; color: var(--muted); }
  .bars li.top { color: var(--text); font-weight: 600; }
  .label { overflow-wrap: anywhere; }
  .track { height: 0.7rem; border-radius: 1rem; background: var(--track); overflow: hidden; }
  .fill { display: block; height: 100%; border-radius: inherit; background: var(--bar); transform: translateX(-100%);
    transition: transform 160ms ease-out; }
  .top .fill { background: var(--accent); }
  .percent { text-align: right; }
  @media (prefers-reduced-motion: reduce) { .fill { transition: none; } }
  @media (forced-colors: active) { .fill { background: Highlight; forced-color-adjust: none; } }`;

export default function create(place, page) {
  page.style(CSS);
  place.innerHTML = HTML;
  const [result, prediction, confidence, bars] = [".result", ".prediction", ".confidence", ".bars"].map((name) =>
    place.querySelector(name),
  );
  const { figure, show: showSeen } = seen(page);
  result.append(figure);

  function bar() {
    const row = document.createElement("li");
    row.innerHTML = BAR;
    return row;
  }

  function showBars(probabilities, best) {
    const { labels, ordered } = page.model;
    let rows = labels.map((label, index) => ({ label, share: probabilities?.[index], top: index === best }));
    if (rows.length > MOST_BARS || !ordered) {
      // Before an answer no label is ahead of the others, so none is named.
      rows = rows.sort((a, b) => b.share - a.share).slice(0, TOP_BARS);
      if (!probabilities) rows.forEach((row) => (row.label = "–"));
    }
    while (bars.children.length > rows.length) bars.lastElementChild.remove();
    while (bars.children.length < rows.length) bars.append(bar());
    rows.forEach(({ label, share, top }, index) => {
      const row = bars.children[index];
      row.classList.toggle("top", top);
      row.querySelector(".label").textContent = label;
      row.querySelector(".fill").style.transform = `translateX(${100 * ((share ?? 0) - 1)}%)`;
      row.querySelector(".percent").textContent = share === undefined ? "" : page.percent(share);
    });
  }

  return {
    show(answer) {
      const probabilities = answer?.probabilities[0];
      const label = answer ? page.model.labels[answer.prediction] ?? String(answer.prediction) : "–";
      const share = answer ? page.percent(probabilities[answer.prediction]) : "no answer yet";
      prediction.textContent = label;
      prediction.classList.toggle("none", !answer);
      prediction.classList.toggle("long", !!answer && label.length > 2);
      confidence.textContent = share;
      page.speak(answer ? `${label}, ${share}` : "");
      showBars(probabilities, answer?.prediction);
      showSeen(answer?.image);
    },
    waiting() {},
    curl: "",
  };
}
