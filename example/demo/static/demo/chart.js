// A line that the server pushes, drawn from its values by `for await`.

import { drawn, property } from "./canvas.js";

const SPAN = 30;

export async function chart(panel, stream) {
  const points = [];
  const canvas = panel.querySelector("canvas");
  const value = panel.querySelector("output");
  const late = panel.querySelector("b");

  const redraw = drawn(canvas, (context, width, height) => {
    const x = (at) => width - 6 - ((Date.now() / 1000 - at) / SPAN) * width;
    const y = (v) => height / 2 - (v / 3.2) * (height / 2);
    context.strokeStyle = property(panel, "--line");
    context.lineWidth = 1;
    context.beginPath();
    for (const v of [-2, 0, 2]) {
      context.moveTo(0, Math.round(y(v)) + 0.5);
      context.lineTo(width, Math.round(y(v)) + 0.5);
    }
    context.stroke();
    context.strokeStyle = context.fillStyle = property(panel, "--thread");
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    points.forEach((point, at) => {
      // Where nothing came, nothing is drawn.
      const gap = at === 0 || point.at - points[at - 1].at > 1;
      context[gap ? "moveTo" : "lineTo"](x(point.at), y(point.value));
    });
    context.stroke();
    const last = points.at(-1);
    if (!last) return;
    context.beginPath();
    context.arc(x(last.at), y(last.value), 4, 0, 2 * Math.PI);
    context.fill();
  });

  for await (const point of stream.values()) {
    points.push(point);
    while (points[0].at < point.at - SPAN) points.shift();
    value.textContent = point.value.toFixed(2);
    late.textContent = point.late.toFixed(1);
    redraw();
  }
}
