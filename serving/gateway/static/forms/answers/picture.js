// A picture, beside the one that was sent, to look at and to save.

const HTML = `
  <figure class="made">
    <img alt="The picture that was made" hidden>
    <figcaption><span class="state"></span> <a class="save" download="picture.png" hidden>Save it</a></figcaption>
  </figure>`;

const CSS = `
  @media (min-width: 46rem) { main:has(.made) { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
  .made img { display: block; width: 100%; max-height: 400px; border-radius: 6px; background: var(--track);
    object-fit: contain; }
  .made figcaption { margin-top: 0.75rem; color: var(--muted); }`;

export default function create(place, page) {
  page.style(CSS);
  place.innerHTML = HTML;
  const [image, state, save] = ["img", ".state", ".save"].map((name) => place.querySelector(name));

  return {
    show(answer) {
      const picture = answer?.picture;
      image.hidden = save.hidden = !picture;
      image.src = save.href = picture ? `data:image/png;base64,${picture}` : "";
      state.textContent = picture ? "" : page.subject ? "no picture yet" : `Choose a ${page.model.noun} to see what is made of it here.`;
      page.speak(picture ? "The picture is made." : "");
    },
    waiting() {
      state.textContent = "Painting…";
    },
    curl: " | jq -r .picture | base64 -d > made.png",
  };
}
