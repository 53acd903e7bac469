/* Room for copies. Linux clears and maps memory page by page as it is first written,
 * which takes longer than to copy to it unless the pages are large. */
#ifndef SKPROJ_MEMORY_H
#define SKPROJ_MEMORY_H

#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define SKPROJ_LARGE_PAGE ((size_t)1 << 21)

/* As malloc. */
static void *skproj_room(size_t size)
{
#if defined(MADV_HUGEPAGE)
    void *room;
    if (size >= 2 * SKPROJ_LARGE_PAGE) {
        if (posix_memalign(&room, SKPROJ_LARGE_PAGE, size))
            return NULL;
        madvise(room, size, MADV_HUGEPAGE); /* not heard everywhere */
        return room;
    }
#endif
    return malloc(size);
}

#endif
