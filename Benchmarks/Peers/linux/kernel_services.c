#include "kernel_services.h"
__thread void *kernel_cache_free[8];
int kernel_cache_slots;
__thread unsigned kernel_cpu;
