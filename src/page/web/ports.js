// Ports: IANA's three ranges, and addresses taken apart.

import { text } from "./strings.js";
import { el } from "./dom.js";

/// IANA's ranges (RFC 6335, section 6).
export const RANGES = [
  { name: "system", low: 0, high: 1023 },
  { name: "user", low: 1024, high: 49151 },
  { name: "dynamic", low: 49152, high: 65535 },
];

/// The name of the range that a port is in.
export const classOf = (port) => RANGES.find(({ high }) => port <= high).name;

/// `192.0.2.7:51312` as address and port; the port is null where the server keeps it to itself.
export function split(address) {
  const colon = address.lastIndexOf(":");
  const port = address.slice(colon + 1);
  return { ip: address.slice(0, colon), port: port === "" ? null : Number(port) };
}

/// A range's name as a tag: the word, the shape and the colour all say the same.
export function tag(port) {
  const name = classOf(port);
  return el("span", { class: `tag ${name}` }, text[name]);
}
