/* The threads of a kernel, one block after another. Those of a block take turns: each is a fiber with a stack of its own,
   and a barrier or a shuffle of a warp is a switch to the next one. A kernel without them is a loop over its threads. */
#undef _FORTIFY_SOURCE /* which forbids to jump between stacks */
#include <setjmp.h>
#include <ucontext.h>
#include "threads.h"

enum { STACK = 64 << 10, MOST = 1024, WARP = 32 };
struct fiber { jmp_buf where; enum { READY, AT_BLOCK, AT_WARP, DONE } state; struct index number; uint64_t value; };
struct index threadIdx, blockIdx, blockDim, gridDim;
static struct fiber fibers[MOST], *now;
static unsigned made;
static jmp_buf home;
static ucontext_t maker;
static kernel *body;
static void **arguments;

static void fail(const char *what) {
    fprintf(stderr, "a kernel on the CPU: %s\n", what);
    abort();
}
static void leave(void) {
    if (!_setjmp(now->where)) _longjmp(home, 1);
}
static void live(void) {
    if (!_setjmp(now->where)) setcontext(&maker);
    for (;;) {
        body(arguments);
        now->state = DONE;
        leave();
    }
}
static void make(struct fiber *f) {
    ucontext_t c;
    getcontext(&c);
    c.uc_stack.ss_sp = malloc(STACK);
    c.uc_stack.ss_size = STACK;
    c.uc_link = NULL;
    makecontext(&c, live, 0);
    now = f;
    swapcontext(&maker, &c);
}
static __attribute__((noinline)) void resume(struct fiber *f) {
    now = f;
    threadIdx = f->number;
    if (!_setjmp(home)) _longjmp(f->where, 1);
}
static struct index number(unsigned i) {
    return (struct index){i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
}
static void take_turns(unsigned n) {
    if (n > MOST) fail("more threads in a block than a GPU takes");
    for (; made < n; made++) make(&fibers[made]);
    for (unsigned i = 0; i < n; i++) fibers[i].state = READY, fibers[i].number = number(i);
    for (;;) {
        int ran = 0;
        unsigned waiting = 0, alive = 0;
        for (unsigned i = 0; i < n; i++)
            if (fibers[i].state == READY) resume(&fibers[i]), ran = 1;
        for (unsigned start = 0; start < n; start += WARP) { /* goes on when all that still run wait at a shuffle */
            unsigned stop = start + WARP < n ? start + WARP : n, here = 0, living = 0;
            for (unsigned i = start; i < stop; i++) here += fibers[i].state == AT_WARP, living += fibers[i].state != DONE;
            for (unsigned i = start; living && here == living && i < stop; i++)
                if (fibers[i].state == AT_WARP) fibers[i].state = READY, ran = 1;
        }
        for (unsigned i = 0; i < n; i++) waiting += fibers[i].state == AT_BLOCK, alive += fibers[i].state != DONE;
        if (!alive) return;
        if (waiting == alive && alive < n) fail("some threads of a block end before a barrier that others wait at");
        if (waiting == alive) for (unsigned i = 0; i < n; i++) fibers[i].state = READY;
        else if (!ran) fail("the threads of a block wait at different barriers");
    }
}
void on_cpu_barrier(void) { now->state = AT_BLOCK; leave(); }
void on_cpu_warp_barrier(void) { now->state = AT_WARP; leave(); }
unsigned on_cpu_lane(void) { return (now - fibers) % WARP; }
uint64_t on_cpu_shuffle(uint64_t value, unsigned lane) {
    unsigned me = now - fibers, other = me / WARP * WARP + lane % WARP;
    now->value = value;
    on_cpu_warp_barrier(); /* all have written */
    uint64_t result = fibers[other < blockDim.x * blockDim.y * blockDim.z ? other : me].value;
    on_cpu_warp_barrier(); /* all have read */
    return result;
}
void run_kernel(kernel *f, int barriers, void **a, struct index grid, struct index block) {
    unsigned n = block.x * block.y * block.z;
    body = f, arguments = a, gridDim = grid, blockDim = block;
    for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++)
                if (barriers) take_turns(n);
                else for (unsigned i = 0; i < n; i++) threadIdx = number(i), f(a);
}
