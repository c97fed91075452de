// Finds the field of a form that a problem of the service belongs to, and writes its sentence.

import { FIELDS } from "./order_kinds.js";

/** @typedef {import("./form_field.js").FormField} FormField */

/**
 * Writes each problem at its field.
 * @param {ReadonlyMap<string, FormField>} fields
 * @param {import("./session.js").Problem | null} problem
 * @param {(field: FormField) => boolean} [isShown] Whether problems of the field are shown yet.
 * @returns {{first: FormField | null, others: string}} The first field with a problem, and what belongs to no field.
 */
export function drawProblems(fields, problem, isShown = () => true) {
  /** @type {Map<FormField, string[]>} */
  const sentences = new Map();
  /** @type {string[]} */
  const others = [];
  for (const { field: name, problem: text, expected } of problem?.fields ?? []) {
    const field = named(fields, name);
    const sentence = `${field && FIELDS[field.name]?.label} ${text}. Expected: ${expected}`;
    if (!field) others.push(`${name} ${text}. Expected: ${expected}`.trim());
    else if (isShown(field)) sentences.set(field, [...(sentences.get(field) ?? []), sentence]);
  }
  if (problem && problem.fields.length === 0) others.push(problem.message);
  let first = null;
  for (const field of fields.values()) {
    field.setProblem(sentences.get(field)?.join(". ") ?? "");
    if (sentences.has(field)) first ??= field;
  }
  return { first, others: others.join(". ") };
}

/**
 * @param {ReadonlyMap<string, FormField>} fields
 * @param {string} name As the problem names it: also of a whole part, such as `bracket`, or of an entry in a list.
 * @returns {FormField | undefined}
 */
function named(fields, name) {
  if (name === "") return undefined;
  const all = [...fields.values()];
  return (
    fields.get(name) ??
    all.find((field) => name.startsWith(field.name) && /^[.[]/.test(name.slice(field.name.length))) ??
    all.find((field) => field.name.startsWith(`${name}.`))
  );
}
