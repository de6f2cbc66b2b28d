// Making elements. Text is always text: nothing in these files makes markup out of a string.

const SVG = "http://www.w3.org/2000/svg";

/// An element with attributes (`on...` are listeners, null is left out) and children (strings become text).
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/// The same for a drawing.
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/// Changes a text only if it is another one, and says whether it was.
export function setText(node, text) {
  if (node.textContent === text) return false;
  node.textContent = text;
  return true;
}

/// Whether somebody has asked for less motion.
const still = matchMedia("(prefers-reduced-motion: reduce)");

/// Draws the eye to what has changed, for two seconds and without moving anything.
export function flash(node) {
  if (still.matches) return;
  node.animate([{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }], { duration: 2000, easing: "ease-out" });
}

/// Shows a new mark by its size, once.
export function pulse(node) {
  if (still.matches) return;
  node.animate([{ transform: "scale(2.2)", opacity: 0.4 }, { transform: "scale(1)", opacity: 1 }], { duration: 900, easing: "ease-out" });
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const number = new Intl.NumberFormat(document.documentElement.lang);

/// `13:42:07`
export const timeOf = (milliseconds) => clock.format(milliseconds);

/// `12,402`
export const grouped = (value) => number.format(value);

/// `04:11`, and `1:04:11` from an hour on.
export function ageOf(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours ? `${hours}:` : ""}${two(minutes)}:${two(seconds % 60)}`;
}
