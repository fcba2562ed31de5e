// Lengths and angles of embeddings.

const dot = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);

/** Euclidean length. */
export const norm = (vector) => Math.sqrt(dot(vector, vector));

/** Mean, standard deviation, least and greatest of the numbers of a vector. */
export function facts(vector) {
  const mean = vector.reduce((sum, value) => sum + value, 0) / vector.length;
  const spread = Math.sqrt(vector.reduce((sum, value) => sum + (value - mean) ** 2, 0) / vector.length);
  return { mean, spread, low: Math.min(...vector), high: Math.max(...vector), norm: norm(vector) };
}

/** The vectors less their mean. */
export function centred(vectors) {
  const mean = Array.from(vectors[0], (_, at) => vectors.reduce((sum, vector) => sum + vector[at], 0) / vectors.length);
  return vectors.map((vector) => Array.from(vector, (value, at) => value - mean[at]));
}

/** Cosines of all pairs: rows of numbers, null where a vector has no length. */
export function cosines(vectors) {
  const lengths = vectors.map(norm);
  return vectors.map((a, i) =>
    vectors.map((b, j) => (lengths[i] && lengths[j] ? dot(Array.from(a), b) / (lengths[i] * lengths[j]) : null)),
  );
}
