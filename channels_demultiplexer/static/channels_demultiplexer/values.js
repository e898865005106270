/**
 * Iterate over what a stream receives: the value of JSON text, other text and binary data as they
 * are. The iteration goes on over reconnections. It ends with the stream: normally where that has
 * ended with 1000 or 1001, whichever side closed it, else by throwing.
 *
 * @param {import("./stream.js").Stream} stream
 * @param {number} capacity how many values may wait to be taken; when there are more, the iteration
 *   throws a `QuotaExceededError`.
 * @returns {AsyncGenerator<any, void, void>}
 */
export function values(stream, capacity) {
  /** @type {any[]} */
  const waiting = [];
  /** @type {unknown} */
  let end;
  let ended = false;
  let wake = () => {};
  const controller = new AbortController();
  const { signal } = controller;

  /** @param {unknown} [error] */
  const finish = (error) => {
    end = error;
    ended = true;
    controller.abort();
    wake();
  };
  /** @param {any} event */
  const take = ({ data, json }) => {
    if (waiting.length >= capacity) {
      finish(new DOMException(`more than ${capacity} values wait`, "QuotaExceededError"));
      return;
    }
    waiting.push(json ? JSON.parse(data) : data);
    wake();
  };
  stream.addEventListener("message", take, { signal });
  stream.addEventListener(
    "close",
    (event) => {
      const { code, reason } = /** @type {CloseEvent} */ (event);
      const normal = code === 1000 || code === 1001;
      finish(normal ? undefined : new DOMException(`the stream has ended with ${code} ${reason}`, "NetworkError"));
    },
    { signal },
  );
  if (stream.readyState === 3) finish();

  const iterator = (async function* () {
    while (true) {
      while (waiting.length) yield waiting.shift();
      if (ended) break;
      await new Promise((resolve) => {
        wake = () => resolve(undefined);
      });
    }
    if (end) throw end;
  })();
  // A generator that has not begun runs no `finally`.
  const leave = iterator.return.bind(iterator);
  iterator.return = () => {
    finish();
    return leave();
  };
  return iterator;
}
