// What the kernel and its entry point agree on.
#pragma once
#include <cstddef>

namespace esmkit {

// One call: T packed tokens, H heads of K values (K a multiple of 8), J = K / 2; every array is contiguous fp32.
struct Batch {
    const float *qkv;            // [T, 3, H, K] as the projection wrote it
    const float *cosines;        // [T, J]
    const float *sines;          // [T, J]
    float *out;                  // [T, H, K]
    const std::ptrdiff_t *bounds;  // where each row starts, then T
    std::ptrdiff_t rows, heads, head_dim;
};

// Queries [first, last) of one row and head, counted from the row's start.
struct Task {
    std::ptrdiff_t row, head, first, last;
};

// The same source compiled for one instruction set.
struct Kernel {
    std::ptrdiff_t (*scratch_floats)(std::ptrdiff_t longest_row, std::ptrdiff_t head_dim);
    void (*attend)(const Batch &batch, const Task &task, float *scratch);  // scratch: 64-byte aligned
};

// Internal linkage, as everything that more than one instruction set compiles.
static constexpr std::ptrdiff_t round_up(std::ptrdiff_t value, std::ptrdiff_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

}  // namespace esmkit
