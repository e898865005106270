/**
 * Call back when the page has the network again, and when it becomes visible.
 *
 * @param {() => void} wake what to call.
 * @returns {() => void} the undo.
 */
export function onWake(wake) {
  const { document } = globalThis;
  const visible = () => document.visibilityState === "visible" && wake();
  // Neither is there outside of pages: in a worker there is no document.
  globalThis.addEventListener?.("online", wake);
  document?.addEventListener("visibilitychange", visible);
  return () => {
    globalThis.removeEventListener?.("online", wake);
    document?.removeEventListener("visibilitychange", visible);
  };
}
