// A drawing board. A stroke is five 16-bit numbers: hue, from, to; a single number wipes.

import { colour, drawn, property } from "./canvas.js";

const FULL = 65_535;

export function board(panel, stream) {
  const canvas = panel.querySelector("canvas");
  const hue = Math.floor(Math.random() * 360);
  const strokes = [];
  let pen = { x: FULL / 2, y: FULL / 2, down: false };

  const redraw = drawn(canvas, (context, width, height) => {
    const at = (x, y) => [(x / FULL) * width, (y / FULL) * height];
    context.lineWidth = 3;
    context.lineCap = "round";
    for (const [hue, ...ends] of strokes) {
      context.strokeStyle = colour(panel, hue);
      context.beginPath();
      context.moveTo(...at(ends[0], ends[1]));
      context.lineTo(...at(ends[2], ends[3]));
      context.stroke();
    }
    if (document.activeElement === canvas) {
      context.fillStyle = pen.down ? colour(panel, hue) : property(panel, "--faint");
      context.beginPath();
      context.arc(...at(pen.x, pen.y), 5, 0, 2 * Math.PI);
      context.fill();
    }
  });

  stream.binaryType = "arraybuffer";
  stream.addEventListener("message", ({ data }) => {
    const stroke = new Uint16Array(data);
    if (stroke.length === 1) strokes.length = 0;
    else strokes.push(stroke);
    if (strokes.length > 5000) strokes.shift();
    requestAnimationFrame(redraw);
  });

  function move(x, y, down = pen.down) {
    const to = { x: Math.min(Math.max(x, 0), FULL), y: Math.min(Math.max(y, 0), FULL), down };
    if (down) stream.send(Uint16Array.of(hue, pen.x, pen.y, to.x, to.y));
    pen = to;
  }

  function point({ offsetX, offsetY }) {
    return [(offsetX / canvas.clientWidth) * FULL, (offsetY / canvas.clientHeight) * FULL];
  }
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    move(...point(event), false);
    move(...point(event), true);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && move(...point(event), true));
  canvas.addEventListener("pointerup", () => (pen.down = false));

  const STEP = FULL / 24;
  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const [x, y] = KEYS[event.key] ?? [0, 0];
    if (event.key === " ") pen.down = !pen.down;
    else if (x === 0 && y === 0) return;
    event.preventDefault();
    move(pen.x + x * STEP, pen.y + y * STEP);
    redraw();
  });
  for (const type of ["focus", "blur"]) canvas.addEventListener(type, redraw);
  panel.querySelector("button").addEventListener("click", () => stream.send(Uint16Array.of(0)));
}
