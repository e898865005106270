/**
 * Call back when the page has the network again, and when it becomes visible.
 *
 * @param {() => void} wake what to call.
 * @returns {() => void} the undo.
 */
export function onWake(wake) {
  const { document } = globalThis;
  const controller = new AbortController();
  const { signal } = controller;
  // Neither is there outside of pages: in a worker there is no document.
  globalThis.addEventListener?.("online", wake, { signal });
  document?.addEventListener("visibilitychange", () => document.visibilityState === "visible" && wake(), { signal });
  return () => controller.abort();
}
