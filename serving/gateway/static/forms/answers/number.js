// A number with its unit, large.

import seen from "../seen.js";

const HTML = `
  <div class="result">
    <p>
      <span id="prediction" class="none">–</span>
      <span id="confidence">no answer yet</span>
    </p>
  </div>`;

export default function create(place, page) {
  place.innerHTML = HTML;
  const [result, number, unit] = [".result", "#prediction", "#confidence"].map((name) => place.querySelector(name));
  const { figure, show: showSeen } = seen(page);
  result.append(figure);
  number.className = "none";

  return {
    show(answer) {
      const value = answer?.value.toLocaleString("en", { maximumSignificantDigits: 4 });
      number.textContent = value ?? "–";
      number.className = answer ? "long" : "none";
      unit.textContent = answer ? answer.unit : "no answer yet";
      page.speak(answer ? `${value} ${answer.unit}` : "");
      showSeen(answer?.image);
    },
    waiting() {},
    curl: "",
  };
}
