// A box that scrolls sideways must be reachable by keyboard; one that fits needs no tab stop.
const BOXES = [
  ".figure-scroll",
  ".table-scroll",
  ".pst-scrollable-table-container",
  ".cell_output .text_html",
  ".bd-article pre",
  "div.math",
  "mjx-container[display=true]",
].join(", ");

function markScrollingBoxes() {
  for (const box of document.querySelectorAll(BOXES)) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

addEventListener("load", () => {
  markScrollingBoxes();
  addEventListener("resize", markScrollingBoxes);
  document.addEventListener("toggle", markScrollingBoxes, true);
  window.MathJax?.startup?.promise?.then(markScrollingBoxes);
});
