// A micrograph: chosen or dropped as a photograph is. A browser shows no TIFF: the answer has what the model saw.

import photograph from "./photograph.js";

export default function create(place, page) {
  return { ...photograph(place, page), files: "image/png,image/tiff,image/jpeg,.tif,.tiff" };
}
