// A mask over what the model saw of a volume, in three planes, as strong as one likes it; each class's share and size.

import planes from "../planes.js";
import create, { colour } from "../shares.js";

const HTML = `
  <div class="planes" hidden></div>
  <label class="strength" hidden>Mask <input type="range" min="0" max="100" value="50"></label>
  <p class="saved"><span class="state"></span> <a class="save" download="mask.nii.gz" hidden>Save it</a></p>
  <ul></ul>`;

const CSS = `
  .strength { display: flex; align-items: center; gap: 0.75rem; margin-top: 0.75rem; color: var(--muted); }
  .strength[hidden] { display: none; }
  .strength input { flex: 1; accent-color: var(--accent); }
  .saved { margin-top: 0.5rem; color: var(--muted); }`;

export default function volumeMask(place, page) {
  page.style(CSS);
  place.innerHTML = HTML;
  const [views, strength, opacity, state, save, list] = [
    ".planes", ".strength", ".strength input", ".state", ".save", "ul",
  ].map((name) => place.querySelector(name));
  const { show } = planes(views, page, colour);
  const showShares = create(list, page);
  let asked = null; // what the last answer was to

  const fade = () => views.querySelectorAll(".over").forEach((canvas) => (canvas.style.opacity = opacity.value / 100));
  opacity.addEventListener("input", fade);
  fade();

  return {
    show(answer) {
      show(answer?.volume, answer?.shown, asked !== page.subject);
      asked = page.subject;
      strength.hidden = save.hidden = !answer;
      state.textContent = answer ? "" : page.subject ? "no mask yet" : `Choose a ${page.model.noun} to see its mask here.`;
      save.href = answer ? `data:application/gzip;base64,${answer.mask}` : "";
      const size = (name) => {
        const found = answer?.millilitres?.[name];
        return found === undefined ? "" : `${found.toLocaleString("en", { maximumSignificantDigits: 3 })}\u00a0ml`;
      };
      showShares(answer?.shares, size);
      const named = page.model.classes.slice(1).map((name) => `${name} ${size(name) || page.percent(answer?.shares[name] ?? 0)}`);
      page.speak(answer ? named.join(", ") : "");
    },
    waiting() {
      state.textContent = "Looking…";
    },
    curl: " | jq -r .mask | base64 -d > mask.nii.gz",
  };
}
