// Rotary embedding and softmax attention of one row and head, fp32.
//
// Compiled once per instruction set (ESMKIT_LEVEL, ESMKIT_LANES, ESMKIT_TILE). No standard library function may be
// instantiated here: the linker keeps one copy of an inline function, perhaps the one that this machine cannot run.
//
// Vector lanes are queries. Scores come out transposed, [keys, queries], so that maximum, exponential and sum are
// plain vertical operations, and both matrix products are one register tile: broadcast a key (or value), multiply a
// vector of queries (or weights). A lane never sees another lane, a row is always cut the same way: its answer does
// not depend on batch mates or threads.
#include "attend.h"

namespace {

using esmkit::Batch;
using esmkit::Task;
using Size = std::ptrdiff_t;

constexpr Size LANES = ESMKIT_LANES;
constexpr Size TILE = ESMKIT_TILE;  // keys (or values of a head) per register tile
constexpr Size WIDE = 3;            // vectors of queries per register tile
constexpr Size KEY_BLOCK = 64;      // keys per step of the online softmax: its scores stay in L1
constexpr Size AHEAD = 12;          // tokens from a prefetch to its use

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float Quad __attribute__((vector_size(16)));
typedef int Integers __attribute__((vector_size(LANES * sizeof(float))));

inline Quad load(const float *from) {
    Quad quad;
    __builtin_memcpy(&quad, from, sizeof quad);
    return quad;
}

inline void store(float *to, Quad quad) { __builtin_memcpy(to, &quad, sizeof quad); }

inline Vector splat(float value) { return value - Vector{}; }

// `b` where either is NaN. One instruction on AVX2.
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }

// 2^x for x <= 0, at most 1.3 ulp off (1.0 with FMA); NaN stays NaN. Below 2^-100 it is 2^-100: nothing next to the
// largest weight, which is 1, and no denormals.
inline Vector exp2(Vector x) {
    const Vector to_integer = splat(12582912.0f);  // 1.5 * 2^23: the sum's low bits are the rounded x
    x = larger(splat(-100.0f), x);
    const Vector shifted = x + to_integer;
    const Vector rest = x - (shifted - to_integer);  // in [-1/2, 1/2]
    Vector power = splat(1.53533620e-4f);  // minimax, relative error 2e-9
    power = power * rest + 1.33988745e-3f;
    power = power * rest + 9.61843736e-3f;
    power = power * rest + 5.55033247e-2f;
    power = power * rest + 2.40226479e-1f;
    power = power * rest + 6.93147203e-1f;
    power = power * rest + 1.0f;
    return (Vector)((Integers)power + ((Integers)shifted << 23));
}

// sum[i][j] = sum over steps s of a[i * a_stride + s * a_step] * b[s][j].
template <Size N>
inline __attribute__((always_inline)) void multiply(
    const float *a, Size a_stride, Size a_step, const Vector *b, Size steps, Vector (&sum)[TILE][N]) {
    for (Size i = 0; i < TILE; ++i)
        for (Size j = 0; j < N; ++j) sum[i][j] = Vector{};
    for (Size s = 0; s < steps; ++s, a += a_step, b += N)
        for (Size i = 0; i < TILE; ++i) {
            const Vector factor = splat(a[i * a_stride]);
            for (Size j = 0; j < N; ++j) sum[i][j] += factor * b[j];
        }
}

// One row and head with its rotated keys and its values packed side by side.
struct Head {
    const Batch &batch;
    Size start, length, head;
    float *keys, *values;                // [length rounded up to TILE, K]
    Vector *queries, *sums, *scores;     // [K, N], [K, N], [KEY_BLOCK, N]

    const float *projected(Size which, Size token) const {
        return batch.qkv + (((start + token) * 3 + which) * batch.heads + head) * batch.head_dim;
    }

    // Tokens lie pages apart, which no hardware prefetcher follows: ask early for one that comes soon.
    // Inlined by force: GCC drops calls of a function that does nothing else.
    __attribute__((always_inline)) void prefetch(Size which, Size token) const {
        const float *soon = projected(which, token + AHEAD < length ? token + AHEAD : length - 1);
        for (Size k = 0; k < batch.head_dim; k += 16) __builtin_prefetch(soon + k);
    }

    // (a, b) -> (a cos - b sin, b cos + a sin) over the two halves of a head, times a scale; Su et al. 2021.
    void rotate(Size which, Size token, float scale, float *rotated) const {
        const Size half = batch.head_dim / 2;
        const float *from = projected(which, token);
        prefetch(which, token);
        const float *cosine = batch.cosines + (start + token) * half, *sine = batch.sines + (start + token) * half;
        for (Size j = 0; j < half; j += 4) {
            const Quad a = load(from + j), b = load(from + half + j), c = load(cosine + j), s = load(sine + j);
            store(rotated + j, (a * c - b * s) * scale);
            store(rotated + half + j, (b * c + a * s) * scale);
        }
    }

    void pack_keys_and_values() {
        const Size dim = batch.head_dim, tiles_end = esmkit::round_up(length, TILE);
        for (Size i = 0; i < length; ++i) {
            rotate(1, i, 1.0f, keys + i * dim);
            const float *value = projected(2, i);
            prefetch(2, i);
            for (Size k = 0; k < dim; k += 4) store(values + i * dim + k, load(value + k));
        }
        for (Size i = length * dim; i < tiles_end * dim; i += 4) store(keys + i, Quad{});
    }

