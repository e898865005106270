// What the canvases of the page share.

/** Call `draw(context, width, height)` now, and when the size or the colour scheme changes. */
export function drawn(canvas, draw) {
  const context = canvas.getContext("2d");
  function redraw() {
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = window.devicePixelRatio;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
  }
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return redraw;
}

/** Return the value of a custom property. */
export function property(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

/** Return a colour of the page's lightness. */
export function colour(element, hue) {
  return `oklch(${property(element, "--lightness")} ${property(element, "--chroma")} ${hue})`;
}
