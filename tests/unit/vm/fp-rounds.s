/* The rounds of fp-state.h, whose struct fp_state has its masks at 2048, its stack at 2112, and its
 * control words at 2240 and 2244. */
    .text
    .macro x87_load
    fninit
    .irp i, 7, 6, 5, 4, 3, 2, 1, 0
    fldt 2112 + 16 * \i(%rbx)
    .endr
    fldcw 2244(%rbx)
    ldmxcsr 2240(%rbx)
    .endm
    .macro x87_store
    stmxcsr 2240(%rbp)
    fnstcw 2244(%rbp)
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7
    fstpt 2112 + 16 * \i(%rbp)
    .endr
    fninit
    pushq $0x1f80
    ldmxcsr (%rsp)
    addq $8, %rsp
    .endm
    .macro enter
    pushq %rbx
    pushq %rbp
    pushq %r12
    movq %rdi, %rbx
    movq %rsi, %rbp
    movq %rdx, %r12
    x87_load
    movq (%rcx), %rdi
    movq 8(%rcx), %rsi
    movq 16(%rcx), %rdx
    movq 24(%rcx), %rcx
    .endm
    .macro leave_
    x87_store
    popq %r12
    popq %rbp
    popq %rbx
    ret
    .endm

    .globl fp_round_sse
fp_round_sse:
    enter
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movdqu 64 * \i(%rbx), %xmm\i
    .endr
    call *%r12
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movdqu %xmm\i, 64 * \i(%rbp)
    .endr
    leave_

    .globl fp_round_avx
fp_round_avx:
    enter
    vzeroall
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu 64 * \i(%rbx), %ymm\i
    .endr
    call *%r12
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu %ymm\i, 64 * \i(%rbp)
    .endr
    vzeroupper
    leave_

    .globl fp_round_avx512
fp_round_avx512:
    enter
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu64 64 * \i(%rbx), %zmm\i
    .endr
    .irp i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    vmovdqu64 64 * \i(%rbx), %zmm\i
    .endr
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq 2048 + 8 * \i(%rbx), %k\i
    .endr
    call *%r12
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vmovdqu64 %zmm\i, 64 * \i(%rbp)
    .endr
    .irp i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    vmovdqu64 %zmm\i, 64 * \i(%rbp)
    .endr
    .irp i, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq %k\i, 2048 + 8 * \i(%rbp)
    .endr
    vzeroupper
    leave_

    .globl fp_call
fp_call:
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    xorl %r10d, %r10d
    xorl %r8d, %r8d
    syscall
    ret
    .globl fp_write
fp_write:
    movb %sil, (%rdi)
    ret
    .globl fp_read
fp_read:
    movzbl (%rdi), %eax
    ret
    .globl fp_add
fp_add:
    movzbl %sil, %eax
    lock xaddb %al, (%rdi)
    ret
    .globl fp_spin
fp_spin:
    decq %rdi
    jnz fp_spin
    ret
    .text
