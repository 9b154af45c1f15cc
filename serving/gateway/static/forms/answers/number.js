// A number with its unit, large, and between what it lies.

import seen from "../seen.js";

const HTML = `
  <div class="result">
    <p>
      <span class="prediction none">–</span>
      <span class="confidence">no answer yet</span>
      <span class="interval"></span>
    </p>
  </div>`;

const CSS = ".interval { display: block; margin-top: 0.5rem; color: var(--muted); font-variant-numeric: tabular-nums; }";
const shown = (value) => value.toLocaleString("en", { maximumSignificantDigits: 4 });

export default function create(place, page) {
  page.style(CSS);
  place.innerHTML = HTML;
  const [result, number, unit, interval] = [".result", ".prediction", ".confidence", ".interval"].map((name) =>
    place.querySelector(name),
  );
  const { figure, show: showSeen } = seen(page);
  result.append(figure);

  return {
    show(answer) {
      const value = answer ? shown(answer.value) : "–";
      const ends = answer?.interval ? `${page.percent(answer.interval, 0)} between ${shown(answer.low)} and ${shown(answer.high)}` : "";
      number.textContent = value;
      number.classList.toggle("none", !answer);
      number.classList.toggle("long", !!answer);
      unit.textContent = answer ? answer.unit : "no answer yet";
      interval.textContent = ends;
      page.speak(answer ? [`${value} ${answer.unit}`, ends].filter(Boolean).join(", ") : "");
      showSeen(answer?.image);
    },
    waiting() {},
    curl: "",
  };
}
