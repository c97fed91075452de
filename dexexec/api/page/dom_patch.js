// Changes what is shown into what should be shown, and leaves alone what is the same: the focus, a selection, what is
// scrolled and what is typed survive an event.

import { nodes } from "./dom.js";

/** Names an element among its siblings, so that it is not taken for another one. Beside it kind and place count. */
const KEY = "part";

/**
 * Makes the children of `parent` equal to `children`. Listeners of elements that stay are those from before: a listener
 * reads what may change from its element, or its element has a `data-part` of its own.
 * @param {Element} parent
 * @param {...(import("./dom.js").Child | import("./dom.js").Child[])} children
 */
export function patch(parent, ...children) {
  patchNodes(parent, nodes(children).map((child) => (typeof child === "string" ? document.createTextNode(child) : child)));
}

/**
 * @param {Node} parent
 * @param {Node[]} wanted
 */
function patchNodes(parent, wanted) {
  let place = parent.firstChild;
  for (const node of wanted) {
    const same = place && isSame(place, node) ? place : following(place, node);
    if (!same) {
      parent.insertBefore(node, place);
      continue;
    }
    // What is left out goes before its follower is compared.
    while (place && place !== same) place = removed(place);
    patchNode(same, node);
    place = same.nextSibling;
  }
  while (place) place = removed(place);
}

/**
 * A sibling further on that has the key of the node.
 * @param {Node | null} place
 * @param {Node} node
 */
function following(place, node) {
  if (!(node instanceof Element) || !keyOf(node)) return null;
  for (let next = place; next; next = next.nextSibling) if (isSame(next, node)) return next;
  return null;
}

/** @param {ChildNode} node */
function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

/**
 * @param {Node} shown
 * @param {Node} wanted
 */
function isSame(shown, wanted) {
  return shown.nodeName === wanted.nodeName && keyOf(shown) === keyOf(wanted);
}

/** @param {Node} node */
function keyOf(node) {
  return node instanceof HTMLElement ? (node.dataset[KEY] ?? "") : "";
}

/**
 * @param {Node} shown
 * @param {Node} wanted
 */
function patchNode(shown, wanted) {
  if (!(shown instanceof Element) || !(wanted instanceof Element)) {
    if (shown.nodeValue !== wanted.nodeValue) shown.nodeValue = wanted.nodeValue;
    return;
  }
  for (const { name } of [...shown.attributes]) if (name !== "style" && !wanted.hasAttribute(name)) shown.removeAttribute(name);
  for (const { name, value } of wanted.attributes) {
    if (name !== "style" && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  // The attribute would be refused by the Content-Security-Policy, its object is not.
  if (shown instanceof HTMLElement && wanted instanceof HTMLElement && shown.style.cssText !== wanted.style.cssText) shown.style.cssText = wanted.style.cssText;
  patchNodes(shown, [...wanted.childNodes]);
}
