// Articles, edited by requests; each answer has a status. A push tells of changes by others.

import { say } from "./say.js";

export function articles(panel, stream) {
  const list = panel.querySelector(".list");
  const form = panel.querySelector("form");
  const statuses = panel.querySelector(".statuses ol");

  async function ask(route, payload) {
    const begin = performance.now();
    try {
      const answer = await stream.request(route, payload, { timeout: 30_000 });
      say(statuses, answer.ok, answer.status, `${route} in ${Math.round(performance.now() - begin)} ms`);
      return answer;
    } catch (error) {
      say(statuses, false, error.name, route);
      return { ok: false };
    }
  }

  async function show() {
    const { ok, payload } = await ask("articles.list");
    if (!ok) return;
    list.replaceChildren(
      ...payload.map(({ id, title }) => {
        const line = document.createElement("li");
        const text = document.createElement("span");
        text.textContent = title;
        line.append(text, button("Edit", title, () => edit(id, title)), button("Delete", title, () => ask("articles.delete", { id })));
        return line;
      }),
    );
  }

  function edit(id, title) {
    form.elements.title.value = title;
    form.elements.title.focus();
    form.dataset.id = id;
    form.querySelector("button").textContent = "Save";
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const title = form.elements.title.value;
    const { id } = form.dataset;
    delete form.dataset.id;
    form.querySelector("button").textContent = "Create";
    form.reset();
    if (id) await ask("articles.update", { id: Number(id), title });
    else await ask("articles.create", { title });
  });
  panel.querySelector(".missing").addEventListener("click", () => ask("articles.get", { id: 0 }));
  stream.addEventListener("push", show);
  // After a reconnection too: what changed meanwhile was not heard.
  stream.addEventListener("open", show);
}

function button(text, title, onClick) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.setAttribute("aria-label", `${text} ${title}`);
  element.addEventListener("click", onClick);
  return element;
}
