/* OpenMP when the compiler has it, a serial build otherwise. */
#ifndef SKPROJ_OPENMP_H
#define SKPROJ_OPENMP_H

#ifdef _OPENMP
#include <omp.h>
#define SKPROJ_OPENMP 1
#else
#define SKPROJ_OPENMP 0
static int omp_get_max_threads(void) { return 1; }
#endif

/* The library of GNU is the one that does not survive a fork by itself. */
static void skproj_end_threads(void)
{
#if defined(_OPENMP) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 9
    omp_pause_resource_all(omp_pause_soft);
#endif
}

#endif
