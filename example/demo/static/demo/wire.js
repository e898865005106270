// What passes over the wire, each frame a line in its stream's colour: up if sent, down if received.

import { colour, drawn, property } from "./canvas.js";
import { hueOf } from "../channels_demultiplexer/inspector.js";

const SPAN = 15_000;

export function drawWire(canvas, recording) {
  const redraw = drawn(canvas, (context, width, height) => {
    const middle = Math.round(height / 2);
    const base = property(canvas, "--line");
    context.lineWidth = 1;
    context.strokeStyle = base;
    context.beginPath();
    context.moveTo(0, middle + 0.5);
    context.lineTo(width, middle + 0.5);
    context.stroke();
    const now = Date.now();
    context.lineWidth = 2.5;
    context.lineCap = "round";
    const colours = new Map();
    for (const { time, direction, stream, size } of recording.entries) {
      if (time < now - SPAN) continue;
      if (!colours.has(stream)) colours.set(stream, colour(canvas, hueOf(stream)));
      context.strokeStyle = stream ? colours.get(stream) : property(canvas, "--faint");
      const x = width - ((now - time) / SPAN) * width;
      const length = Math.min(6 + Math.log2(size) * 4, middle - 2);
      context.beginPath();
      context.moveTo(x, middle + (direction === "out" ? -3 : 3));
      context.lineTo(x, middle + (direction === "out" ? -length : length));
      context.stroke();
    }
  });

  // It moves, where movement is welcome; else it is drawn anew once a second.
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let last = 0;
  requestAnimationFrame(function step(time) {
    requestAnimationFrame(step);
    if (time - last < (still.matches ? 1000 : 33)) return;
    last = time;
    redraw();
  });
}
