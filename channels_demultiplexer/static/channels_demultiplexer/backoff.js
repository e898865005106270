/**
 * How long to wait before the next attempt to connect: exponential backoff with full jitter.
 *
 * @param {number} attempt the attempt that the wait is for, from 1 on.
 * @param {{minDelay: number, maxDelay: number}} bounds the longest wait before the first attempt,
 *   which doubles with each, and the longest of all; in milliseconds.
 * @param {() => number} random a number from 0 to 1, drawn anew for each wait.
 * @returns {number} milliseconds.
 */
export function backoff(attempt, { minDelay, maxDelay }, random) {
  return random() * Math.min(maxDelay, minDelay * 2 ** (attempt - 1));
}
