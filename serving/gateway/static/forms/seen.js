// What the model sees of a picture, for answers that have room beside them.

const HTML = `
  <canvas width="28" height="28" role="img" aria-label="What the model sees"></canvas>
  <figcaption>what the model sees</figcaption>`;

const CSS = `
  .seen { flex: none; text-align: end; }
  .seen figcaption { color: var(--muted); font-size: 0.8125rem; }
  .seen canvas { width: 96px; max-height: 96px; border-radius: 6px; background: var(--track); object-fit: contain;
    image-rendering: pixelated; }`;

/** A PNG file in base64 as an image that can be drawn. */
export async function load(png) {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  return image;
}

/** Paints the values of an item, 0 to `white`, onto a canvas, which gets the item's size; with nothing it is blank. */
export function paint(canvas, image, { shape, white }) {
  [canvas.height, canvas.width] = shape; // which also wipes it
  if (!image) return;
  const pixels = new ImageData(canvas.width, canvas.height);
  const channels = image.length / (canvas.width * canvas.height); // 1 is grey, 3 is red, green, blue
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    for (let c = 0; c < 3; c++) {
      pixels.data[4 * i + c] = (255 / white) * image[channels * i + (channels === 3 ? c : 0)];
    }
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** A figure, and a function that shows the values of an item in it, or with nothing that there is none. */
export default function create(page) {
  page.style(CSS);
  const figure = document.createElement("figure");
  figure.className = "seen";
  figure.innerHTML = HTML;
  const canvas = figure.querySelector("canvas");

  function show(image) {
    figure.hidden = page.model.white === null;
    if (!figure.hidden) paint(canvas, image, page.model);
  }

  return { figure, show };
}
