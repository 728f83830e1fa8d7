/* What the three fakes share: the counters, and which memory belongs to which device. */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake {
    long launches, gemms, uploads, reads, copies, fills, syncs, allocations, pinned, most_pinned; /* the last two: bytes */
    long gpus, driver, runtime;                                                                   /* set by tests */
};
extern struct fake fake;
enum { NOWHERE = -1 };
int fake_device_of(const void *p);  /* the device whose memory this is; NOWHERE for the host's */
int fake_current(void);             /* the current device of this thread */
void fake_note(const char *what);   /* tells those who watch what is launched */
