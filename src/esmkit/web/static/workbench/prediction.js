// Probabilities at masked positions, from the logits of `predict`.
import { VOCABULARY, entropyBits, softmax } from "../core/residues.js";

/** Per masked place {at, own, probabilities, order, recovered, entropy}; `recovered` null where none can be found. */
export async function predict(work, masks, signal) {
  const places = masks.places;
  const sequence = masks.sequence;
  const [{ logits }] = await work.call("predict", [{ sequence }], undefined, { signal });
  const rows = places.map((at) => predicted(work.sequence[at], at, softmax(logits[at])));
  return { sequence, places, rows };
}

function predicted(own, at, probabilities) {
  const order = VOCABULARY.map((_, column) => column).sort((a, b) => probabilities[b] - probabilities[a]);
  const isKnown = VOCABULARY.includes(own);
  return {
    at,
    own,
    probabilities,
    order,
    ownProbability: isKnown ? probabilities[VOCABULARY.indexOf(own)] : null,
    recovered: isKnown ? VOCABULARY[order[0]] === own : null,
    entropy: entropyBits(probabilities),
  };
}
