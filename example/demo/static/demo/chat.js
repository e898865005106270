// A chat room: the consumer of the Channels tutorial, whose messages are `{"message": text}`.

const NAMES = ["Ada", "Brook", "Cass", "Dara", "Emil", "Fern", "Gus", "Hana", "Ilya", "June"];
export const me = NAMES[Math.floor(Math.random() * NAMES.length)];

export function chat(panel, stream) {
  const log = panel.querySelector(".messages");
  const messages = log.querySelector("ol");
  const form = panel.querySelector("form");

  stream.addEventListener("json", ({ data: { message } }) => {
    const [, name, text] = /^(?:(\w+): )?(.*)$/s.exec(message);
    const line = document.createElement("li");
    const who = document.createElement("b");
    who.textContent = name ?? "";
    line.append(who, ` ${text}`);
    messages.append(line);
    while (messages.children.length > 100) messages.firstChild.remove();
    log.scrollTop = log.scrollHeight;
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    stream.sendJSON({ message: `${me}: ${form.elements.message.value}` });
    form.reset();
  });
}
