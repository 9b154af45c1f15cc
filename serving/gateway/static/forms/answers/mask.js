// A mask over what the model saw of the picture, filled or as outlines, as strong as one likes it; each class's share,
// and where objects are told apart, how many there are.

import { load, paint } from "../seen.js";
import create, { colour } from "../shares.js";

const HTML = `
  <figure class="masked">
    <div class="layers"><canvas class="under"></canvas><canvas class="mask" role="img" aria-label="The mask"></canvas></div>
    <label class="opacity">Mask <input type="range" min="0" max="100" value="50"></label>
    <label class="outline"><input type="checkbox"> Outlines only</label>
    <figcaption><span class="state"></span> <a class="save" download="mask.png" hidden>Save it</a></figcaption>
  </figure>
  <ul></ul>`;

const CSS = `
  .masked .layers { display: grid; }
  .masked canvas { grid-area: 1 / 1; width: 100%; border-radius: 6px; image-rendering: pixelated; }
  .under { background: var(--track); }
  .opacity { display: flex; align-items: center; gap: 0.75rem; margin-top: 0.75rem; color: var(--muted); }
  .opacity input { flex: 1; accent-color: var(--accent); }
  .outline { display: flex; align-items: center; gap: 0.5rem; margin-top: 0.5rem; color: var(--muted); }
  .outline input { accent-color: var(--accent); }
  .masked figcaption { margin-top: 0.5rem; color: var(--muted); }`;

export default function mask(place, page) {
  page.style(CSS);
  place.innerHTML = HTML;
  const [under, over, opacity, outline, state, save, list] = [
    ".under", ".mask", ".opacity input", ".outline input", ".state", ".save", "ul",
  ].map((name) => place.querySelector(name));
  const showShares = create(list, page);
  const NONE = { width: 1, height: 1, at: () => 0 };
  let newest = 0; // a mask that is decoded late must not cover a newer one
  let shown = NONE;

  const fade = () => (over.style.opacity = opacity.value / 100);
  opacity.addEventListener("input", fade);
  fade();
  outline.addEventListener("change", () => paintMask(shown));

  /** The class of each pixel of a grey PNG file. */
  async function classes(png) {
    const image = await load(png);
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
    return { width, height, at: (pixel) => data[4 * pixel] };
  }

  function paintMask({ width, height, at }) {
    Object.assign(over, { width, height });
    const pixels = new ImageData(width, height);
    /** Whether a pixel lies beside one of another class. */
    const onOutline = (i) =>
      (i % width > 0 && at(i - 1) !== at(i)) || (i % width < width - 1 && at(i + 1) !== at(i)) ||
      (i >= width && at(i - width) !== at(i)) || (i < width * (height - 1) && at(i + width) !== at(i));
    for (let i = 0; i < width * height; i++) {
      if (at(i) && (!outline.checked || onOutline(i))) pixels.data.set([...colour(at(i)), 255], 4 * i);
    }
    over.getContext("2d").putImageData(pixels, 0, 0);
  }

  return {
    async show(answer) {
      const own = ++newest;
      const found = answer ? await classes(answer.mask) : NONE;
      const seen = answer?.seen ? await load(answer.seen) : null;
      if (own !== newest) return;
      paintMask((shown = found));
      paint(under, answer?.image, { shape: [found.height, found.width], white: page.model.white });
      if (seen) under.getContext("2d").drawImage(seen, 0, 0, found.width, found.height);
      for (const name of [".layers", ".opacity", ".outline"]) place.querySelector(name).hidden = !answer;
      const counted = answer?.objects === undefined ? "" : `Number of ${page.model.classes[1]}: ${answer.objects}.`;
      const none = page.subject ? "no mask yet" : `Choose a ${page.model.noun} to see its mask here.`;
      state.textContent = answer ? counted : none;
      save.hidden = !answer;
      save.href = answer ? `data:image/png;base64,${answer.mask}` : "";
      showShares(answer?.shares);
      const named = page.model.classes.slice(1).map((name) => `${name} ${page.percent(answer?.shares[name] ?? 0)}`);
      page.speak(answer ? [...named, counted].filter(Boolean).join(", ") : "");
    },
    waiting() {},
    curl: " | jq -r .mask | base64 -d > mask.png",
  };
}