    // Queries [dim, N], one per lane; lanes without a query hold zeros.
    template <Size N>
    void pack_queries(Size first, Size count, float scale) {
        float *query = (float *)queries, *rotated = (float *)sums;
        for (Size lane = 0; lane < N * LANES; ++lane) {
            if (lane < count) rotate(0, first + lane, scale, rotated);
            for (Size k = 0; k < batch.head_dim; ++k) query[k * N * LANES + lane] = lane < count ? rotated[k] : 0.0f;
        }
    }

    template <Size N>
    void attend(Size first, Size count, float scale) {
        pack_queries<N>(first, count, scale);
        for (Size i = 0; i < batch.head_dim * N; ++i) sums[i] = Vector{};
        Vector peak[N], total[N];
        for (Size j = 0; j < N; ++j) peak[j] = splat(-__builtin_inff()), total[j] = Vector{};
        for (Size key = 0; key < length; key += KEY_BLOCK) {
            const Size count_keys = length - key < KEY_BLOCK ? length - key : KEY_BLOCK;
            Vector decay[N];
            score<N>(key, count_keys, peak, decay);
            weigh<N>(count_keys, peak, decay, total);
            accumulate<N>(key, count_keys, decay);
        }
        write<N>(first, count, total);
    }

    // Scores of one block of keys, the running maximum `peak`, and by how much what was summed so far must `decay`.
    template <Size N>
    void score(Size key, Size count, Vector (&peak)[N], Vector (&decay)[N]) {
        for (Size j = 0; j < N; ++j) decay[j] = peak[j];
        for (Size i = 0; i < count; i += TILE) {
            Vector tile[TILE][N];
            multiply<N>(keys + (key + i) * batch.head_dim, batch.head_dim, 1, queries, batch.head_dim, tile);
            for (Size t = 0; t < TILE; ++t)
                for (Size j = 0; j < N; ++j) {
                    scores[(i + t) * N + j] = tile[t][j];
                    if (i + t < count) peak[j] = larger(tile[t][j], peak[j]);
                }
        }
        for (Size j = 0; j < N; ++j) decay[j] = exp2(decay[j] - peak[j]);
    }

    // Scores become weights; `total` is their sum.
    template <Size N>
    void weigh(Size count, const Vector (&peak)[N], const Vector (&decay)[N], Vector (&total)[N]) {
        Vector sum[N] = {};
        for (Size i = 0; i < count; ++i)
            for (Size j = 0; j < N; ++j) sum[j] += scores[i * N + j] = exp2(scores[i * N + j] - peak[j]);
        for (Size j = 0; j < N; ++j) total[j] = total[j] * decay[j] + sum[j];
    }

    template <Size N>
    void accumulate(Size key, Size count, const Vector (&decay)[N]) {
        for (Size k = 0; k < batch.head_dim; k += TILE) {
            Vector tile[TILE][N];
            multiply<N>(values + key * batch.head_dim + k, 1, batch.head_dim, scores, count, tile);
            for (Size t = 0; t < TILE; ++t)
                for (Size j = 0; j < N; ++j) {
                    Vector &sum = sums[(k + t) * N + j];
                    sum = sum * decay[j] + tile[t][j];
                }
        }
    }

    template <Size N>
    void write(Size first, Size count, const Vector (&total)[N]) {
        for (Size k = 0; k < batch.head_dim; ++k)
            for (Size j = 0; j < N; ++j) sums[k * N + j] /= total[j];
        const float *sum = (const float *)sums;
        for (Size lane = 0; lane < count; ++lane) {
            float *to = batch.out + ((start + first + lane) * batch.heads + head) * batch.head_dim;
            for (Size k = 0; k < batch.head_dim; ++k) to[k] = sum[k * N * LANES + lane];
        }
    }
};

Size scratch_floats(Size longest_row, Size head_dim) {
    return 2 * esmkit::round_up(esmkit::round_up(longest_row, TILE) * head_dim, 16) +
           (2 * head_dim + KEY_BLOCK) * WIDE * LANES;
}

void attend(const Batch &batch, const Task &task, float *scratch) {
    const Size start = batch.bounds[task.row], length = batch.bounds[task.row + 1] - start;
    const Size packed = esmkit::round_up(esmkit::round_up(length, TILE) * batch.head_dim, 16);
    Vector *vectors = (Vector *)(scratch + 2 * packed);
    Head head{batch,   start,   length, task.head, scratch, scratch + packed,
              vectors, vectors + batch.head_dim * WIDE, vectors + 2 * batch.head_dim * WIDE};
    head.pack_keys_and_values();
    // Weights are powers of 2, not of e: log2(e) joins the scale of the queries.
    const float scale = 1.44269504088896341f / __builtin_sqrtf((float)batch.head_dim);
    for (Size first = task.first; first < task.last; first += WIDE * LANES) {
        const Size count = task.last - first;
        if (count > 2 * LANES) head.attend<3>(first, count < WIDE * LANES ? count : WIDE * LANES, scale);
        else if (count > LANES) head.attend<2>(first, count, scale);
        else head.attend<1>(first, count, scale);
    }
}

}  // namespace

extern const esmkit::Kernel ESMKIT_LEVEL;
const esmkit::Kernel ESMKIT_LEVEL = {scratch_floats, attend};
