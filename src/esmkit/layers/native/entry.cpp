// The library's C interface: picks the kernel for this processor and spreads the work over threads.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <system_error>
#include <thread>
#include <vector>

#include "attend.h"

using esmkit::Batch;
using esmkit::Kernel;
using esmkit::Task;
using Size = std::ptrdiff_t;

#define EXPORT extern "C" __attribute__((visibility("default")))

extern const Kernel esmkit_generic;
#ifdef ESMKIT_X86
extern const Kernel esmkit_avx2, esmkit_avx512;
#endif

namespace {

constexpr Size QUERIES_PER_TASK = 512;  // packing the keys again for each task costs about 1 % of the work of 512
constexpr Size GRABS_PER_THREAD = 32;   // few enough to be cheap, many enough to end together

#ifdef ESMKIT_X86
constexpr const Kernel *KERNELS[] = {&esmkit_generic, &esmkit_avx2, &esmkit_avx512};
#else
constexpr const Kernel *KERNELS[] = {&esmkit_generic};
#endif

// Tasks are numbered row by row, then stretch of queries by stretch, then head by head.
struct Work {
    const Batch &batch;
    const Kernel &kernel;
    float *scratch;
    Size scratch_floats, num_tasks, tasks_per_grab, num_seats;
    std::atomic<Size> next_task{0}, next_seat{0};

    static Size tasks_of(const Batch &batch, Size row) {
        const Size length = batch.bounds[row + 1] - batch.bounds[row];
        return (length + QUERIES_PER_TASK - 1) / QUERIES_PER_TASK * batch.heads;
    }

    // What each thread runs; which thread does which task changes nothing in the result.
    void run() {
        const Size seat = next_seat++;
        if (seat >= num_seats) return;
        Size row = 0, first_of_row = 0;
        for (;;) {
            const Size begin = next_task.fetch_add(tasks_per_grab), end = std::min(begin + tasks_per_grab, num_tasks);
            for (Size task = begin; task < end; ++task) {
                for (Size count; task >= first_of_row + (count = tasks_of(batch, row)); ++row) first_of_row += count;
                const Size length = batch.bounds[row + 1] - batch.bounds[row];
                const Size first = (task - first_of_row) / batch.heads * QUERIES_PER_TASK;
                const Size last = std::min(first + QUERIES_PER_TASK, length);
                kernel.attend(batch, {row, (task - first_of_row) % batch.heads, first, last},
                              scratch + seat * scratch_floats);
            }
            if (end >= num_tasks) return;
        }
    }
};

// GOMP_parallel of the OpenMP runtime that torch brought along: its threads are awake, and a second pool beside them
// would fight for the same cores.
using Parallel = void (*)(void (*)(void *), void *, unsigned threads, unsigned flags);

void run_on_threads(Work &work, Parallel parallel) {
    const auto run = [](void *pointer) { static_cast<Work *>(pointer)->run(); };
    if (work.num_seats > 1 && parallel) return parallel(run, &work, static_cast<unsigned>(work.num_seats), 0);
    std::vector<std::thread> others;
    try {
        for (Size i = 1; i < work.num_seats; ++i) others.emplace_back(run, &work);
    } catch (const std::system_error &) {  // no more threads to be had: those that started do all of it
    }
    work.run();
    for (std::thread &other : others) other.join();
}

}  // namespace

// The best kernel that this library holds and this processor runs: 0 generic, 1 AVX2 and FMA, 2 AVX-512.
EXPORT int esmkit_level() {
#ifdef ESMKIT_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (has_avx2) return has_avx512 ? 2 : 1;
#endif
    return 0;
}

// Returns 0, or 1 when there was no memory. The caller has checked every argument; `level` is at most esmkit_level().
EXPORT int esmkit_attend(
    const float *qkv, const float *cosines, const float *sines, float *out, const Size *bounds, Size rows, Size heads,
    Size head_dim, Size threads, int level, Parallel parallel) {
    const Batch batch{qkv, cosines, sines, out, bounds, rows, heads, head_dim};
    Size num_tasks = 0, longest = 0;
    for (Size row = 0; row < rows; ++row) {
        num_tasks += Work::tasks_of(batch, row);
        longest = std::max(longest, bounds[row + 1] - bounds[row]);
    }
    if (num_tasks == 0) return 0;
    const Kernel &kernel = *KERNELS[level];
    threads = std::min(threads, num_tasks);
    const Size scratch_floats = esmkit::round_up(kernel.scratch_floats(longest, head_dim), 16);
    void *scratch = std::aligned_alloc(64, sizeof(float) * scratch_floats * threads);
    if (!scratch) return 1;
    Work work{batch, kernel, static_cast<float *>(scratch), scratch_floats, num_tasks,
              std::max<Size>(1, num_tasks / (threads * GRABS_PER_THREAD)), threads};
    run_on_threads(work, parallel);
    std::free(scratch);
    return 0;
}
