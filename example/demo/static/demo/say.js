/** Add a line to a list that keeps its last four: what, in green or red, and about what. */
export function say(list, good, what, about) {
  const line = document.createElement("li");
  const strong = document.createElement("b");
  strong.textContent = what;
  line.className = good ? "good" : "bad";
  line.append(strong, ` ${about}`);
  list.append(line);
  while (list.children.length > 3) list.firstChild.remove();
}
