/* A CUDA runtime whose devices lie in the memory of the host. It does at once what it is told, and counts it. */
#include <stdint.h>
#include "fake.h"

enum { OK = 0, INVALID = 1, NO_MEMORY = 2, OLD_DRIVER = 35, NO_DEVICE = 100, BAD_DEVICE = 101, NOT_READY = 600,
       UNSUPPORTED = 801, CAPTURING = 900 };
enum { TO_DEVICE = 1, TO_HOST = 2, ON_DEVICE = 3, ANY = 4 };

struct fake fake = {.gpus = 2, .driver = 12090, .runtime = 12090};
static __thread int current;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block { char *start; size_t size; int device; } *blocks; /* a device's memory; PINNED is of the host */
static int block_count, block_room, capturing;
enum { PINNED = -2 };
static intptr_t names = 100; /* of streams and events, which need only differ */

static struct block *find(const void *p) {
    for (int i = 0; i < block_count; i++)
        if ((char *)p >= blocks[i].start && (char *)p < blocks[i].start + blocks[i].size) return &blocks[i];
    return NULL;
}
static int place(const void *p) {
    pthread_mutex_lock(&lock);
    struct block *b = find(p);
    int device = b ? b->device : NOWHERE;
    pthread_mutex_unlock(&lock);
    return device;
}
int fake_device_of(const void *p) { int at = place(p); return at == PINNED ? NOWHERE : at; }
int fake_current(void) { return current; }
void (*fake_watch)(const char *); /* set by tests */
void fake_note(const char *what) {
    if (fake_watch) fake_watch(what);
}

static int take(void **p, size_t n, int device) {
    *p = aligned_alloc(512, (n + 511) / 512 * 512);
    if (!*p) return NO_MEMORY;
    if (device != PINNED) memset(*p, 0xA5, n); /* what nobody wrote is not 0 */
    pthread_mutex_lock(&lock);
    if (block_count == block_room) blocks = realloc(blocks, (block_room = 2 * block_room + 64) * sizeof *blocks);
    blocks[block_count++] = (struct block){*p, n, device};
    if (device != PINNED) fake.allocations++;
    else if ((fake.pinned += n) > fake.most_pinned) fake.most_pinned = fake.pinned;
    pthread_mutex_unlock(&lock);
    return OK;
}
static int give(void *p) {
    if (!p) return OK;
    pthread_mutex_lock(&lock);
    struct block *b = find(p);
    int known = b && b->start == p;
    if (known) {
        if (b->device == PINNED) fake.pinned -= b->size;
        *b = blocks[--block_count];
        free(p);
    }
    pthread_mutex_unlock(&lock);
    return known ? OK : INVALID;
}
int cudaMalloc(void **p, size_t n) { return take(p, n, current); }
int cudaFree(void *p) { return give(p); }
int cudaHostAlloc(void **p, size_t n, unsigned flags) { return take(p, n, PINNED); }
int cudaFreeHost(void *p) { return give(p); }
int cudaMemGetInfo(size_t *free_, size_t *total) { *free_ = 8ul << 30; *total = 16ul << 30; return OK; }
int cudaPointerGetAttributes(void *out, const void *p) {
    struct { int type, device; const void *on_device, *on_host; } found = {0, 0, NULL, p};
    int at = place(p);
    if (at != NOWHERE) { found.type = at == PINNED ? 1 : 2; found.device = at == PINNED ? 0 : at; found.on_device = p; }
    memcpy(out, &found, sizeof found);
    return OK;
}

