for (const viewer of document.querySelectorAll(".viewer")) {
  const stage = viewer.querySelector(".stage");
  const range = stage.querySelector("input");
  const chosen = Object.fromEntries([...viewer.querySelectorAll("select")].map((select) => [select.dataset.choose, select]));
  const thumbs = [...viewer.querySelectorAll(".thumb")];

  const show = () => {
    stage.style.setProperty("--at", `${range.value}%`);
    for (const thumb of thumbs) {
      const here = thumb.dataset.row === chosen.row.value;
      for (const side of ["left", "right"]) {
        if (here && thumb.dataset.view === chosen[side].value) {
          stage.querySelector(`[data-side=${side}]`).className = `layer ${thumb.dataset.picture}`;
        }
      }
      thumb.setAttribute("aria-pressed", here && thumb.dataset.view === chosen.right.value);
    }
  };

  for (const thumb of thumbs) {
    thumb.addEventListener("click", () => {
      chosen.row.value = thumb.dataset.row;
      chosen.right.value = thumb.dataset.view;
      show();
    });
  }
  viewer.addEventListener("input", show);
  show();
}
