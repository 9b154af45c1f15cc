// A volume: chosen, dropped or pasted as a NIfTI file; what the model saw of it is shown in three planes, unless the answer
// shows it.

import planes from "../planes.js";

const CSS = `
  .volume .empty { display: grid; place-items: center; height: 12rem; border: 2px dashed var(--line); border-radius: 8px;
    color: var(--muted); }`;

export default function create(place, page) {
  page.style(CSS);
  place.className = "volume";
  place.innerHTML = `<p class="empty">Drop a NIfTI file here</p><div hidden></div>`;
  const [empty, views] = place.children;
  const { show } = planes(views, page);
  let fresh = true; // nothing of the file has been shown yet: another version's answer leaves the sliders where they are

  function seen(answer) {
    empty.hidden = !!answer?.volume;
    show(answer?.shown ? null : answer?.volume, null, fresh);
    fresh = !answer;
  }

  return {
    files: ".nii,.gz",
    begin(subject) {
      fresh = true;
      if (!subject) seen(null);
    },
    seen,
    body: async (subject) => page.upload(subject.file, subject.file.name),
    curl: (address) => `curl -F volume=@volume.nii.gz ${address}`,
  };
}
