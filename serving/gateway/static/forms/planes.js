// A volume in three planes, each with a slider: what was seen of it, and over it a mask, if there is one. The axes run to
// the right, to the front and up. A volume comes as {shape, bytes}, a byte a voxel in C order and base64.

// The axis that a slider moves along, and those that run across and, from the top, down.
const PLANES = [
  { name: "Axial", along: 2, across: 0, down: 1, words: "left to right, front at the top" },
  { name: "Coronal", along: 1, across: 0, down: 2, words: "left to right" },
  { name: "Sagittal", along: 0, across: 1, down: 2, words: "back to front" },
];

const HTML = `<div class="layers"><canvas role="img"></canvas><canvas class="over" aria-hidden="true"></canvas></div>
  <label><b></b> <span></span><input type="range" min="1"><small></small></label>`;

const CSS = `
  .plane { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0.9rem; align-items: center; }
  .plane + .plane { margin-top: 0.75rem; }
  .plane .layers { display: grid; }
  .plane canvas { grid-area: 1 / 1; width: 100%; border-radius: 6px; image-rendering: pixelated; }
  .plane canvas:first-child { background: var(--track); }
  .plane label { font-size: 0.875rem; }
  .plane label span { color: var(--muted); font-variant-numeric: tabular-nums; }
  .plane input { display: block; width: 100%; margin: 0.4rem 0; accent-color: var(--accent); }
  .plane small { color: var(--muted); }`;

const bytes = ({ shape, bytes }) => ({ shape, values: Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0)) });

/** Builds the planes in a place. `colour` gives red, green and blue of a value of the mask, nothing for what is not shown.
 * Gives what shows a volume and a mask, either of which may be missing, and begins in the middle where it is told to. */
export default function create(place, page, colour = () => null) {
  page.style(CSS);
  let volume = null;
  let mask = null;

  const views = PLANES.map((plane) => {
    const view = place.appendChild(document.createElement("div"));
    view.className = "plane";
    view.innerHTML = HTML;
    const [under, over, position, slider] = ["canvas", ".over", "span", "input"].map((name) => view.querySelector(name));
    view.querySelector("b").textContent = plane.name;
    view.querySelector("small").textContent = plane.words;

    function draw() {
      const text = `${slider.value} of ${slider.max}`;
      position.textContent = text;
      under.setAttribute("aria-label", `${plane.name} plane ${text}, ${plane.words}`);
      paint(under, volume, plane, slider.value - 1, (shade) => [shade, shade, shade]);
      paint(over, mask, plane, slider.value - 1, colour);
    }

    slider.addEventListener("input", draw);
    return { draw, slider, along: plane.along };
  });

  return {
    show(seen, answered, fresh) {
      volume = seen ? bytes(seen) : null;
      mask = answered ? bytes(answered) : null;
      const shape = (volume ?? mask)?.shape;
      place.hidden = !shape;
      if (!shape) return;
      for (const { draw, slider, along } of views) {
        if (fresh || Number(slider.max) !== shape[along]) {
          slider.max = shape[along];
          slider.value = Math.ceil(shape[along] / 2);
        }
        draw();
      }
    },
  };
}

/** Paints a plane row by row from the top, which is where the axis down ends. */
function paint(canvas, volume, { along, across, down }, position, colour) {
  const shape = volume?.shape ?? [1, 1, 1];
  [canvas.width, canvas.height] = [shape[across], shape[down]]; // which also wipes it
  if (!volume) return;
  const steps = [shape[1] * shape[2], shape[2], 1]; // of C order
  const pixels = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    const row = canvas.height - 1 - Math.floor(i / canvas.width);
    const voxel = position * steps[along] + row * steps[down] + (i % canvas.width) * steps[across];
    const found = colour(volume.values[voxel]);
    if (found) pixels.data.set([...found, 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
