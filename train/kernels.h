/*
 * The few float32 operations of the fast back end that no library needs to do: small tensors, sums
 * in float64 and in a fixed order. Each reads and writes the tape's tensors in place.
 */
#ifndef REFRAIN_KERNELS_H
#define REFRAIN_KERNELS_H

#include "train/tape.h"

/* The caller's float32 pictures as bfloat16. */
void kernel_input_half(const struct net *n, const struct op *op);

/* From float32 or bfloat16 pictures to float32 rows, and back. */
void kernel_average_forward(const struct net *n, const struct op *op);
void kernel_average_backward(const struct net *n, const struct op *op);
void kernel_dropout(const struct net *n, size_t op_i, enum net_mode mode, bool backward);
void kernel_l2norm_forward(const struct net *n, const struct op *op);
void kernel_l2norm_backward(const struct net *n, const struct op *op);

#endif
