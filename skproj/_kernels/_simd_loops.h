/* The loops over entries, in a file for each topic. Included by _simd.h once per scalar
 * type T; BITS is the integer of its width.
 *
 * A group is n contiguous entries, or a column of a matrix of n rows, `stride` entries
 * apart; w columns are then handled together, several rows at a time, so that what is
 * kept for a column is visited once for several entries. Sums are carried in double for
 * both types; levels that entries are compared with are numbers of the type T. Output
 * and input may be the same array.
 */
#include "_simd_groups.h"
#include "_simd_looks.h"
#include "_simd_moments.h"
#include "_simd_weighted.h"

#undef T
#undef SKPROJ_SINGLE
#undef FABS
#undef BITS
#undef ABS_MASK
#undef NAME
