// A photograph: chosen, dropped or pasted, and shown large.

const CSS = `
  .drop { display: grid; place-items: center; height: 12rem; border: 2px dashed var(--line); border-radius: 8px;
    color: var(--muted); }
  .drop:has(+ .picture:not([hidden])) { display: none; }
  .drop + .picture { flex-direction: column; margin-top: 0; }
  .drop + .picture img { width: 100%; height: auto; max-height: 400px; }`;

export default function create(place, page) {
  page.style(CSS);
  place.className = "drop";
  place.textContent = "Drop a picture here";
  return {
    files: "image/png,image/jpeg",
    begin() {},
    body: async (subject) => page.upload(subject.file, subject.file.name),
    curl: (address) => `curl -F image=@picture.png ${address}`,
  };
}
