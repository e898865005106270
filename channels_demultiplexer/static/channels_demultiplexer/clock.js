/**
 * What is known of time, replaceable by tests.
 *
 * @typedef {object} Clock
 * @property {() => number} now milliseconds since any time; also those while a machine sleeps.
 * @property {(callback: () => void, delay: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** The longest that a timer of the platform can wait, in milliseconds; one that shall wait longer fires at once. */
export const LONGEST = 2 ** 31 - 1;

/** @type {Clock} */
export const systemClock = {
  // Not performance.now(), which may stand still while the machine sleeps.
  now: () => Date.now(),
  setTimeout: (callback, delay) => setTimeout(callback, delay),
  clearTimeout: (timer) => clearTimeout(timer),
};
