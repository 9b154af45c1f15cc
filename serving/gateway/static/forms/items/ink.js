// A sign: drawn on a pad, with a pen, a finger or the arrow keys, or a picture of one.

const STROKE = 52; // of the pad's 560, which makes 2.6 pixels of 28
const STEP = 14; // how far an arrow key moves the pen
const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

const HTML = `
  <div id="paper" class="paper blank">
    <canvas id="pad" width="560" height="560" tabindex="0" role="application" aria-roledescription="drawing pad"
      aria-label="Draw here" aria-describedby="keys"></canvas>
    <span id="pen" class="pen" aria-hidden="true"></span>
  </div>`;
const KEYS = `Keyboard: the arrow keys move the pen, <kbd>Space</kbd> or <kbd>Enter</kbd> puts it down and up,
  <kbd>Delete</kbd> clears.`;

const CSS = `
  .paper { position: relative; max-width: 400px; margin: 0 auto; }
  #pad { display: block; width: 100%; aspect-ratio: 1; border-radius: 8px; box-shadow: 0 0 0 1px var(--line);
    cursor: crosshair; touch-action: none; user-select: none; -webkit-user-select: none; }
  .paper.blank::after {
    content: "Draw here" / ""; /* the label says it already */
    position: absolute; inset: 0; display: grid; place-items: center;
    color: #6b7280; /* the paper is light in the dark, too */
    pointer-events: none;
  }
  .pen {
    position: absolute; left: 50%; top: 50%; width: 9.3%; aspect-ratio: 1;
    border: 3px solid #0f6b68; border-radius: 50%; box-shadow: 0 0 0 2px #ffffff, inset 0 0 0 2px #ffffff;
    transform: translate(-50%, -50%); pointer-events: none; visibility: hidden;
  }
  #pad:focus-visible + .pen { visibility: visible; }
  .pen.down { background: #5fb3ae; }`;

export default function create(place, page) {
  page.style(CSS);
  place.innerHTML = HTML;
  document.getElementById("keys").innerHTML = KEYS;
  const [paper, pad, pen] = ["#paper", "#pad", "#pen"].map((name) => place.querySelector(name));
  const ink = pad.getContext("2d");
  const nib = { x: pad.width / 2, y: pad.height / 2, down: false };
  const held = new Set(); // two arrows at once draw a diagonal

  function press(down) {
    nib.down = down;
    pen.classList.toggle("down", down);
    if (down) moveTo(nib.x, nib.y); // which leaves a dot
  }

  function moveTo(x, y) {
    if (nib.down) {
      if (!page.subject || page.subject.file) page.begin({});
      ink.fillStyle = ink.strokeStyle = "#14181f";
      ink.lineWidth = STROKE;
      ink.lineCap = "round";
      ink.beginPath();
      ink.moveTo(nib.x, nib.y);
      ink.lineTo(x, y);
      ink.stroke();
      ink.beginPath(); // a line without length draws nothing
      ink.arc(x, y, STROKE / 2, 0, 2 * Math.PI);
      ink.fill();
      page.ask();
    }
    Object.assign(nib, { x, y });
    pen.style.left = `${(100 * x) / pad.width}%`;
    pen.style.top = `${(100 * y) / pad.height}%`;
  }

  function moveToPointer({ clientX, clientY }) {
    const box = pad.getBoundingClientRect();
    moveTo(((clientX - box.left) / box.width) * pad.width, ((clientY - box.top) / box.height) * pad.height);
  }

  pad.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    press(false);
    moveToPointer(event);
    press(true);
  });

  pad.addEventListener("pointermove", (event) => {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    const points = event.getCoalescedEvents?.() ?? []; // a quick hand makes more points between two frames than one
    (points.length ? points : [event]).forEach(moveToPointer);
  });

  pad.addEventListener("lostpointercapture", () => press(false));

  pad.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) {
      held.add(event.key);
      const [x, y] = [0, 1].map((axis) => [...held].reduce((sum, key) => sum + ARROWS[key][axis], 0));
      moveTo(Math.min(Math.max(nib.x + x, 0), pad.width), Math.min(Math.max(nib.y + y, 0), pad.height));
    } else if (event.key === " " || event.key === "Enter") {
      if (!event.repeat) press(!nib.down);
      page.speak(nib.down ? "Pen down" : "Pen up", 0);
    } else if (["Delete", "Backspace", "Escape"].includes(event.key)) {
      press(false);
      page.begin(null);
      page.speak("Cleared", 0);
    } else return;
    event.preventDefault(); // the page does not scroll
  });

  pad.addEventListener("keyup", (event) => held.delete(event.key));
  pad.addEventListener("blur", () => {
    held.clear();
    press(false);
  });

  return {
    files: "image/png,image/jpeg",
    begin(subject) {
      paper.classList.toggle("blank", !subject || "file" in subject);
      ink.fillStyle = "white"; // not transparent, which a server may read as black
      ink.fillRect(0, 0, pad.width, pad.height);
    },
    async body(subject) {
      const image = subject.file ?? (await new Promise((resolve) => pad.toBlob(resolve, "image/png")));
      return page.upload(image, subject.file?.name ?? "drawing.png");
    },
    curl: (address) => `curl -F image=@picture.png ${address}`,
  };
}
