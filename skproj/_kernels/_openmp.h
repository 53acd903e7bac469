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

#endif
