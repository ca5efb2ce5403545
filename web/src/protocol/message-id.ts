/** A message id carries its room's seq in its last 40 bits. */

/** The seq inside a message id, or null for text that is no message id. */
export function seqOfMessageId(id: string): number | null {
  const hex = id.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(hex)) return null;
  // 40 bits fit into a double's 53.
  return Number.parseInt(hex.slice(-10), 16);
}