static int copy(void *to, const void *from, size_t n, int kind) {
    int there = fake_device_of(to) != NOWHERE, here = fake_device_of(from) != NOWHERE;
    int is = there ? (here ? ON_DEVICE : TO_DEVICE) : (here ? TO_HOST : 0);
    if (n && kind != ANY && kind != is) return INVALID; /* a GPU would read or write what is not its own */
    if (is == TO_DEVICE) fake.uploads++;
    if (is == TO_HOST) fake.reads++;
    if (is == ON_DEVICE) fake.copies++;
    memmove(to, from, n);
    return OK;
}
int cudaMemcpy(void *to, const void *from, size_t n, int kind) { fake.syncs++; return copy(to, from, n, kind); }
int cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, void *s) { return copy(to, from, n, kind); }
static int fill(void *p, int value, size_t n) { fake.fills++; memset(p, value, n); return OK; }
int cudaMemset(void *p, int value, size_t n) { return fill(p, value, n); }
int cudaMemsetAsync(void *p, int value, size_t n, void *s) { return fill(p, value, n); }
int cudaMemcpyPeerAsync(void *to, int at, const void *from, int of, size_t n, void *s) { fake.copies++; memmove(to, from, n); return OK; }
int cudaMemcpyPeer(void *to, int at, const void *from, int of, size_t n) { return cudaMemcpyPeerAsync(to, at, from, of, n, NULL); }

int cudaDriverGetVersion(int *v) { *v = fake.driver; return OK; }
int cudaRuntimeGetVersion(int *v) { *v = fake.runtime; return OK; }
static int ready(void) { return fake.driver < fake.runtime / 1000 * 1000 ? OLD_DRIVER : fake.gpus ? OK : NO_DEVICE; }
int cudaGetDeviceCount(int *n) { *n = fake.gpus; return ready(); }
int cudaGetDevice(int *device) { *device = current; return ready(); }
int cudaSetDevice(int device) {
    if (device < 0 || device >= fake.gpus) return BAD_DEVICE;
    current = device;
    return ready();
}
int cudaDeviceCanAccessPeer(int *can, int a, int b) { *can = 0; return OK; }
int cudaDeviceGetAttribute(int *v, int which, int device) { /* a GPU of compute capability 9.0 */
    *v = which == 75 ? 9 : which == 76 ? 0 : which == 10 ? 32 : which == 16 ? 132 : which == 1 ? 1024 : which == 8 ? 49152 : 0;
    return OK;
}
int cudaGetDeviceProperties_v2(char *p, int device) { memset(p, 0, 1032); strcpy(p, "CPU in the place of a GPU"); return OK; }
int cudaDeviceGetPCIBusId(char *id, int n, int device) { snprintf(id, n, "0000:%02x:00.0", device); return OK; }
int cudaDeviceSynchronize(void) { fake.syncs++; return OK; }
int cudaGetLastError(void) { return OK; }
const char *cudaGetErrorName(int e) {
    return e == INVALID ? "cudaErrorInvalidValue" : e == NO_MEMORY ? "cudaErrorMemoryAllocation" : e == OLD_DRIVER
        ? "cudaErrorInsufficientDriver" : e == NO_DEVICE ? "cudaErrorNoDevice" : e == BAD_DEVICE
        ? "cudaErrorInvalidDevice" : e == CAPTURING ? "cudaErrorStreamCaptureUnsupported" : "cudaErrorNotSupported";
}
const char *cudaGetErrorString(int e) { return "said by the fake runtime"; }

static int name(void **out) { *out = (void *)__sync_fetch_and_add(&names, 1); return OK; }
int cudaStreamCreate(void **s) { return name(s); }
int cudaStreamCreateWithFlags(void **s, unsigned flags) { return name(s); }
int cudaStreamCreateWithPriority(void **s, unsigned flags, int priority) { return name(s); }
int cudaStreamDestroy(void *s) { return OK; }
int cudaStreamSynchronize(void *s) { fake.syncs++; return capturing && s ? CAPTURING : OK; }
int cudaStreamQuery(void *s) { return OK; }
int cudaStreamWaitEvent(void *s, void *e, unsigned flags) { return OK; }
int cudaStreamIsCapturing(void *s, int *is) { *is = s && capturing; return OK; }
int cudaEventCreate(void **e) { return name(e); }
int cudaEventCreateWithFlags(void **e, unsigned flags) { return name(e); }
int cudaEventDestroy(void *e) { return OK; }
int cudaEventRecord(void *e, void *s) { return OK; }
int cudaEventQuery(void *e) { return OK; }
int cudaEventSynchronize(void *e) { fake.syncs++; return OK; }
int cudaEventElapsedTime(float *ms, void *a, void *b) { *ms = 1; return OK; }
