// Builds elements. Text is only ever written as text: no function here parses markup.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * @typedef {object} Props
 * @property {string | null} [class]
 * @property {Record<string, (event: any) => void>} [on] Listeners by the event's name.
 * @property {Record<string, string>} [data]
 */

/**
 * An element. Attributes that are `false`, `null` or `undefined` are left out, and `true` has no value.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {(Props & Record<string, any>) | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (/^on|^style$|^srcdoc$/i.test(name)) {
      throw new Error(`${name} would be refused by the Content-Security-Policy`);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...nodes(children));
  return element;
}

/**
 * Replaces everything in `parent`.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...nodes(children));
}

/**
 * Writes text only if it differs: a live region is then not read out again, and a selection survives.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Sets or removes an attribute, if that changes anything.
 * @param {Element} element
 * @param {string} name
 * @param {string | null | undefined} value
 */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * The element with this id, which index.html must have.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/**
 * A frame in which a wide table is scrolled, by keyboard too.
 * @param {string} label
 * @param {HTMLElement} content
 * @returns {HTMLDivElement}
 */
export function scrolled(label, content) {
  return el("div", { class: "scroll", role: "group", "aria-label": label, tabindex: 0 }, content);
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
export function nodes(children) {
  /** @type {(Node | string)[]} */
  const kept = [];
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    kept.push(child instanceof Node ? child : String(child));
  }
  return kept;
}
