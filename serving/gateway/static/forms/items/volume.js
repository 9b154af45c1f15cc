// A volume: chosen, dropped or pasted as a NIfTI file; what the model saw of it is shown in three planes, each with a
// slider. The axes of what was seen run to the right, to the front and up.

import { paint } from "../seen.js";

// The axis that a slider moves along, and those that run across and, from the top, down.
const PLANES = [
  { name: "Axial", along: 2, across: 0, down: 1, words: "left to right, front at the top" },
  { name: "Coronal", along: 1, across: 0, down: 2, words: "left to right" },
  { name: "Sagittal", along: 0, across: 1, down: 2, words: "back to front" },
];

const HTML = `<canvas role="img"></canvas>
  <label><b></b> <span></span><input type="range" min="1"><small></small></label>`; // an output would take the label

const CSS = `
  .volume .empty { display: grid; place-items: center; height: 12rem; border: 2px dashed var(--line); border-radius: 8px;
    color: var(--muted); }
  .plane { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0.9rem; align-items: center; }
  .plane + .plane { margin-top: 0.75rem; }
  .plane canvas { width: 100%; border-radius: 6px; background: var(--track); image-rendering: pixelated; }
  .plane label { font-size: 0.875rem; }
  .plane span { color: var(--muted); font-variant-numeric: tabular-nums; }
  .plane input { display: block; width: 100%; margin: 0.4rem 0; accent-color: var(--accent); }
  .plane small { color: var(--muted); }`;

export default function create(place, page) {
  page.style(CSS);
  place.className = "volume";
  place.innerHTML = `<p class="empty">Drop a NIfTI file here</p><div hidden></div>`;
  const [empty, planes] = place.children;
  let volume = null; // {shape, shades} of the last answer
  let fresh = true; // nothing of the file has been shown yet

  const views = PLANES.map((plane) => {
    const view = planes.appendChild(document.createElement("div"));
    view.className = "plane";
    view.innerHTML = HTML;
    const [canvas, where, slider] = ["canvas", "span", "input"].map((name) => view.querySelector(name));
    view.querySelector("b").textContent = plane.name;
    view.querySelector("small").textContent = plane.words;

    function draw() {
      const text = `${slider.value} of ${slider.max}`;
      where.textContent = text;
      canvas.setAttribute("aria-label", `${plane.name} plane ${text}, ${plane.words}`);
      paint(canvas, cut(plane, slider.value - 1), { shape: [volume.shape[plane.down], volume.shape[plane.across]], white: 255 });
    }

    slider.addEventListener("input", draw);
    return { draw, slider, along: plane.along };
  });

  /** The shades of a plane, row by row from the top, which is where the axis down ends. */
  function cut({ along, across, down }, position) {
    const steps = [volume.shape[1] * volume.shape[2], volume.shape[2], 1]; // of C order
    const [width, height] = [volume.shape[across], volume.shape[down]];
    return Uint8Array.from({ length: width * height }, (_, pixel) => {
      const row = height - 1 - Math.floor(pixel / width);
      return volume.shades[position * steps[along] + row * steps[down] + (pixel % width) * steps[across]];
    });
  }

  function show(seen) {
    volume = seen ? { shape: seen.shape, shades: Uint8Array.from(atob(seen.shades), (one) => one.charCodeAt(0)) } : null;
    empty.hidden = !!volume;
    planes.hidden = !volume;
    if (!volume) return;
    for (const { draw, slider, along } of views) {
      // Another version's answer about the same file leaves the sliders where they are.
      if (fresh) {
        slider.max = volume.shape[along];
        slider.value = Math.ceil(volume.shape[along] / 2);
      }
      draw();
    }
    fresh = false;
  }

  return {
    files: ".nii,.gz",
    begin(subject) {
      fresh = true;
      if (!subject) show(null);
    },
    seen: (answer) => show(answer?.volume),
    body: async (subject) => page.upload(subject.file, subject.file.name),
    curl: (address) => `curl -F volume=@volume.nii.gz ${address}`,
  };
}
